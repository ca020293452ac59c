"""Attempts beside each other and attempts that think too long, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from tests.engine.world import FINISH, MODEL, SPEAK, THINK, FakeUpstream, Step, World
from tests.support import DONE, sse_chunk
from trio_gateway.core.config import BreakerConfig
from trio_gateway.core.events import Done, Failure, Finish, OutputDelta, ReasoningLine
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import fault_of_error, fault_of_transport
from trio_gateway.engine.upstream_answer import UpstreamFailure

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_gateway.core.events import Event

ANSWER = [THINK, SPEAK, FINISH, DONE]
OTHER = [sse_chunk({"content": "<think>Again.</think>The other answer"}), FINISH, DONE]
SILENCE = float("inf")
HEDGED = replace(MODEL, hedge_after=2.0)


def output(told: list[tuple[float, Event]]) -> str:
    return "".join(event.text for _, event in told if isinstance(event, OutputDelta))


def error(told: list[tuple[float, Event]]) -> tuple[float, str | None]:
    return next((at, event.error.code) for at, event in told if isinstance(event, Failure))


def verdicts(world: World) -> list[tuple[int, int, int]]:
    """Success, failure and neutral of each backend's breaker."""
    shots = [backend.breaker.snapshot(trio.current_time()) for backend in world.backends]
    return [(shot.success, shot.failure, shot.neutral) for shot in shots]


async def test_the_first_to_speak_wins_and_the_other_is_closed_at_once(autojump_clock: MockClock) -> None:
    slow, quick = FakeUpstream([SILENCE]), FakeUpstream([1.0, *OTHER])
    world = World(slow, quick)
    world.model = HEDGED
    told = await world.answer()
    assert output(told) == "The other answer"
    assert (slow.closed_at, quick.closed_at) == ([3.0], [3.0])
    assert verdicts(world) == [(0, 0, 1), (1, 0, 0)]
    assert (world.record.attempts, world.record.upstream) == (2, "u1")


async def test_the_hedged_one_may_still_win(autojump_clock: MockClock) -> None:
    first, second = FakeUpstream([3.0, *ANSWER]), FakeUpstream([SILENCE])
    world = World(first, second)
    world.model = HEDGED
    told = await world.answer()
    assert output(told) == "The answer"
    assert second.closed_at == [3.0]
    assert verdicts(world) == [(1, 0, 0), (0, 0, 1)]
    assert world.record.upstream == "u0"


async def test_both_speaking_at_one_instant_give_one_answer(autojump_clock: MockClock) -> None:
    for _ in range(20):
        now = trio.Event()
        world = World(FakeUpstream([now, *ANSWER]), FakeUpstream([now, *OTHER]))
        world.model = HEDGED
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 3.0, now)
            told = await world.answer()
        assert output(told) in {"The answer", "The other answer"}
        assert sum(isinstance(event, Finish) for _, event in told) == 1
        assert sorted(verdicts(world)) == [(0, 0, 1), (1, 0, 0)]


async def _after(seconds: float, event: trio.Event) -> None:
    await trio.sleep(seconds)
    event.set()


async def test_who_speaks_in_time_is_not_hedged(autojump_clock: MockClock) -> None:
    other = FakeUpstream(OTHER)
    world = World(FakeUpstream([1.9, THINK, 60.0, SPEAK, FINISH, DONE]), other, idle_timeout=100.0)
    world.model = HEDGED
    assert output(await world.answer()) == "The answer"
    assert other.opened == 0


async def test_one_that_fails_leaves_it_to_the_other(autojump_clock: MockClock) -> None:
    cut = UpstreamFailure(fault_of_transport("upstream_closed", "x"))
    world = World(FakeUpstream([3.0, cut]), FakeUpstream([2.0, *OTHER]))
    world.model = HEDGED
    assert output(await world.answer()) == "The other answer"
    assert verdicts(world) == [(0, 1, 0), (1, 0, 0)]
    assert world.record.attempts == 2


async def test_where_both_fail_the_way_goes_on_behind_them(autojump_clock: MockClock) -> None:
    cut = UpstreamFailure(fault_of_transport("upstream_closed", "x"))
    third = FakeUpstream(OTHER)
    world = World(FakeUpstream([3.0, cut]), FakeUpstream([0.5, cut]), third, max_attempts=1)
    world.model = HEDGED
    assert output(await world.answer()) == "The other answer"
    assert [upstream.opened for upstream in world.upstreams] == [1, 1, 1]


async def test_a_mistake_of_the_clients_ends_both(autojump_clock: MockClock) -> None:
    bad = UpstreamFailure(fault_of_error(InbandError("no", status=400), own_key=True))
    world = World(FakeUpstream([3.0, bad]), FakeUpstream([SILENCE]))
    world.model = HEDGED
    told = await world.answer()
    assert error(told)[0] == 3.0
    assert verdicts(world) == [(0, 0, 1), (0, 0, 1)]


async def test_a_hedge_needs_a_next_upstream_that_admits(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([5.0, *ANSWER]))
    world.model = HEDGED
    assert output(await world.answer()) == "The answer"
    assert world.record.attempts == 1


async def test_hedges_stop_at_the_budget(autojump_clock: MockClock) -> None:
    slow, other = FakeUpstream([30.0, *ANSWER]), FakeUpstream([9.0, *OTHER])
    world = World(slow, other)
    world.model = HEDGED
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(world.answer_unchecked)
        await trio.sleep(5.0)
        assert (slow.opened, other.opened) == (10, 3)
    assert slow.opened == 10
    world.check()


async def test_a_client_that_leaves_takes_both_along(autojump_clock: MockClock) -> None:
    slow, other = FakeUpstream([SILENCE]), FakeUpstream([SILENCE])
    world = World(slow, other)
    world.model = HEDGED
    with trio.move_on_after(10.0):
        await world.answer_unchecked()
    assert (slow.closed_at, other.closed_at) == ([10.0], [10.0])
    world.check()


ENDLESS = [
    step for n in range(1000) for step in (sse_chunk({"content": f"Let {n} be {n * n} apples. "}), 1.0)
]
RUNAWAY = [sse_chunk({"content": "<think>"}), *ENDLESS]


@pytest.mark.parametrize(
    ("limit", "at"),
    [
        ({"max_reasoning_seconds": 30.0}, 30.0),
        ({"max_reasoning_chars": 200}, 10.0),
    ],
)
async def test_thinking_past_its_limit_is_an_error(
    autojump_clock: MockClock, limit: dict[str, float], at: float
) -> None:
    endless = FakeUpstream(RUNAWAY)
    world = World(endless)
    world.model = replace(MODEL, **limit)
    told = await world.answer()
    assert error(told) == (at, "reasoning_limit")
    assert endless.closed_at == [at]
    assert isinstance(told[-1][1], Done)
    assert verdicts(world) == [(0, 0, 1)]


async def test_the_limit_of_time_ends_a_silent_thought_too(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([THINK, SILENCE]))
    world.model = replace(MODEL, max_reasoning_seconds=7.0)
    assert error(await world.answer()) == (7.0, "reasoning_limit")


async def test_an_answer_that_has_begun_is_not_limited(autojump_clock: MockClock) -> None:
    answer: list[Step] = [THINK, 5.0, SPEAK, 20.0, sse_chunk({"content": " is long" * 50}), FINISH, DONE]
    world = World(FakeUpstream(answer))
    world.model = replace(MODEL, max_reasoning_seconds=7.0, max_reasoning_chars=100, repetition_guard=True)
    assert output(await world.answer()) == "The answer" + " is long" * 50


async def test_a_circle_goes_to_the_next_upstream(autojump_clock: MockClock) -> None:
    circle: list[Step] = [sse_chunk({"content": "But wait, is it? "})] * 500
    world = World(FakeUpstream([THINK, *circle, SILENCE]), FakeUpstream(OTHER))
    world.model = replace(MODEL, repetition_guard=True, on_runaway="next")
    told = await world.answer()
    assert output(told) == "The other answer"
    assert verdicts(world) == [(0, 0, 1), (1, 0, 0)]


async def test_asked_again_without_thinking(autojump_clock: MockClock) -> None:
    plain = [sse_chunk({"content": "Four."}), FINISH, DONE]
    upstream, unused = FakeUpstream(RUNAWAY, plain), FakeUpstream(OTHER)
    world = World(upstream, unused, max_attempts=1)
    world.model = replace(
        MODEL,
        starts_in_reasoning="when_thinking",
        thinking_switch="enable_thinking",
        max_reasoning_chars=200,
        on_runaway="no_thinking",
    )
    told = await world.answer()
    assert output(told) == "Four."
    assert [body.get("chat_template_kwargs") for body in upstream.bodies] == [
        None,
        {"enable_thinking": False},
    ]
    assert unused.opened == 0
    lines = [event.text for _, event in told if isinstance(event, ReasoningLine)]
    assert len(lines) == len(set(lines))


async def test_who_cannot_stop_thinking_is_not_asked_a_third_time(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream(RUNAWAY))
    world.model = replace(
        MODEL, thinking_switch="enable_thinking", max_reasoning_chars=200, on_runaway="no_thinking"
    )
    assert error(await world.answer())[1] == "reasoning_limit"
    assert world.record.attempts == 2


async def test_a_repeat_waits_without_a_permit_and_never_past_the_deadline(autojump_clock: MockClock) -> None:
    busy = UpstreamFailure(fault_of_error(InbandError("x", status=503), own_key=True, retry_after=4.0))
    world = World(FakeUpstream([busy], ANSWER), breaker=BreakerConfig(consecutive=0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.answer_unchecked)
        await trio.sleep(2.0)
        assert world.backends[0].breaker.snapshot(2.0).in_flight == 0
    assert world.record.attempts == 2
    world = World(FakeUpstream([896.5, busy], ANSWER), first_event_timeout=1000.0)
    await world.answer()
    assert world.record.attempts == 1
