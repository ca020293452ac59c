"""Half-open: how many probes there are, what decides, and deadlines that nobody has to watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core import breaking
from tests.core.breaking import FAILED, LIMITED, NEUTRAL, SUCCESS, end, make, permit, state
from trio_gateway.core.breaker import Permit, Reason, Refusal, State, Transition, Verdict
from trio_gateway.core.config import BreakerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_gateway.core.breaker import CircuitBreaker

WHY = "after 5 failures in a row; the last: connection refused"
LATE = "because the call that tried it had no first event in time"


def tripped(probes: int = 1) -> CircuitBreaker:
    """A breaker that has opened at 0 for 5 seconds, with 5 failures."""
    return breaking.tripped(BreakerConfig(probes=probes))


# Half-open


def test_of_twenty_calls_at_once_one_is_the_probe() -> None:
    breaker = tripped()
    answers = [breaker.admit(5.0) for _ in range(20)]
    assert [type(answer) for answer in answers] == [Permit] + [Refusal] * 19
    assert answers[1] == Refusal(15.0, WHY)  # by then the probe is decided
    assert not breaker.can_admit(5.0)


def test_a_neutral_probe_gives_its_place_back() -> None:
    breaker = tripped()
    end(breaker, NEUTRAL, 5.0)
    assert breaker.can_admit(6.0)
    assert permit(breaker, 6.0).probe
    assert breaker.snapshot(6.0).generation == 2


def test_a_slow_neutral_probe_decides_nothing() -> None:
    breaker = breaking.tripped(BreakerConfig(slow_after=1.0))
    assert not breaker.settle(permit(breaker, 5.0), NEUTRAL, 7.0)
    assert (state(breaker), breaker.snapshot(7.0).slow_rate) == (State.HALF_OPEN, 1.0)


def test_the_first_failed_probe_reopens() -> None:
    breaker = tripped(3)
    good, bad, late = (permit(breaker, 5.0) for _ in range(3))
    assert not breaker.settle(good, SUCCESS, 6.0)
    assert breaker.settle(bad, FAILED, 6.0)
    assert breaker.drain_events()[-1].reason is Reason.PROBE_FAILED
    assert not breaker.settle(late, SUCCESS, 6.0)
    assert (state(breaker), breaker.snapshot(6.0).stale) == (State.OPEN, 1)


def test_a_limit_that_a_probe_meets_decides_nothing() -> None:
    breaker = tripped()
    assert not end(breaker, LIMITED, 5.0, breaking.call(model="x"))
    assert state(breaker) is State.HALF_OPEN
    assert permit(breaker, 5.0, breaking.call(model="y")).probe


def test_as_many_successes_as_probes_close() -> None:
    breaker = tripped(2)
    end(breaker, SUCCESS, 5.0)
    assert state(breaker) is State.HALF_OPEN
    end(breaker, SUCCESS, 5.0)
    assert state(breaker) is State.CLOSED


def test_a_probe_is_decided_by_its_first_event() -> None:
    breaker = tripped()
    probe = permit(breaker, 5.0)
    rest = breaker.confirm(probe, 6.0)
    assert state(breaker) is State.CLOSED
    assert (probe.settled, rest.settled, rest.probe, rest.generation) == (True, False, False, 3)
    assert breaker.confirm(rest, 6.5) is rest
    shown = breaker.snapshot(6.5)
    assert (shown.admitted, shown.success, shown.failure, shown.in_flight) == (7, 1, 5, 1)
    breaker.settle(rest, FAILED, 7.0)
    assert (breaker.snapshot(7.0).calls, breaker.snapshot(7.0).failure) == (1, 6)


def test_the_rest_of_a_probes_stream_holds_no_place_and_counts_no_second_success() -> None:
    breaker = tripped(2)
    rest = breaker.confirm(permit(breaker, 5.0), 5.0)
    assert breaker.snapshot(5.0).probes_in_flight == 0
    breaker.settle(rest, SUCCESS, 5.0)
    assert state(breaker) is State.HALF_OPEN
    rest = breaker.confirm(permit(breaker, 5.0), 5.0)
    assert state(breaker) is State.CLOSED
    assert rest.generation == 3


def test_a_stream_that_dies_while_others_are_still_tried_reopens() -> None:
    breaker = tripped(2)
    rest = breaker.confirm(permit(breaker, 5.0), 5.0)
    assert breaker.settle(rest, FAILED, 6.0)


def test_a_probe_given_back_cannot_be_confirmed() -> None:
    breaker = tripped()
    probe = permit(breaker, 5.0)
    breaker.settle(probe, NEUTRAL, 5.0)
    assert breaker.confirm(probe, 5.0) is probe
    assert breaker.snapshot(5.0).in_flight == 0


def test_a_probe_of_an_older_generation_cannot_be_confirmed() -> None:
    breaker = tripped()
    probe = permit(breaker, 5.0)
    breaker.reset(6.0)
    assert breaker.confirm(probe, 6.0) is probe
    breaker.settle(probe, SUCCESS, 6.0)
    assert breaker.snapshot(6.0).stale == 1


# Deadlines, which nobody has to watch


def test_only_a_probe_has_a_deadline() -> None:
    assert permit(make(), 0.0).deadline == float("inf")
    assert permit(tripped(), 5.0).deadline == 20.0


def test_the_end_of_half_open_is_a_deadline_too() -> None:
    breaker = tripped()
    end(breaker, NEUTRAL, 5.0)
    assert permit(breaker, 25.0).deadline == 35.0


def test_a_lost_probe_reopens_at_its_deadline_whoever_comes_next() -> None:
    breaker = tripped()
    permit(breaker, 5.0)
    assert not breaker.can_admit(29.75)
    assert breaker.can_admit(30.0)
    assert breaker.admit(21.0) == Refusal(9.0, LATE)
    assert breaker.drain_events()[-1] == Transition(
        State.HALF_OPEN, State.OPEN, 3, 20.0, Reason.PROBE_TIMEOUT
    )
    shown = breaker.snapshot(21.0)
    assert (shown.failure, shown.in_flight, shown.last_error_class) == (6, 0, "first_event_timeout")
    assert permit(breaker, 30.0).probe


def test_after_a_long_silence_the_next_call_is_a_probe_at_once() -> None:
    breaker = tripped()
    permit(breaker, 5.0)
    assert permit(breaker, 9999.0).probe
    assert [event.at for event in breaker.drain_events()] == [0.0, 5.0, 20.0, 9999.0]


@pytest.mark.parametrize("verdict", [SUCCESS, FAILED, NEUTRAL])
def test_a_verdict_after_the_deadline_is_too_late(verdict: Verdict) -> None:
    breaker = tripped()
    probe = permit(breaker, 5.0)
    assert breaker.settle(probe, verdict, 20.0)  # this call found the deadline passed: time to sweep
    assert not breaker.settle(probe, verdict, 20.0)
    shown = breaker.snapshot(20.0)
    assert (shown.state, shown.failure, shown.success + shown.neutral) == (State.OPEN, 6, 0)


def test_a_first_event_after_the_deadline_is_too_late() -> None:
    breaker = tripped()
    probe = permit(breaker, 5.0)
    assert breaker.confirm(probe, 20.0) is probe
    assert state(breaker) is State.OPEN


def test_half_open_without_a_verdict_ends_by_itself() -> None:
    breaker = tripped()
    end(breaker, NEUTRAL, 5.0)
    assert breaker.admit(36.0) == Refusal(9.0, LATE)
    assert breaker.drain_events()[-1] == Transition(
        State.HALF_OPEN, State.OPEN, 3, 35.0, Reason.HALF_OPEN_OVER
    )


@pytest.mark.parametrize(
    "act",
    [
        lambda breaker: breaker.reset(21.0),
        lambda breaker: breaker.configure(BreakerConfig(force="closed"), 21.0),
    ],
)
def test_an_order_by_hand_finds_the_deadline_passed_too(act: Callable[[CircuitBreaker], None]) -> None:
    breaker = tripped()
    permit(breaker, 5.0)
    act(breaker)
    assert [event.at for event in breaker.drain_events()] == [0.0, 5.0, 20.0, 21.0]
    assert breaker.snapshot(21.0).failure == 6


def test_only_the_overdue_probe_fails_with_the_deadline() -> None:
    breaker = tripped(2)
    first, second = permit(breaker, 5.0), permit(breaker, 10.0)
    breaker.admit(20.0)
    assert (first.lapsed, second.lapsed, first.settled) == (True, False, False)  # its holder has it still
    assert not breaker.settle(first, FAILED, 20.0)
    assert not breaker.settle(second, FAILED, 20.0)
    shown = breaker.snapshot(20.0)
    assert (first.settled, shown.failure, shown.stale, shown.in_flight) == (True, 6, 1, 0)
