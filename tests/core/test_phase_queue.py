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
def test_what_has_its_turn_would_be_taken_as_soon_as_it_is_put(steps: list[tuple[Phase, str]]) -> None:
    queue = PhaseQueue()
    for number, (phase, step) in enumerate(steps):
        if step == "close":
            queue.close(phase)
        elif step == "take":
            queue.take()
        elif queue.is_open(phase):
            has_turn = queue.has_turn(phase)
            queue.put(phase, [OutputDelta(number, phase)])
            if has_turn:
                assert queue.take() == [OutputDelta(number, phase)]
        else:
            assert not queue.has_turn(phase)


def test_a_phase_has_its_turn_once_those_before_it_are_closed_and_taken() -> None:
    queue = PhaseQueue()
    turns = []
    for phase in Phase:
        turns.append([queue.has_turn(each) for each in Phase])
        queue.close(phase)
        queue.take()
    assert turns == [[True, False, False], [False, True, False], [False, False, True]]
    assert not any(map(queue.has_turn, Phase))


def test_events_do_not_overtake_those_of_their_phase() -> None:
    queue = PhaseQueue()
    queue.put(Phase.PROMPT_SUMMARY, [PromptSummary("p")])
    assert not queue.has_turn(Phase.PROMPT_SUMMARY)
    queue.put(Phase.FINAL_OUTPUT, [OutputDelta(0, "o")])
    queue.take()
    assert queue.has_turn(Phase.PROMPT_SUMMARY)


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
