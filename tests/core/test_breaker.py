"""The breaker's rules one by one: trips, open times, the forced states, what is shown and what is refused."""

from __future__ import annotations

from time import thread_time
from typing import Literal

import pytest
from msgspec.structs import replace

from tests.core.breaking import DEFAULT, FAILED, LOST, NEUTRAL, SUCCESS, end, make, permit, state, tripped
from trio_gateway.core.breaker import CircuitBreaker, Outcome, Reason, Refusal, State, Transition, Verdict
from trio_gateway.core.breaker.state import TABLE
from trio_gateway.core.config import BreakerConfig

WHY = "after 5 failures in a row; the last: connection refused"


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
        Transition(State.CLOSED, State.OPEN, 1, 0.0, Reason.CONSECUTIVE),
        Transition(State.OPEN, State.HALF_OPEN, 2, 6.0, Reason.OPEN_OVER),
        Transition(State.HALF_OPEN, State.CLOSED, 3, 7.0, Reason.PROBES_PASSED),
    ]
    assert breaker.drain_events() == []


def test_events_that_nobody_reads_are_bounded_and_the_gap_shows() -> None:
    breaker = make(BreakerConfig(consecutive=1))
    for _ in range(300):
        end(breaker, LOST, 0.0)
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
    breaker = make(replace(config, window=5000.0))
    results = [play(breaker, letter, 40.0 * place) for place, letter in enumerate(calls)]
    assert results == [False] * (len(calls) - 1) + [reason is not None]
    assert [event.reason for event in breaker.drain_events()] == ([reason] if reason else [])


def play(breaker: CircuitBreaker, letter: str, now: float) -> bool:
    """A call that is like no other, slow if its letter is a small one."""
    one, at = permit(breaker, now), now + 31.0 * letter.islower()
    if letter not in "Nn":
        breaker.confirm(one, at)
    return breaker.settle(one, {"S": SUCCESS, "F": FAILED, "N": NEUTRAL}[letter.upper()], at)


def test_calls_that_left_the_window_do_not_trip() -> None:
    breaker = make(BreakerConfig(consecutive=0))
    for _ in range(9):
        end(breaker, FAILED, 0.0)
    assert not end(breaker, FAILED, 30.0)
    assert breaker.snapshot(30.0).calls == 1


# Open


def test_open_refuses_and_says_until_when() -> None:
    breaker = tripped()
    assert breaker.admit(1.5) == Refusal(3.5, WHY)
    assert breaker.why == WHY
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
        assert end(breaker, FAILED, now)
    assert times == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    breaker.reset(now)
    for _ in range(5):
        end(breaker, LOST, now)
    assert breaker.snapshot(now).open_until_s == 5.0


def test_an_open_time_below_a_second_is_kept() -> None:
    breaker = tripped(BreakerConfig(open_base=0.25))
    permit(breaker, 0.25)  # lost: reopens at 15.25 for 0.5
    assert [breaker.can_admit(now) for now in (15.5, 15.75)] == [False, True]
    assert breaker.admit(15.5) == Refusal(0.25, "because the call that tried it had no first event in time")


def test_reopening_for_months_does_not_overflow() -> None:
    breaker, now = tripped(), 0.0
    for _ in range(1100):
        now += 60.0
        end(breaker, FAILED, now)
    assert breaker.snapshot(now).open_until_s == 60.0


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 4.0), (0.25, 4.5), (0.75, 5.5)])
def test_the_time_is_spread(draw: float, seconds: float) -> None:
    breaker = CircuitBreaker(BreakerConfig(consecutive=1), random=lambda: draw)
    end(breaker, LOST, 0.0)
    assert breaker.snapshot(0.0).open_until_s == seconds


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 5.0), (3.0, 5.0), (7.0, 7.0), (500.0, 120.0), (-1.0, 5.0), (float("nan"), 5.0)],
)
def test_a_trip_lasts_at_least_its_retry_after(asked: float | None, seconds: float) -> None:
    breaker = make(BreakerConfig(consecutive=1))
    end(breaker, replace(FAILED, retry_after=asked), 0.0)
    assert breaker.snapshot(0.0).open_until_s == seconds


def test_a_retry_after_without_a_trip_means_nothing() -> None:
    breaker = make()
    assert not end(breaker, replace(FAILED, retry_after=50.0), 0.0)
    assert breaker.can_admit(0.0)


# By hand


@pytest.mark.parametrize("force", ["open", "closed"])
def test_forced_from_the_start(force: Literal["open", "closed"]) -> None:
    breaker = make(BreakerConfig(force=force))
    assert state(breaker) == f"forced_{force}"
    assert breaker.can_admit(0.0) is (force == "closed")
    assert breaker.drain_events() == []


def test_forced_open_refuses_everything() -> None:
    assert make(BreakerConfig(force="open")).admit(1e6) == Refusal(
        60.0, 'because the configuration says force = "open"'
    )


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
        end(breaker, FAILED, 0.0)
    breaker.configure(BreakerConfig(consecutive=3, min_calls=2), 0.0)
    assert breaker.snapshot(0.0).calls == 4
    assert end(breaker, LOST, 0.0)
    breaker.configure(BreakerConfig(open_base=50.0), 1.0)
    assert breaker.admit(1.0) == Refusal(4.0, WHY)


@pytest.mark.parametrize("config", [BreakerConfig(window=31.0), BreakerConfig(window_calls=20)])
def test_a_window_of_another_shape_begins_empty(config: BreakerConfig) -> None:
    breaker = make()
    end(breaker, FAILED, 0.0)
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
    end(breaker, replace(FAILED, error_class="truncated"), 0.0)
    end(breaker, replace(NEUTRAL, error_class="cancelled"), 0.0)
    end(breaker, Verdict(Outcome.FAILURE), 0.0)
    assert breaker.snapshot(0.0).last_error_class == "truncated"


def test_a_refusal_costs_less_than_a_millisecond() -> None:
    breaker = tripped()
    start = thread_time()  # of this process alone, however busy the machine is
    for _ in range(1000):
        breaker.admit(1.0)
    assert thread_time() - start < 1.0
