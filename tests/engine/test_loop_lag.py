"""Event-loop lag: what is shown after a block, and for how long."""

from __future__ import annotations

import time

import trio
import trio.testing

from trio_gateway.engine.loop_lag import LoopLag


class _Jumps(trio.abc.Clock):
    """A clock that a test moves: what jumps over a deadline fires it late, as a block does."""

    def __init__(self) -> None:
        self.now = 0.0

    def start_clock(self) -> None:
        """It does not run by itself."""

    def current_time(self) -> float:
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0 if deadline <= self.now else 60.0


def _measured(*blocks: float) -> float:
    """The lag shown after as many measurements, each of which came so many seconds late."""
    clock, lag = _Jumps(), LoopLag()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lag.run)
            await trio.testing.wait_all_tasks_blocked()
            for late in blocks:
                clock.now += 1.0 + late
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)
    return round(lag.longest, 6)


def test_before_a_measurement_there_is_none() -> None:
    assert _measured() == 0.0


def test_the_longest_within_a_minute_is_shown() -> None:
    assert _measured(0.0, 0.0) == 0.0
    assert _measured(0.25, 0.0, 0.1) == 0.25


def test_a_minute_later_it_is_forgotten() -> None:
    assert _measured(0.25, *[0.0] * 59) == 0.25
    assert _measured(0.25, *[0.0] * 60) == 0.0


async def test_a_block_is_seen_on_the_real_clock() -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.run)
        await trio.sleep(0.9)
        time.sleep(0.3)  # noqa: ASYNC251  (the block that is measured)
        with trio.fail_after(5):
            while not lag.longest:  # noqa: ASYNC110  (what is looked at has no event)
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert 0.1 < lag.longest < 5
