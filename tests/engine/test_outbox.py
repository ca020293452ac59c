"""The outbox in virtual time: whichever source is late, each event leaves in order and no source is kept."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
import trio

from trio_gateway.core.events import Batch, Done, Event, OutputDelta, Ping, PromptSummary, ReasoningLine
from trio_gateway.core.phases import Phase
from trio_gateway.engine.outbox import Outbox

if TYPE_CHECKING:
    from trio.testing import MockClock

PROMPT, THOUGHT, OUTPUT = PromptSummary("p"), ReasoningLine("r"), OutputDelta(0, "o")
DELAYS = (0.0, 1.0, 2.0)


class SlowSink:
    """A client that takes *pause* seconds for what was written since."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self.events: list[Event] = []

    def write(self, batch: Batch) -> None:
        self.events += batch

    def flush_nowait(self) -> bool:
        return False

    async def flush(self) -> None:
        await trio.sleep(self._pause)


@pytest.mark.parametrize("pause", [0.0, 0.7])
@pytest.mark.parametrize(("prompt", "thought", "output", "attached"), list(product(DELAYS, repeat=4)))
async def test_no_source_waits_for_what_comes_after_it(
    prompt: float, thought: float, output: float, attached: float, pause: float, autojump_clock: MockClock
) -> None:
    outbox, sink = Outbox(), SlowSink(pause)

    async def summaries() -> None:  # one after the other, as the reasoning's is made after the prompt's
        await trio.sleep(prompt)
        outbox.put(Phase.PROMPT_SUMMARY, [PROMPT])
        outbox.close(Phase.PROMPT_SUMMARY)
        await outbox.flush(Phase.PROMPT_SUMMARY)
        await trio.sleep(thought)
        outbox.put(Phase.REASONING_SUMMARY, [THOUGHT])
        outbox.close(Phase.REASONING_SUMMARY)
        await outbox.flush(Phase.REASONING_SUMMARY)

    async def answer() -> None:
        await trio.sleep(output)
        outbox.put(Phase.FINAL_OUTPUT, [OUTPUT])
        await outbox.flush(Phase.FINAL_OUTPUT)
        outbox.close(Phase.FINAL_OUTPUT)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(summaries)
            nursery.start_soon(answer)
            await trio.sleep(attached)
            outbox.attach(sink)
            await outbox.over.wait()
    assert sink.events == [PROMPT, THOUGHT, OUTPUT]


async def test_the_reader_of_the_upstream_waits_for_its_turn(autojump_clock: MockClock) -> None:
    outbox = Outbox()
    outbox.attach(SlowSink(0.0))
    outbox.put(Phase.FINAL_OUTPUT, [OUTPUT])
    with trio.move_on_after(5) as scope:
        await outbox.flush(Phase.FINAL_OUTPUT)
    assert scope.cancelled_caught


async def test_a_ping_is_written_only_where_nothing_else_waits(autojump_clock: MockClock) -> None:
    empty, full = Outbox(), Outbox()
    full.put(Phase.PROMPT_SUMMARY, [PROMPT])
    sinks = [SlowSink(0.0), SlowSink(0.0)]
    for outbox, sink in zip((empty, full), sinks, strict=True):
        outbox.attach(sink, ping_first=True)
    assert [sink.events for sink in sinks] == [[Ping()], [PROMPT]]


@pytest.mark.parametrize("phase", Phase)
async def test_no_events_are_nothing(phase: Phase) -> None:
    outbox, sink = Outbox(), SlowSink(0.0)
    outbox.put(phase, [])
    outbox.attach(sink)
    outbox.put(phase, [])
    assert sink.events == []


async def test_what_comes_after_the_end_of_its_phase_is_dropped(autojump_clock: MockClock) -> None:
    outbox, sink = Outbox(), SlowSink(0.0)
    outbox.attach(sink)
    outbox.close(Phase.PROMPT_SUMMARY)
    outbox.put(Phase.PROMPT_SUMMARY, [PROMPT])
    assert sink.events == []


async def test_a_source_that_put_nothing_waits_for_no_sink(autojump_clock: MockClock) -> None:
    """A stream of OpenAI's attaches its sink at the upstream's first event: empty events may come before it."""
    outbox = Outbox()
    outbox.put(Phase.PROMPT_SUMMARY, [PROMPT])
    with trio.fail_after(1):
        await outbox.flush(Phase.FINAL_OUTPUT)


async def test_nothing_is_written_behind_the_last_event(autojump_clock: MockClock) -> None:
    """The upstream's body may go on for a while after it."""
    outbox, sink = Outbox(), SlowSink(0.0)
    outbox.attach(sink)
    outbox.close(Phase.PROMPT_SUMMARY)
    outbox.close(Phase.REASONING_SUMMARY)
    outbox.put(Phase.FINAL_OUTPUT, [OUTPUT, Done()])
    outbox.ping()
    assert sink.events == [OUTPUT, Done()]
