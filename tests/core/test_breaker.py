"""The breaker's rules one by one: trips, open times, the gate, the forced states, what is shown."""

from __future__ import annotations

from time import perf_counter
from typing import Literal, TypedDict, Unpack

import pytest

from trio_gateway.core.breaker import CircuitBreaker, Outcome, Permit, Reason, Refusal, State, Transition
from trio_gateway.core.breaker.state import TABLE
from trio_gateway.core.config import BreakerConfig

S, F, N = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
DEFAULT = BreakerConfig()


class How(TypedDict, total=False):
    slow: bool
    opens: bool
    throttle: bool
    retry_after: float | None
    error_class: str


def make(config: BreakerConfig = DEFAULT) -> CircuitBreaker:
    """A breaker whose random source is in the middle: no spread."""
    return CircuitBreaker(config, random=lambda: 0.5)


def permit(breaker: CircuitBreaker, now: float) -> Permit:
    answer = breaker.admit(now)
    assert isinstance(answer, Permit)
    return answer


def end(breaker: CircuitBreaker, outcome: Outcome, now: float, **how: Unpack[How]) -> bool:
    return breaker.settle(permit(breaker, now), outcome, now, **how)


def tripped() -> CircuitBreaker:
    breaker = make()
    assert end(breaker, F, 0.0, opens=True)
    return breaker


def state(breaker: CircuitBreaker) -> State:
    return breaker.snapshot(0.0).state


# Transitions


def test_the_table_holds_the_legal_edges_and_no_other() -> None:
    forced = {State.FORCED_OPEN, State.FORCED_CLOSED}
    edges = {(old, new) for old, row in TABLE.items() for new in row.values() if old is not new}
    assert edges == {
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
        (State.HALF_OPEN, State.OPEN),
        (State.OPEN, State.CLOSED),
        *((old, new) for old in State for new in forced if old is not new),
        *((old, State.CLOSED) for old in forced),
    }


def test_each_transition_is_told_once_and_in_order() -> None:
    breaker = tripped()
    breaker.confirm(permit(breaker, 6.0), 7.0)
    breaker.reset(8.0)  # closed already: nothing happens
    assert breaker.drain_events() == [
        Transition(State.CLOSED, State.OPEN, 1, 0.0, Reason.AT_ONCE),
        Transition(State.OPEN, State.HALF_OPEN, 2, 6.0, Reason.OPEN_OVER),
        Transition(State.HALF_OPEN, State.CLOSED, 3, 7.0, Reason.PROBES_PASSED),
    ]
    assert breaker.drain_events() == []


def test_events_that_nobody_reads_are_bounded_and_the_gap_shows() -> None:
    breaker = make()
    for _ in range(300):
        end(breaker, F, 0.0, opens=True)
        breaker.reset(0.0)
    assert [event.generation for event in breaker.drain_events()] == list(range(345, 601))


# Trips


@pytest.mark.parametrize(
    ("config", "calls", "reason"),
    [
        (DEFAULT, "FFFFF", Reason.CONSECUTIVE),
        (DEFAULT, "FFFFSF", None),
        (DEFAULT, "FFFFNF", Reason.CONSECUTIVE),
        (BreakerConfig(consecutive=0), "FFFFFFFFF", None),
        (BreakerConfig(consecutive=0), "FFFFFFFFFF", Reason.FAILURE_RATE),
        (DEFAULT, "FSFSFSFSF", None),
        (DEFAULT, "FSFSFSFSFS", Reason.FAILURE_RATE),
        (DEFAULT, "SFSFSFSFSSF", None),
        (BreakerConfig(failure_rate=0.3), "SSSSSSSFFF", Reason.FAILURE_RATE),
        (BreakerConfig(failure_rate=0.3), "SSSSSSSSFF", None),
        (BreakerConfig(min_calls=3, window_calls=3), "SSSSFSF", Reason.FAILURE_RATE),
        (BreakerConfig(min_calls=3, window_calls=3), "SSSSFSS", None),
        (DEFAULT, "ssssssssSS", Reason.SLOW_RATE),
        (DEFAULT, "sssssssSSS", None),
        (DEFAULT, "nnnnnnnnSS", Reason.SLOW_RATE),  # the client left, but later than it should have had to
        (DEFAULT, "NNNNNNNNSS", None),
        (BreakerConfig(force="closed"), "FFFFFFFFFFFFFFFFFFFF", None),
    ],
)
def test_what_trips(config: BreakerConfig, calls: str, reason: Reason | None) -> None:
    """Each letter is a call that ends so; a small one was slow. All but the last must leave it closed."""
    breaker = make(config)
    outcomes = {"S": S, "F": F, "N": N}
    results = [end(breaker, outcomes[call.upper()], 0.0, slow=call.islower()) for call in calls]
    assert results == [False] * (len(calls) - 1) + [reason is not None]
    assert [event.reason for event in breaker.drain_events()] == ([reason] if reason else [])


def test_calls_that_left_the_window_do_not_trip() -> None:
    breaker = make(BreakerConfig(consecutive=0))
    for _ in range(9):
        end(breaker, F, 0.0)
    assert not end(breaker, F, 30.0)
    assert breaker.snapshot(30.0).calls == 1


@pytest.mark.parametrize("outcome", [S, N])
def test_only_a_failure_trips_at_once(outcome: Outcome) -> None:
    breaker = make()
    assert not end(breaker, outcome, 0.0, opens=True)
    assert state(breaker) is State.CLOSED


# Open


def test_open_refuses_and_says_until_when() -> None:
    breaker = tripped()
    assert breaker.admit(1.5) == Refusal(3.5, throttled=False)
    assert breaker.snapshot(1.5).open_until_s == 3.5
    assert not breaker.can_admit(4.75)
    assert breaker.can_admit(5.0)
    assert state(breaker) is State.OPEN  # asking is not admitting
    assert permit(breaker, 5.0).probe
    assert state(breaker) is State.HALF_OPEN


def test_each_reopening_in_a_row_doubles_the_time_up_to_the_cap() -> None:
    breaker, now, times = tripped(), 0.0, []
    for _ in range(6):
        times.append(breaker.snapshot(now).open_until_s)
        now += times[-1]
        assert end(breaker, F, now)
    assert times == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    breaker.reset(now)
    end(breaker, F, now, opens=True)
    assert breaker.snapshot(now).open_until_s == 5.0


def test_an_open_time_below_a_second_is_kept() -> None:
    breaker = make(BreakerConfig(open_base=0.25))
    end(breaker, F, 0.0, opens=True)
    permit(breaker, 0.25)  # lost: reopens at 15.25 for 0.5
    assert [breaker.can_admit(now) for now in (15.5, 15.75)] == [False, True]
    assert breaker.admit(15.5) == Refusal(0.25)


def test_reopening_for_months_does_not_overflow() -> None:
    breaker, now = tripped(), 0.0
    for _ in range(1100):
        now += 60.0
        end(breaker, F, now)
    assert breaker.snapshot(now).open_until_s == 60.0


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 4.0), (0.25, 4.5), (0.75, 5.5)])
def test_the_time_is_spread(draw: float, seconds: float) -> None:
    breaker = CircuitBreaker(BreakerConfig(), random=lambda: draw)
    end(breaker, F, 0.0, opens=True)
    assert breaker.snapshot(0.0).open_until_s == seconds


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 5.0), (3.0, 5.0), (7.0, 7.0), (500.0, 120.0), (-1.0, 5.0), (float("nan"), 5.0)],
)
def test_a_trip_lasts_at_least_its_retry_after(asked: float | None, seconds: float) -> None:
    breaker = make()
    end(breaker, F, 0.0, opens=True, retry_after=asked)
    assert breaker.snapshot(0.0).open_until_s == seconds


def test_a_retry_after_without_a_trip_means_nothing() -> None:
    breaker = make()
    assert not end(breaker, F, 0.0, retry_after=50.0)
    assert breaker.can_admit(0.0)


# The gate of a 429


def test_a_429_closes_the_gate_and_leaves_the_state() -> None:
    breaker = make()
    end(breaker, F, 0.0, throttle=True, retry_after=3.0, error_class="rate_limit_exceeded")
    assert breaker.admit(1.0) == Refusal(2.0, throttled=True)
    assert not breaker.can_admit(2.75)
    shown = breaker.snapshot(1.0)
    assert (shown.state, shown.calls, shown.failure_rate) == (State.CLOSED, 1, 1.0)
    assert permit(breaker, 3.0)


def test_a_429_without_a_usable_header_closes_no_gate() -> None:
    breaker = make()
    end(breaker, F, 0.0, throttle=True)
    assert permit(breaker, 0.0)


def test_a_shorter_gate_does_not_open_a_longer_one() -> None:
    breaker = make()
    first, second = permit(breaker, 0.0), permit(breaker, 0.0)
    breaker.settle(first, F, 0.0, throttle=True, retry_after=9.0)
    breaker.settle(second, F, 0.0, throttle=True, retry_after=1.0)
    assert breaker.admit(0.0) == Refusal(9.0, throttled=True)


def test_a_call_held_back_by_the_gate_does_not_begin_half_open() -> None:
    breaker = make()
    end(breaker, F, 0.0, opens=True, throttle=True, retry_after=8.0)
    assert breaker.admit(7.0) == Refusal(1.0, throttled=True)
    assert state(breaker) is State.OPEN
    assert permit(breaker, 8.0).probe


# By hand


@pytest.mark.parametrize("force", ["open", "closed"])
def test_forced_from_the_start(force: Literal["open", "closed"]) -> None:
    breaker = make(BreakerConfig(force=force))
    assert state(breaker) == f"forced_{force}"
    assert breaker.can_admit(0.0) is (force == "closed")
    assert breaker.drain_events() == []


def test_forced_open_refuses_everything() -> None:
    assert make(BreakerConfig(force="open")).admit(1e6) == Refusal(60.0)


def test_a_reload_forces_and_releases() -> None:
    breaker = tripped()
    forces: list[Literal["", "open", "closed"]] = ["open", "open", "closed", "", ""]
    for now, force in enumerate(forces, start=1):
        breaker.configure(BreakerConfig(force=force), now)
    assert [(event.new, event.at) for event in breaker.drain_events()[1:]] == [
        (State.FORCED_OPEN, 1),
        (State.FORCED_CLOSED, 3),
        (State.CLOSED, 4),
    ]


def test_a_reload_keeps_the_state() -> None:
    breaker = make()
    for _ in range(4):
        end(breaker, F, 0.0)
    breaker.configure(BreakerConfig(consecutive=3, min_calls=2), 0.0)
    assert breaker.snapshot(0.0).calls == 4
    assert end(breaker, F, 0.0)
    breaker.configure(BreakerConfig(open_base=50.0), 1.0)
    assert breaker.admit(1.0) == Refusal(4.0)


@pytest.mark.parametrize("config", [BreakerConfig(window=31.0), BreakerConfig(window_calls=20)])
def test_a_window_of_another_shape_begins_empty(config: BreakerConfig) -> None:
    breaker = make()
    end(breaker, F, 0.0)
    breaker.configure(config, 0.0)
    assert (breaker.snapshot(0.0).calls, breaker.snapshot(0.0).state) == (0, State.CLOSED)


def test_a_reset_closes_any_state() -> None:
    for breaker in (tripped(), make(BreakerConfig(force="open")), make(BreakerConfig(force="closed"))):
        breaker.reset(1.0)
        assert state(breaker) is State.CLOSED
        assert breaker.can_admit(1.0)


# Seeing


def test_a_fresh_breaker() -> None:
    shown = make().snapshot(0.0)
    assert (shown.state, shown.generation, shown.failure_rate, shown.slow_rate) == ("closed", 0, 0.0, 0.0)
    assert (shown.calls, shown.open_until_s, shown.opened_total, shown.last_error_class) == (0, 0.0, 0, None)


def test_reading_never_moves_it() -> None:
    breaker = tripped()
    permit(breaker, 5.0)
    before = breaker.snapshot(1e6)
    assert breaker.can_admit(1e6)
    assert breaker.snapshot(1e6) == before
    assert before.state is State.HALF_OPEN


def test_the_last_error_class_is_a_failures() -> None:
    breaker = make()
    end(breaker, F, 0.0, error_class="truncated")
    end(breaker, N, 0.0, error_class="cancelled")
    end(breaker, F, 0.0)
    assert breaker.snapshot(0.0).last_error_class == "truncated"


def test_a_refusal_costs_less_than_a_millisecond() -> None:
    breaker = tripped()
    start = perf_counter()
    for _ in range(1000):
        breaker.admit(1.0)
    assert perf_counter() - start < 1.0
