"""The backlog of a stream: the reader waits while too much is on its way, and nothing stays counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_gateway.core.byte_budget import ByteBudget
from trio_gateway.core.events import Batch, OutputDelta, weight
from trio_gateway.engine.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable


def batch(size: int) -> Batch:
    """A batch that weighs so much."""
    events: Batch = [OutputDelta(0, "x" * (size - 64))]
    assert sum(map(weight, events)) == size
    return events


class Way:
    """A backlog with a channel, and both of its ends."""

    def __init__(self, limit: int = 1000, *, buffer: float = 100) -> None:
        self.budget = ByteBudget(limit)
        self.backlog = Backlog(self.budget)
        self._send, self._receive = trio.open_memory_channel[Batch](buffer)

    async def send(self, *sizes: int) -> None:
        for size in sizes:
            await self.backlog.send(self._send, batch(size))

    def take(self) -> int:
        """The weight of the next batch, which the client's task takes."""
        received = self._receive.receive_nowait()
        self.backlog.take(received)
        return sum(map(weight, received))


async def test_the_reader_waits_until_what_was_taken_is_delivered() -> None:
    way = Way()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(way.send, 400, 600, 100)
        await wait_all_tasks_blocked()
        assert way.budget.held == 1000
        assert [way.take(), way.take()] == [400, 600]
        with pytest.raises(trio.WouldBlock):
            way.take()
        way.backlog.delivered()
        await wait_all_tasks_blocked()
        assert way.take() == 100
    way.backlog.delivered()
    assert way.budget.held == 0


async def test_a_batch_that_alone_is_too_large_passes_when_no_other_is_on_its_way() -> None:
    way = Way()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(way.send, 100, 5000, 100)
        await wait_all_tasks_blocked()
        assert way.take() == 100
        with pytest.raises(trio.WouldBlock):
            way.take()
        way.backlog.delivered()
        await wait_all_tasks_blocked()
        assert way.take() == 5000
        await wait_all_tasks_blocked()
        assert way.take() == 100  # which fits, as the large one is counted apart
    way.backlog.delivered()
    assert way.budget.held == 0


async def test_what_others_hold_of_the_stream_leaves_room_for_one_batch_at_a_time() -> None:
    way = Way()
    assert way.budget.hold().resize(1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(way.send, 100, 100)
        await wait_all_tasks_blocked()
        assert way.take() == 100
        with pytest.raises(trio.WouldBlock):
            way.take()
        way.backlog.delivered()
        await wait_all_tasks_blocked()
        assert way.take() == 100


@pytest.mark.parametrize(
    "end", [lambda way: way.backlog.delivered(), lambda way: way.backlog.close()], ids=["delivered", "closed"]
)
async def test_memory_of_the_upstreams_event_is_given_back(end: Callable[[Way], None]) -> None:
    way, shared = Way(), ByteBudget(1000)
    held = shared.hold()
    held.resize(700)
    sent = batch(100)
    await way.backlog.send(way._send, sent, held)
    assert (shared.held, way.budget.held) == (700, 100)
    way.take()
    end(way)
    end(way)
    assert (shared.held, way.budget.held) == (0, 0)


@pytest.mark.parametrize(("limit", "buffer"), [(1000, 0), (150, 1)], ids=["for the channel", "for room"])
async def test_cancelled_while_it_waits_nothing_stays_counted(limit: int, buffer: int) -> None:
    way, shared = Way(limit, buffer=buffer), ByteBudget(1000)
    if buffer:
        await way.send(100)
    held = shared.hold()
    held.resize(700)
    with trio.CancelScope() as scope:
        scope.cancel()
        await way.backlog.send(way._send, batch(100), held)
    if buffer:
        assert way.take() == 100
        way.backlog.delivered()
    assert (shared.held, way.budget.held) == (0, 0)


async def test_a_batch_that_was_sent_otherwise_is_nothing_to_it() -> None:
    way = Way()
    way.backlog.take([])
    way.backlog.delivered()
    assert way.budget.held == 0
