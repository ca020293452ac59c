"""The queue of phases: order, whatever the order of arrival."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.events import Event, OutputDelta, PromptSummary, ReasoningLine
from trio_gateway.core.phase_queue import PhaseQueue
from trio_gateway.core.phases import Phase

EVENTS: dict[Phase, Event] = {
    Phase.PROMPT_SUMMARY: PromptSummary("p"),
    Phase.REASONING_SUMMARY: ReasoningLine("r"),
    Phase.FINAL_OUTPUT: OutputDelta(0, "o"),
}


@pytest.mark.parametrize("order", list(permutations(Phase)))
def test_a_later_phase_waits_for_the_earlier_ones(order: tuple[Phase, ...]) -> None:
    queue = PhaseQueue()
    taken = []
    for phase in order:
        queue.put(phase, [EVENTS[phase]])
        taken += queue.take()
        queue.close(phase)
        taken += queue.take()
    assert taken == list(EVENTS.values())
    assert queue.is_over


def test_a_closed_phase_takes_nothing_more() -> None:
    queue = PhaseQueue()
    queue.close(Phase.PROMPT_SUMMARY)
    queue.close(Phase.PROMPT_SUMMARY)
    assert not queue.is_open(Phase.PROMPT_SUMMARY)
    assert queue.is_open(Phase.FINAL_OUTPUT)
    with pytest.raises(ValueError, match="prompt_summary is closed"):
        queue.put(Phase.PROMPT_SUMMARY, [PromptSummary("p")])


STEPS = st.lists(st.tuples(st.sampled_from(Phase), st.sampled_from(["put", "close", "take"])))


@given(STEPS)
def test_any_interleaving_hands_out_everything_once_and_in_order(steps: list[tuple[Phase, str]]) -> None:
    queue = PhaseQueue()
    put: list[tuple[Phase, Event]] = []
    taken: list[Event] = []
    for number, (phase, step) in enumerate(steps):
        if step == "put" and queue.is_open(phase):
            event = OutputDelta(number, phase)
            put.append((phase, event))
            queue.put(phase, [event])
        elif step == "close":
            queue.close(phase)
        elif step == "take":
            taken += queue.take()
    for phase in Phase:
        queue.close(phase)
    taken += queue.take()
    assert taken == [event for phase in Phase for owner, event in put if owner is phase]
    assert queue.is_over
    assert queue.take() == []
