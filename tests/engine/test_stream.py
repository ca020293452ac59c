"""One stream in virtual time: a fake upstream, a client that reads, and every way a stream can end."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.engine.world import FINISH, SPEAK, THINK, FakeUpstream, Step, World, failure, kinds
from tests.support import DONE, chat, sse_chunk
from trio_gateway.core.budgets.held_bytes import ByteBudget
from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.config import BreakerConfig, ServerConfig
from trio_gateway.core.events import (
    Batch,
    Done,
    Event,
    Failure,
    Finish,
    OutputDelta,
    OutputExtra,
    Ping,
    PromptSummary,
    ReasoningDelta,
    ReasoningLine,
)
from trio_gateway.core.json.strict import dumps
from trio_gateway.core.upstream_api.faults import fault_of_transport
from trio_gateway.engine.lease import Lease
from trio_gateway.engine.summaries.reasoning_summarizer import ReasoningSummarizer
from trio_gateway.engine.upstream_answer import UpstreamFailure
from trio_gateway.mock import load_traces

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock


async def test_a_whole_answer(autojump_clock: MockClock) -> None:
    world = World(
        FakeUpstream([1.0, THINK, 1.0, SPEAK, 1.0, sse_chunk({"content": " is 4."}), FINISH + DONE])
    )
    told = await world.answer()
    lines = [(when, type(event)) for when, event in told if type(event) is ReasoningLine]
    assert lines == [(1.0, ReasoningLine), (2.0, ReasoningLine)]
    assert kinds(told) == [PromptSummary, *[ReasoningLine] * 2, OutputDelta, OutputDelta, Finish, Done]
    assert [when for when, _ in told] == [0.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0]
    assert (world.record.outcome, world.record.attempts, world.record.pieces) == ("ok", 1, 2)


@pytest.mark.parametrize(
    ("wish", "how", "shown"),
    [
        ("off", "extractive", []),
        ("raw", "extractive", [ReasoningDelta]),
        ("summary", "off", []),
        ("summary", "extractive", [ReasoningLine, ReasoningLine]),
    ],
)
async def test_reasoning_is_summarised_only_where_a_line_can_be_shown(
    wish: str, how: str, shown: list[type[Event]], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    made: list[ReasoningSummarizer] = []
    begin = ReasoningSummarizer.run

    async def run(summarizer: ReasoningSummarizer, nursery: trio.Nursery) -> None:
        made.append(summarizer)
        await begin(summarizer, nursery)

    monkeypatch.setattr(ReasoningSummarizer, "run", run)
    world = World(FakeUpstream([THINK, 9.0, SPEAK + FINISH + DONE]))
    request = parse_chat_request(dumps(chat(gateway={"reasoning": wish})).encode())
    events: list[Event] = []
    async with world.stream(request, reasoning=how) as batches:
        async for batch in batches:
            events += batch
    assert [type(event) for event in events] == [PromptSummary, *shown, OutputDelta, Finish, Done]
    assert len(made) == (ReasoningLine in shown)


async def test_what_came_together_leaves_together(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([THINK + SPEAK + FINISH + DONE]))
    async with world.stream(prompt="off", reasoning="off") as batches:
        await trio.testing.wait_all_tasks_blocked()
        waiting = [len(batch) for batch in batches.waiting]
    assert sum(waiting) == 3


@pytest.mark.parametrize(
    ("script", "config", "when", "code"),
    [
        ([float("inf")], {"first_event_timeout": 7.0}, 7.0, "first_event_timeout"),
        ([b": hi\n\n", float("inf")], {"first_event_timeout": 7.0}, 7.0, "first_event_timeout"),
        ([b": hi\n\n", 3.0] * 999, {"first_event_timeout": 7.0}, 600.0, "first_event_timeout"),
        ([*[b": hi\n\n", 3.0] * 9, float("inf")], {"first_event_timeout": 7.0}, 31.0, "first_event_timeout"),
        ([b": hi\n\n", 3.0] * 999, {"queue_timeout": 5.0}, 120.0, "first_event_timeout"),
        ([2.0, THINK, float("inf")], {"idle_timeout": 5.0}, 7.0, "idle_timeout"),
        ([2.0, THINK, *[b": hi\n\n", 3.0] * 999], {"idle_timeout": 5.0}, 602.0, "idle_timeout"),
        ([2.0, THINK, *[b"d", 1.0] * 99], {"idle_timeout": 5.0}, 7.0, "idle_timeout"),
        ([2.0, THINK, 4.0, SPEAK, float("inf")], {"idle_timeout": 5.0}, 11.0, "idle_timeout"),
        ([THINK, 5.0] * 999, {"idle_timeout": 6.0}, 900.0, "deadline"),
        ([THINK], {}, 0.0, "truncated"),
        ([THINK, UpstreamFailure(fault_of_transport("upstream_closed", "x"))], {}, 0.0, "upstream_closed"),
        ([THINK, ValueError("a bug of ours")], {}, 0.0, "internal_error"),
    ],
)
async def test_how_an_upstream_fails(
    script: list[Any], config: dict[str, float], when: float, code: str, autojump_clock: MockClock
) -> None:
    world = World(FakeUpstream(script), max_attempts=1, **config)
    told = [each for each in await world.answer() if not isinstance(each[1], Ping)]
    assert failure(told) == (when, code)
    assert world.upstreams[0].closed_at == [when]
    assert (world.record.outcome, world.record.error_class) == ("error", code)


async def test_a_silent_upstream_is_covered_by_heartbeats_from_acceptance_on(
    autojump_clock: MockClock,
) -> None:
    world = World(FakeUpstream([50.0, THINK, 40.0, SPEAK, FINISH + DONE]))
    pings = [when for when, event in await world.answer() if isinstance(event, Ping)]
    assert pings == [15.0, 30.0, 45.0, 65.0, 80.0]


async def test_a_body_that_does_not_end_is_left_after_a_moment(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([SPEAK, FINISH + DONE, float("inf")]))
    told = await world.answer()
    assert told[-1] == (0.0, Done())
    assert world.upstreams[0].closed_at == [0.1]
    assert world.record.outcome == "ok"


async def test_after_every_finish_reason_done_is_not_waited_for_long(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([SPEAK, FINISH, float("inf")]))
    assert (await world.answer())[-1] == (5.0, Done())
    assert world.record.outcome == "ok"


async def test_a_slow_client_is_not_a_silent_upstream(autojump_clock: MockClock) -> None:
    pieces = [sse_chunk({"content": f"{number} "}) for number in range(20)]
    world = World(FakeUpstream([*pieces, FINISH + DONE]), idle_timeout=1.0)
    told: Batch = []
    async with world.stream(prompt="off") as batches:
        async for batch in batches:
            told += batch
            await trio.sleep(3.0)
    assert "".join(event.text for event in told if isinstance(event, OutputDelta)).split() == [
        str(number) for number in range(20)
    ]
    assert isinstance(told[-1], Done)


async def test_a_slow_client_slows_the_upstream(autojump_clock: MockClock) -> None:
    read = 0

    class Counting(list[bytes]):
        def __iter__(self) -> Any:
            nonlocal read
            for number in range(10_000):
                read = number
                yield sse_chunk({"content": "x"})

    world = World(FakeUpstream(Counting([b""])))
    async with world.stream(prompt="off") as batches:
        await anext(batches)
        await trio.sleep(10)
        assert read < 10


async def test_another_attempt_waits_a_little_and_goes_unseen(autojump_clock: MockClock) -> None:
    fails = UpstreamFailure(fault_of_transport("upstream_closed", "x"))
    world = World(FakeUpstream([THINK, fails], [THINK, SPEAK, FINISH + DONE]))
    told = await world.answer()
    lines = [event.text for _, event in told if isinstance(event, ReasoningLine)]
    assert len(lines) == len(set(lines))
    assert [event.text for _, event in told if isinstance(event, OutputDelta)] == ["The answer"]
    assert world.record.attempts == 2
    assert 0 <= told[-1][0] <= 0.5


async def test_the_next_upstream_takes_over_at_once(autojump_clock: MockClock) -> None:
    fails = UpstreamFailure(fault_of_transport("upstream_unreachable", "x"))
    world = World(FakeUpstream([fails]), FakeUpstream([SPEAK, FINISH + DONE]), max_attempts=1)
    told = await world.answer()
    assert told[-1] == (0.0, Done())
    assert (world.record.upstream, world.record.attempts) == ("u1", 2)


async def test_a_shutdown_ends_the_answer_honestly(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([THINK, SPEAK, float("inf")]))
    told: list[tuple[float, Event]] = []
    async with world.stream() as batches:
        async for batch in batches:
            told += [(trio.current_time(), event) for event in batch]
            for attempts in list(world.running):
                attempts.cut()
    assert failure(told)[1] == "shutting_down"
    world.check()


async def test_a_shutdown_after_the_end_adds_nothing(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([SPEAK, FINISH + DONE, float("inf")]))
    told: Batch = []
    async with world.stream() as batches:
        async for batch in batches:
            told += batch
            if isinstance(batch[-1], Done):
                (attempts,) = world.running
                attempts.cut()
    assert sum(isinstance(event, Done) for event in told) == 1
    assert not any(isinstance(event, Failure) for event in told)
    assert world.record.outcome == "ok"


LEAVE_AT: dict[str, Callable[[Event], bool]] = {
    "before anything": lambda _event: True,
    "prompt summary": lambda event: isinstance(event, PromptSummary),
    "reasoning summary": lambda event: isinstance(event, ReasoningLine),
    "final output": lambda event: isinstance(event, OutputDelta),
    "finish": lambda event: isinstance(event, Finish),
}


@pytest.mark.parametrize("leave", LEAVE_AT.values(), ids=LEAVE_AT.keys())
async def test_a_client_that_leaves_frees_everything_at_once(
    leave: Callable[[Event], bool], autojump_clock: MockClock
) -> None:
    world = World(FakeUpstream([1.0, THINK, 1.0, SPEAK, 1.0, FINISH, 1.0, DONE]))
    tasks = trio.lowlevel.current_statistics().tasks_living
    with trio.CancelScope() as client:
        async with world.stream() as batches:
            async for batch in batches:
                if any(leave(event) for event in batch):
                    left_at = trio.current_time()
                    client.cancel()
                    await trio.sleep_forever()
    assert trio.current_time() == left_at
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    world.check()
    assert world.backends[0].breaker.snapshot(0.0).failure == 0


async def test_cancelled_at_every_point_nothing_is_left(autojump_clock: MockClock) -> None:
    steps: list[bytes | float | Exception] = [0.5, THINK, 0.5, THINK, 0.5, SPEAK, 0.5, FINISH, 0.5, DONE]
    tasks = trio.lowlevel.current_statistics().tasks_living
    for tenth in range(30):
        world = World(FakeUpstream(steps))
        with trio.move_on_after(tenth / 10):
            async with world.stream() as batches:
                async for _ in batches:
                    pass
        world.check()
        assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_trip_moves_those_who_wait_to_the_next_upstream(autojump_clock: MockClock) -> None:
    world = World(
        FakeUpstream([float("inf")]),
        FakeUpstream([SPEAK, FINISH + DONE]),
        breaker=BreakerConfig(consecutive=1),
    )
    told: Batch = []

    async def trip() -> None:
        await trio.sleep(1.0)
        lease = world.backends[0].admit()
        assert isinstance(lease, Lease)
        lease.fail(fault_of_transport("upstream_unreachable", "x"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trip)
        async with world.stream() as batches:
            async for batch in batches:
                told += batch
    assert trio.current_time() == 1.0
    assert world.record.upstream == "u1"
    assert isinstance(told[-1], Done)


async def test_a_probe_is_decided_by_its_first_event_or_its_own_timeout(autojump_clock: MockClock) -> None:
    fails = UpstreamFailure(fault_of_transport("upstream_unreachable", "x"))
    world = World(
        FakeUpstream([fails], [float("inf")], [SPEAK, 30.0, FINISH + DONE]),
        max_attempts=1,
        breaker=BreakerConfig(consecutive=1),
    )
    breaker = world.backends[0].breaker

    async def again() -> str | None:
        await trio.sleep(breaker.snapshot(trio.current_time()).open_until_s)
        started = trio.current_time()
        told = await world.answer()
        spent.append(round(trio.current_time() - started, 3))
        return told[-2][1].error.code if isinstance(told[-2][1], Failure) else None

    spent: list[float] = []
    assert [await again() for _ in range(3)] == ["upstream_unreachable", "first_event_timeout", None]
    assert spent == [0.0, 15.0, 30.0]
    assert breaker.snapshot(trio.current_time()).state == "closed"


async def test_reasoning_after_output_is_dropped_and_counted(autojump_clock: MockClock) -> None:
    late = sse_chunk({"reasoning_content": "too late"})
    world = World(FakeUpstream([sse_chunk({"content": "4"}), late, FINISH + DONE]))
    told = await world.answer()
    assert kinds(told) == [PromptSummary, OutputDelta, Finish, Done]
    assert world.metrics.registry.get_sample_value("gateway_late_reasoning_total") == 1.0


async def test_an_answer_in_one_object(autojump_clock: MockClock) -> None:
    body = (
        b'{"choices": [{"index": 0, "message": {"content": "<think>Hm.</think>4"}, "finish_reason": "stop"}]}'
    )
    world = World(FakeUpstream([body[:20], body[20:]], streamed=False))
    assert kinds(await world.answer())[-3:] == [OutputDelta, Finish, Done]


async def test_an_object_without_end(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([b"[" * 65536] * 300, streamed=False), max_attempts=2)
    assert failure(await world.answer())[1] == "answer_too_large"
    assert (world.upstreams[0].opened, verdict(world)) == (1, "neutral")


def verdict(world: World) -> str:
    """The outcome of the one call that the breaker has seen; slow ones bear it in their name."""
    seen = world.backends[0].breaker.snapshot(trio.current_time())
    (outcome,) = (name for name in ("success", "failure", "neutral") if getattr(seen, name))
    return outcome + " and slow" * (seen.slow_rate > 0)


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_that_is_buffered_has_a_limit(streamed: bool, autojump_clock: MockClock) -> None:
    piece = sse_chunk({"content": "x" * 1000})
    whole = dumps({"choices": [{"message": {"content": "x" * 100_000}, "finish_reason": "stop"}]}).encode()
    steps = [piece] * 100 + [FINISH + DONE] if streamed else [whole]
    for limit, code in ((100_000 if streamed else len(whole), None), (99_999, "answer_too_large")):
        world = World(FakeUpstream(steps, streamed=streamed))
        world.server, world.buffered = ServerConfig(max_answer=limit), True
        told = await world.answer()
        assert (failure(told)[1] if code else kinds(told)[-1]) == (code or Done)
        assert (world.upstreams[0].opened, verdict(world)) == (1, "neutral" if code else "success")


async def test_reasoning_that_nobody_gets_is_not_buffered(autojump_clock: MockClock) -> None:
    thoughts = [sse_chunk({"reasoning_content": "Adding numbers again. " * 50})] * 50
    for reasoning, code in (("summary", None), ("raw", "answer_too_large")):
        world = World(FakeUpstream([*thoughts, SPEAK + FINISH + DONE]))
        world.server, world.buffered = ServerConfig(max_answer=50_000), True
        request = parse_chat_request(dumps(chat(gateway={"reasoning": reasoning})).encode())
        told = await world.answer(request)
        assert (failure(told)[1] if code else kinds(told)[-1]) == (code or Done)


async def test_another_attempt_gathers_anew(autojump_clock: MockClock) -> None:
    piece = sse_chunk({"content": "x" * 60_000})
    world = World(FakeUpstream([piece], [piece, FINISH + DONE]))
    world.server, world.buffered = ServerConfig(max_answer=100_000), True
    assert kinds(await world.answer())[-1] is Done
    assert (world.upstreams[0].opened, world.record.outcome) == (2, "ok")


async def test_all_answers_together_have_a_limit(autojump_clock: MockClock) -> None:
    """The request that would exceed it fails; the others, and small ones, do not."""
    piece = sse_chunk({"content": "x" * 80_000})
    go_on = trio.Event()
    first = World(FakeUpstream([piece, go_on, FINISH + DONE]))
    second = World(FakeUpstream([piece, FINISH + DONE]))
    third = World(FakeUpstream([SPEAK + FINISH + DONE]))
    second.held = third.held = first.held = ByteBudget(170_000)
    first.buffered = second.buffered = third.buffered = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.answer_unchecked)
        await trio.sleep(1)
        assert first.held.held == 80_000
        assert failure(await second.answer_unchecked())[1] == "answer_too_large"
        assert kinds(await third.answer_unchecked())[-1] is Done
        go_on.set()
    assert (first.record.outcome, first.held.held) == ("ok", 0)
    assert verdict(second) == "neutral"


async def test_a_large_event_is_held_until_its_client_has_it(autojump_clock: MockClock) -> None:
    event = sse_chunk({"images": [{"url": "x" * 200_000}]})
    pieces = [event[start : start + 60_000] for start in range(0, len(event), 60_000)]
    world = World(FakeUpstream([*pieces[:2], 1.0, *pieces[2:], 10.0, SPEAK + FINISH + DONE]))
    async with world.stream(prompt="off") as batches:
        await trio.sleep(0.5)
        assert world.held.held == 120_000
        await trio.sleep(5)
        assert world.held.held == len(event) - len("data: \n\n")
        batch = await anext(batches)
        assert [type(each) for each in batch] == [OutputExtra]
        await trio.testing.wait_all_tasks_blocked()
        assert world.held.held == 0
        async for _ in batches:
            pass
    assert world.record.outcome == "ok"


async def test_large_events_of_all_have_a_limit(autojump_clock: MockClock) -> None:
    event = sse_chunk({"images": [{"url": "x" * 200_000}]})
    world = World(FakeUpstream([THINK, event[:100_000], event[100_000:]]))
    world.held.limit = 150_000
    assert failure(await world.answer())[1] == "answer_too_large"
    assert (world.upstreams[0].opened, verdict(world)) == (1, "neutral")


@pytest.mark.parametrize("leaves_after", [0.5, 2.0])
async def test_a_client_that_leaves_gives_the_memory_back(
    leaves_after: float, autojump_clock: MockClock
) -> None:
    event = sse_chunk({"images": [{"url": "x" * 200_000}]})
    world = World(FakeUpstream([event[:100_000], 1.0, event[100_000:], *[event] * 9]))
    async with world.stream(prompt="off"):
        await trio.sleep(leaves_after)
        assert world.held.held
    world.check()


async def test_a_slow_client_slows_the_upstream_by_bytes(autojump_clock: MockClock) -> None:
    """However large its events are, what waits is one mebibyte, besides the one that is delivered."""
    read = 0

    class Counting(list[bytes]):
        def __iter__(self) -> Any:
            nonlocal read
            for number in range(100):
                read = number
                yield sse_chunk({"images": [{"url": "x" * 400_000}]})

    world = World(FakeUpstream(Counting([b""])))
    async with world.stream(prompt="off") as batches:
        await anext(batches)
        await trio.sleep(10)
        assert read < 5
        assert world.held.held < 5 * 410_000


async def test_a_long_text_leaves_in_pieces_that_amount_to_it(autojump_clock: MockClock) -> None:
    text = "0123456789" * 10_000
    told = await World(FakeUpstream([sse_chunk({"content": text}), FINISH + DONE])).answer()
    pieces = [event.text for _, event in told if isinstance(event, OutputDelta)]
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 8192


async def test_what_came_before_an_error_in_the_same_read_is_sent_once(autojump_clock: MockClock) -> None:
    text = "0123456789" * 2_000
    bad = sse_chunk({"content": "4"}, index=5)
    world = World(FakeUpstream([sse_chunk({"content": "a"}) + sse_chunk({"content": text}) + bad]))
    told = await world.answer()
    assert "".join(event.text for _, event in told if isinstance(event, OutputDelta)) == "a" + text
    assert failure(told)[1] == "upstream_protocol"


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ([b": hi\n\n", 20.0] * 99, "neutral"),
        ([*[b": hi\n\n", 20.0] * 3, SPEAK + FINISH + DONE], "success"),
        ([b": hi\n\n", 40.0, SPEAK + FINISH + DONE], "success and slow"),
        ([b": hi\n\n", float("inf")], "failure and slow"),
        ([SPEAK, *[b": hi\n\n", 20.0] * 99], "neutral"),
    ],
)
async def test_an_upstream_that_queues_is_neither_ill_nor_slow(
    steps: list[Step], outcome: str, autojump_clock: MockClock
) -> None:
    world = World(FakeUpstream(steps), max_attempts=1)
    await world.answer()
    assert verdict(world) == outcome


async def test_a_queue_is_left_for_the_next_upstream_never_for_the_same(autojump_clock: MockClock) -> None:
    queue, other = FakeUpstream([b": hi\n\n", 20.0] * 99), FakeUpstream([SPEAK + FINISH + DONE])
    world = World(queue, other)
    told = await world.answer()
    assert (told[-1], queue.opened, other.opened) == ((600.0, Done()), 1, 1)


async def test_comments_do_not_extend_the_time_of_a_probe(autojump_clock: MockClock) -> None:
    fails = UpstreamFailure(fault_of_transport("upstream_unreachable", "x"))
    queue: list[Step] = [b": hi\n\n", 1.0]
    world = World(FakeUpstream([fails], queue * 99), max_attempts=1, breaker=BreakerConfig(consecutive=1))
    await world.answer()
    breaker = world.backends[0].breaker
    await trio.sleep(breaker.snapshot(trio.current_time()).open_until_s)
    started = trio.current_time()
    assert failure(await world.answer())[0] - started == pytest.approx(15.0, abs=0.01)


async def test_after_every_finish_reason_comments_extend_nothing(autojump_clock: MockClock) -> None:
    comments: list[Step] = [b": hi\n\n", 1.0]
    told = await World(FakeUpstream([SPEAK + FINISH, *comments * 99])).answer()
    assert told[-1] == (5.0, Done())


async def test_two_minutes_of_thinking_are_told_without_gaps(autojump_clock: MockClock) -> None:
    """Real reasoning at 30 tokens a second: no gap between signs of progress is longer than two intervals."""
    traces = load_traces(Path(__file__).parent.parent / "data" / "reasoning_traces.jsonl")
    text = "\n".join(trace.reasoning for trace in traces)
    steps: list[bytes | float | Exception] = [sse_chunk({"content": "<think>"})]
    for start in range(0, 120 * 30 * 4, 4):
        steps += [sse_chunk({"content": text[start : start + 4]}), 1 / 30]
    world = World(FakeUpstream([*steps, sse_chunk({"content": "</think>4"}), FINISH + DONE]))
    told = await world.answer()
    times = [0.0, *(when for when, event in told if isinstance(event, ReasoningLine | Ping))]
    assert max(later - sooner for sooner, later in pairwise(times)) <= 4.0
    lines = [event.text for _, event in told if isinstance(event, ReasoningLine)]
    assert len(lines) == len(set(lines))
    assert len(lines) > 30
    first_output = next(when for when, event in told if isinstance(event, OutputDelta))
    assert first_output == pytest.approx(120.0, abs=0.1)


def said(told: list[tuple[float, Event]]) -> str:
    return "".join(event.text for _, event in told if isinstance(event, OutputDelta))


async def test_what_waits_for_a_slow_client_at_the_deadline_is_delivered(autojump_clock: MockClock) -> None:
    pieces = [sse_chunk({"content": f" {number}"}) for number in range(20)]
    world = World(FakeUpstream([sse_chunk({"content": "So"}), *pieces, float("inf")]))
    told: list[tuple[float, Event]] = []
    async with world.stream() as batches:
        await trio.sleep(901.0)  # the client takes nothing until the request's time is over
        async for batch in batches:
            told += [(trio.current_time(), event) for event in batch]
    # What was read waited for the client; the rest was left in the socket.
    assert said(told) == "So"
    assert failure(told)[1] == "deadline"
    world.check()
    assert verdicts(world) == {"neutral": 1}, "the time went to the client"


async def test_a_deadline_that_an_upstream_has_used_up_is_its_failure(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([sse_chunk({"content": "So"}), 5.0] * 999), idle_timeout=6.0)
    assert failure(await world.answer())[1] == "deadline"
    assert verdicts(world) == {"failure": 1}


def verdicts(world: World) -> dict[str, int]:
    """How the calls of the first upstream were judged."""
    seen = world.backends[0].breaker.snapshot(trio.current_time())
    counts = {"success": seen.success, "failure": seen.failure, "neutral": seen.neutral, "stale": seen.stale}
    return {name: count for name, count in counts.items() if count}


async def test_a_stop_after_every_finish_reason_is_no_error(autojump_clock: MockClock) -> None:
    world = World(FakeUpstream([SPEAK, FINISH, float("inf")]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_after, 1.0, world)
        told = await world.answer()
    assert kinds(told)[-2:] == [Finish, Done]
    assert world.record.outcome == "ok"


async def _cut_after(seconds: float, world: World) -> None:
    await trio.sleep(seconds)
    for attempts in world.running:
        attempts.cut()


async def test_of_choices_that_think_at_once_one_is_summarised(autojump_clock: MockClock) -> None:
    thoughts = ("Counting the apples in the basket first. ", "Weighing every pear on the kitchen scale. ")
    starts = range(0, max(map(len, thoughts)), 7)
    steps: list[Step] = []
    for _ in range(5):
        for start in starts:
            for index, thought in enumerate(thoughts):
                steps += [sse_chunk({"reasoning_content": thought[start : start + 7]}, index=index), 0.1]
    world = World(FakeUpstream([*steps, sse_chunk({"content": "4"}), FINISH + DONE]))
    request = parse_chat_request(dumps(chat(n=2)).encode())
    lines = [event.text for _, event in await world.answer(request) if isinstance(event, ReasoningLine)]
    assert lines
    assert all("apples" in line and "pear" not in line for line in lines)
