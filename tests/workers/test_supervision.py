"""When workers start, stop and start again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.server.workers.supervision import (
    START_FAILURES,
    TABLE,
    Happening,
    Supervision,
    WorkerState,
    pause_after,
)

D, R, X, S = Happening.DUE, Happening.READY, Happening.EXIT, Happening.STOP


@pytest.mark.parametrize(
    ("happenings", "state"),
    [
        ((), WorkerState.PAUSED),
        ((D,), WorkerState.STARTING),
        ((D, R), WorkerState.SERVING),
        ((D, X), WorkerState.PAUSED),
        ((D, R, X), WorkerState.PAUSED),
        ((D, R, X, D), WorkerState.STARTING),
        ((S,), WorkerState.ENDED),
        ((S, D), WorkerState.ENDED),
        ((S, S), WorkerState.ENDED),
        ((D, S), WorkerState.STOPPING),
        ((D, S, R), WorkerState.STOPPING),
        ((D, S, R, X), WorkerState.ENDED),
        ((D, S, X), WorkerState.ENDED),
        ((D, R, S), WorkerState.STOPPING),
        ((D, R, S, S), WorkerState.STOPPING),
        ((D, R, S, X), WorkerState.ENDED),
        ((D, R, X, S), WorkerState.ENDED),
    ],
)
def test_what_a_worker_does_after(happenings: tuple[Happening, ...], state: WorkerState) -> None:
    supervision = Supervision(1)
    for happening in happenings:
        apply(supervision, happening)
    assert supervision.state(0) is state


def apply(supervision: Supervision, happening: Happening, number: int = 0, now: float = 0.0) -> None:
    match happening:
        case Happening.DUE:
            supervision.due(number)
        case Happening.READY:
            supervision.ready(number, now)
        case Happening.EXIT:
            supervision.exited(number, now)
        case Happening.STOP:
            supervision.stop()


def test_after_a_stop_every_way_leads_to_the_end() -> None:
    stopped = {TABLE[state, S] for state in WorkerState}
    assert stopped == {WorkerState.STOPPING, WorkerState.ENDED}
    for state in stopped:
        assert {after for (before, _), after in TABLE.items() if before is state} <= stopped
    assert TABLE[WorkerState.STOPPING, X] is WorkerState.ENDED


def test_pauses_grow_up_to_a_bound() -> None:
    pauses = [pause_after(ends) for ends in range(1, 5000)]
    assert pauses[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0


def served(supervision: Supervision, start: float, end: float) -> float | None:
    assert supervision.due(0)
    supervision.ready(0, start)
    return supervision.exited(0, end)


def test_pauses_of_a_worker_that_served_and_begin_anew_after_a_steady_minute() -> None:
    supervision = Supervision(1)
    assert [served(supervision, at, at + 1.0) for at in (0.0, 2.0, 4.0)] == [0.0, 0.1, 0.2]
    assert served(supervision, 10.0, 70.0) == 0.0
    assert served(supervision, 71.0, 72.0) == 0.1


def test_one_that_keeps_failing_at_its_start_ends_the_gateway() -> None:
    supervision = Supervision(2)
    supervision.due(1)
    supervision.ready(1, 0.0)
    pauses = []
    for _ in range(START_FAILURES):
        assert supervision.trouble == ""
        assert supervision.due(0)
        pauses.append(supervision.exited(0, 0.0))
    assert pauses == [0.0, 0.1, 0.2, 0.4, None]
    assert f"{START_FAILURES} times" in supervision.trouble
    assert "\n" not in supervision.trouble
    assert supervision.stop() == [1]


def test_failed_starts_count_in_a_row_only() -> None:
    supervision = Supervision(1)
    for _ in range(3 * START_FAILURES):
        supervision.due(0)
        supervision.exited(0, 0.0)
        served(supervision, 0.0, 1.0)
    assert supervision.trouble == ""


def test_the_start_is_announced_once_and_when_all_serve() -> None:
    supervision = Supervision(2)
    for number in (0, 1):
        supervision.due(number)
    assert not supervision.ready(0, 0.0)
    supervision.exited(0, 0.0)
    assert not supervision.ready(1, 0.0)  # the other one has ended meanwhile
    supervision.due(0)
    assert supervision.ready(0, 0.0)
    supervision.exited(1, 0.0)
    supervision.due(1)
    assert not supervision.ready(1, 0.0)
    assert supervision.serving == 2


def test_who_has_a_process_is_ordered_to_stop() -> None:
    supervision = Supervision(4)
    for number in (0, 1, 2):
        supervision.due(number)
    supervision.ready(1, 0.0)
    supervision.exited(2, 0.0)
    assert supervision.stop() == [0, 1]
    assert supervision.exited(0, 0.0) is None
    assert supervision.stop() == [1]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(Happening)), max_size=60))
def test_whatever_happens_a_gateway_that_stops_starts_nothing(order: list[tuple[int, Happening]]) -> None:
    supervision = Supervision(3)
    for now, (number, happening) in enumerate(order):
        if (supervision.state(number), happening) not in TABLE:
            continue  # it cannot happen
        before = supervision.state(number)
        if happening is Happening.DUE:
            assert supervision.due(number) == (before is WorkerState.PAUSED)
        elif happening is Happening.EXIT:
            pause = supervision.exited(number, float(now))
            if before is WorkerState.STOPPING:
                assert pause is None
        else:
            apply(supervision, happening, number, float(now))
        if supervision.is_stopping:
            assert supervision.state(number) in {WorkerState.STOPPING, WorkerState.ENDED}
