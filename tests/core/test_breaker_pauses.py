"""Pauses of single models: rate limits, spent quotas, refused keys, and models that fail alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.breaking import (
    FAILED,
    LIMITED,
    LOST,
    NEUTRAL,
    NO_KEY,
    NO_QUOTA,
    SUCCESS,
    call,
    end,
    make,
    permit,
    state,
    tripped,
)
from trio_gateway.core.breaker import (
    CircuitBreaker,
    PauseCause,
    Permit,
    Reason,
    Refusal,
    State,
    Transition,
    Verdict,
)
from trio_gateway.core.breaker.pauses import MAX_PAUSES
from trio_gateway.core.config import BreakerConfig

RATE = "by its rate limit (status 429)"
KEY = "because it refuses the gateway's key (status 401)"


def refusal(breaker: CircuitBreaker, now: float, model: str = "x", *, key: bytes = b"") -> Refusal:
    answer = breaker.admit(now, call("a", model, key=key))
    assert isinstance(answer, Refusal)
    return answer


def is_admitted(breaker: CircuitBreaker, now: float, model: str = "x", *, key: bytes = b"") -> bool:
    """Whether a call would be admitted; it leaves no trace."""
    answer = breaker.admit(now, call("a", model, key=key))
    if isinstance(answer, Permit):
        breaker.settle(answer, NEUTRAL, now)
    return isinstance(answer, Permit)


# Limits


def test_a_rate_limit_pauses_its_model_alone() -> None:
    breaker = make()
    assert not end(breaker, LIMITED, 0.0, call(model="x"))
    assert refusal(breaker, 1.0) == Refusal(8.0, RATE, PauseCause.RATE, "x")
    assert is_admitted(breaker, 1.0, "y")
    shown = breaker.snapshot(1.0)
    assert (shown.state, shown.calls, shown.failure, shown.last_error_class) == (
        State.CLOSED,
        0,
        0,
        "rate_limit_exceeded",
    )


@pytest.mark.parametrize(
    ("verdict", "seconds", "why"),
    [
        (replace(LIMITED, retry_after=3600.0), 60.0, RATE),
        (NO_QUOTA, 60.0, "because the quota of its account is used up"),
        (NO_KEY, 5.0, KEY),
    ],
)
def test_how_long_a_pause_lasts(verdict: Verdict, seconds: float, why: str) -> None:
    breaker = make()
    end(breaker, verdict, 0.0, call(model="x"))
    assert refusal(breaker, 0.0) == Refusal(seconds, why, verdict.pauses, "x")
    assert is_admitted(breaker, seconds)


def test_a_rate_limit_of_no_time_pauses_nothing() -> None:
    breaker = make()
    end(breaker, replace(LIMITED, retry_after=None), 0.0, call(model="x"))
    assert is_admitted(breaker, 0.0)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    breaker = make()
    first, second, third = (permit(breaker, 0.0, call(model="x")) for _ in range(3))
    for one, seconds in ((first, 9.0), (second, 1.0), (third, 20.0)):
        breaker.settle(one, replace(LIMITED, retry_after=seconds), 0.0)
    assert refusal(breaker, 0.0).retry_after == 20.0
    assert [begun.seconds for begun in breaker.drain_pauses()] == [9.0, 20.0]
    assert breaker.drain_pauses() == []


def test_with_keys_of_clients_a_limit_is_one_keys() -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x", key=b"k"))
    assert not is_admitted(breaker, 1.0, key=b"k")
    assert is_admitted(breaker, 1.0, key=b"l")
    assert is_admitted(breaker, 1.0, "y", key=b"k")
    assert breaker.snapshot(1.0).last_error_class is None


def test_a_failing_model_fails_for_every_key() -> None:
    breaker = make(BreakerConfig(consecutive=1))
    end(breaker, SUCCESS, 0.0, call(model="y"))
    end(breaker, FAILED, 0.0, call(model="x", key=b"k"))
    assert not is_admitted(breaker, 1.0, key=b"l")
    end(breaker, LIMITED, 5.0, call("b", "x", key=b"l"))  # it tried it, and another may
    assert is_admitted(breaker, 6.0, key=b"k")


def test_the_longer_of_two_refusals_is_shown() -> None:
    breaker = tripped()
    assert refusal(breaker, 1.0).pause is None
    end(breaker, LIMITED, 5.0, call(model="x"))
    probe = permit(breaker, 5.0, call(model="y"))
    assert refusal(breaker, 6.0) == Refusal(
        14.0, "after 5 failures in a row; the last: connection refused", None, ""
    )
    breaker.settle(probe, replace(LIMITED, retry_after=50.0), 6.0)
    assert refusal(breaker, 7.0, "y").pause is PauseCause.RATE


def test_a_call_that_a_pause_keeps_out_does_not_begin_half_open() -> None:
    breaker = make(BreakerConfig(consecutive=1))
    end(breaker, replace(LIMITED, retry_after=20.0), 0.0, call(model="x"))
    end(breaker, LOST, 0.0, call(model="y"))
    assert refusal(breaker, 7.0).retry_after == 13.0
    assert state(breaker) is State.OPEN
    assert permit(breaker, 7.0, call(model="y")).probe


def test_many_pauses_make_room() -> None:
    breaker = make()
    for number in range(MAX_PAUSES + 10):
        end(breaker, replace(LIMITED, retry_after=1.0 + number / 1000), 0.0, call(model=f"{number}"))
    assert len(breaker._pauses._pauses) == MAX_PAUSES
    assert is_admitted(breaker, 0.0, "9")
    assert not is_admitted(breaker, 0.0, "10")


# The call that tries


def test_one_call_tries_and_its_first_event_lifts_the_pause() -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x"))
    trial = permit(breaker, 9.0, call(model="x"))
    assert refusal(breaker, 9.0) == Refusal(1.0, RATE, PauseCause.RATE, "x")
    breaker.confirm(trial, 10.0)
    assert is_admitted(breaker, 10.0)


def test_a_call_that_began_before_a_pause_does_not_lift_it() -> None:
    breaker = make()
    before = permit(breaker, 0.0, call(model="x"))
    end(breaker, LIMITED, 0.0, call(model="x"))
    breaker.confirm(before, 1.0)
    breaker.settle(before, SUCCESS, 2.0)
    assert not is_admitted(breaker, 2.0)


@pytest.mark.parametrize("verdict", [NEUTRAL, FAILED, LOST])
def test_one_that_decides_nothing_leaves_it_to_the_next(verdict: Verdict) -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x"))
    end(breaker, verdict, 9.0, call(model="x"))
    assert permit(breaker, 9.0, call(model="x"))
    assert not is_admitted(breaker, 9.0)


def test_one_that_ends_without_an_event_lifts_it_all_the_same() -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x"))
    end(breaker, SUCCESS, 9.0, call(model="x"))
    assert [is_admitted(breaker, 9.0) for _ in range(2)] == [True, True]
    assert permit(breaker, 9.0, call(model="x"))
    assert is_admitted(breaker, 9.0)


def test_one_that_meets_the_limit_again_renews_it() -> None:
    breaker = make()
    end(breaker, replace(LIMITED, retry_after=50.0), 0.0, call(model="x"))
    end(breaker, replace(LIMITED, retry_after=2.0), 50.0, call(model="x"))
    assert refusal(breaker, 50.0).retry_after == 2.0


def test_one_that_is_never_decided_holds_the_place_for_a_while() -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x"))
    lost = permit(breaker, 9.0, call(model="x"))
    assert refusal(breaker, 23.75).retry_after == 0.25
    next_one = permit(breaker, 24.0, call(model="x"))
    breaker.confirm(lost, 25.0)  # too late to decide
    assert not is_admitted(breaker, 25.0)
    breaker.confirm(next_one, 26.0)
    assert is_admitted(breaker, 26.0)


def test_one_of_an_older_generation_decides_nothing() -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x"))
    trial = permit(breaker, 9.0, call(model="x"))
    breaker.reset(9.0)
    breaker.configure(BreakerConfig(force="closed"), 9.0)
    end(breaker, LIMITED, 9.0, call(model="x"))
    breaker.settle(trial, replace(LIMITED, retry_after=50.0), 9.0)
    assert refusal(breaker, 9.0).retry_after == 9.0


# Models that fail alone


def failing() -> CircuitBreaker:
    breaker = make(BreakerConfig(window=1000.0))
    end(breaker, SUCCESS, 0.0, call(model="y"))
    for _ in range(5):
        end(breaker, FAILED, 0.0, call(model="x"))
    return breaker


def test_a_model_that_goes_on_failing_is_paused_longer_and_longer() -> None:
    breaker, now, times = failing(), 0.0, []
    for _ in range(6):
        times.append(refusal(breaker, now).retry_after)
        now += times[-1]
        end(breaker, FAILED, now, call(model="x"))
    assert times == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert refusal(breaker, now).why == "because the call that tried it failed: status 500"
    assert (state(breaker), breaker.snapshot(now).calls) == (State.CLOSED, 1)


def test_a_model_that_works_again_is_judged_anew() -> None:
    breaker = failing()
    breaker.confirm(permit(breaker, 5.0, call(model="x")), 5.0)
    assert is_admitted(breaker, 5.0)
    for _ in range(5):
        end(breaker, FAILED, 5.0, call(model="x"))
    assert refusal(breaker, 5.0).retry_after == 5.0


def test_failures_that_began_before_the_pause_prolong_nothing() -> None:
    breaker = make()
    end(breaker, SUCCESS, 0.0, call(model="y"))
    calls = [permit(breaker, 0.0, call(model="x")) for _ in range(20)]
    for each in calls:
        breaker.settle(each, FAILED, 1.0)
    assert refusal(breaker, 1.0).retry_after == 5.0
    assert (len(breaker.drain_pauses()), breaker.snapshot(1.0).calls) == (1, 1)


def test_a_pause_lasts_at_least_its_retry_after() -> None:
    breaker = make(BreakerConfig(consecutive=1))
    end(breaker, SUCCESS, 0.0, call(model="y"))
    end(breaker, replace(FAILED, retry_after=30.0), 0.0, call(model="x"))
    assert refusal(breaker, 0.0).retry_after == 30.0


def test_a_call_that_was_not_decided_in_time_may_still_show_that_the_model_fails() -> None:
    breaker = failing()
    lost = permit(breaker, 5.0, call(model="x"))
    other = permit(breaker, 20.0, call(model="x"))
    breaker.settle(lost, FAILED, 21.0)
    assert breaker.snapshot(21.0).calls == 2
    breaker.settle(other, FAILED, 21.0)
    assert refusal(breaker, 21.0).retry_after == 10.0


# Keys


def test_a_refused_key_is_tried_less_and_less_often() -> None:
    breaker, now, times = make(), 0.0, []
    for _ in range(6):
        end(breaker, NO_KEY, now, call(model="x"))
        times.append(refusal(breaker, now).retry_after)
        now += times[-1]
    assert times == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert breaker.snapshot(now).last_error_class == "upstream_auth"


def test_calls_that_were_asked_before_a_refusal_add_nothing_to_it() -> None:
    breaker = make()
    calls = [permit(breaker, 0.0, call(model="x")) for _ in range(9)]
    assert not any(breaker.settle(each, NO_KEY, 1.0) for each in calls)
    assert refusal(breaker, 1.0).retry_after == 5.0


def test_a_second_model_that_refuses_the_key_opens_at_once() -> None:
    breaker = make()
    assert not end(breaker, NO_KEY, 0.0, call(model="x"))
    assert end(breaker, NO_KEY, 1.0, call(model="y"))
    assert breaker.drain_events() == [Transition(State.CLOSED, State.OPEN, 1, 1.0, Reason.AT_ONCE)]
    assert refusal(breaker, 1.0, "z") == Refusal(5.0, KEY)


def test_not_where_one_client_made_both_calls_and_another_called() -> None:
    breaker = make()
    running = permit(breaker, 0.0, call("b", "z"))
    assert not any(end(breaker, NO_KEY, 0.0, call("a", model)) for model in "uvwxy")
    breaker.settle(running, NEUTRAL, 0.0)
    assert not end(breaker, NO_KEY, 1.0, call("a", "a"))
    assert end(breaker, NO_KEY, 1.0, call("b", "z"))  # its own good call has not come either


def test_not_where_a_call_had_its_first_event_since() -> None:
    breaker = make()
    end(breaker, NO_KEY, 0.0, call("a", "x"))
    breaker.confirm(permit(breaker, 0.0, call("b", "z")), 0.5)
    assert not end(breaker, NO_KEY, 1.0, call("c", "y"))


def test_after_it_opened_for_its_key_one_more_refusal_opens_it_again() -> None:
    breaker = make()
    end(breaker, NO_KEY, 0.0, call(model="x"))
    breaker.refuse_key(0.5, listed_before=False)
    assert refusal(breaker, 0.5, "y").retry_after == 5.0
    assert end(breaker, NO_KEY, 5.5, call(model="y"))
    assert refusal(breaker, 5.5, "z") == Refusal(10.0, KEY)
    breaker.confirm(permit(breaker, 15.5, call(model="z")), 15.5)
    assert state(breaker) is State.CLOSED
    assert not end(breaker, NO_KEY, 16.0, call(model="w"))


def test_a_probe_that_is_refused_its_key_decides_nothing_where_the_key_was_not_in_doubt() -> None:
    breaker = tripped()
    assert not end(breaker, NO_KEY, 5.0, call(model="x"))
    assert permit(breaker, 5.0, call(model="y")).probe


@pytest.mark.parametrize(
    ("doubted", "succeeded", "listed_before", "opens"),
    [
        (False, False, True, False),
        (True, False, False, True),
        (True, True, True, True),
        (True, True, False, False),  # the list may just not be for this key
    ],
)
def test_when_a_list_that_is_refused_opens(
    doubted: bool, succeeded: bool, listed_before: bool, opens: bool
) -> None:
    breaker = make()
    if succeeded:
        end(breaker, SUCCESS, 0.0, call(model="y"))
    if doubted:
        end(breaker, NO_KEY, 1.0, call(model="x"))
    breaker.refuse_key(1.5, listed_before=listed_before)
    assert (state(breaker) is State.OPEN) is opens


def test_a_list_that_is_refused_later_says_nothing_where_calls_have_succeeded() -> None:
    breaker = make()
    end(breaker, NO_KEY, 0.0, call(model="x"))
    breaker.confirm(permit(breaker, 0.0, call(model="y")), 1.0)
    breaker.refuse_key(1.5, listed_before=True)
    assert state(breaker) is State.CLOSED


@pytest.mark.parametrize("force", ["open", "closed"])
def test_a_list_that_is_refused_moves_no_forced_state(force: str) -> None:
    breaker = make()
    end(breaker, NO_KEY, 0.0, call(model="x"))
    breaker.configure(BreakerConfig(force=force), 0.5)  # type: ignore[arg-type]
    breaker.refuse_key(1.0, listed_before=True)
    assert state(breaker) == f"forced_{force}"


def test_another_key_ends_what_the_old_one_led_to() -> None:
    breaker = make()
    for model in "xy":
        end(breaker, NO_KEY, 0.0, call(model=model))
    breaker.renew_key(1.0)
    assert [is_admitted(breaker, 1.0, model) for model in "xyz"] == [True] * 3
    closed = make()
    end(closed, LIMITED, 0.0, call(model="x"))
    closed.renew_key(0.0)
    assert not is_admitted(closed, 0.0)
    assert closed.drain_events() == []


# By hand


def test_forced_closed_knows_limits_and_nothing_else() -> None:
    breaker = failing()
    end(breaker, NO_KEY, 0.0, call(model="y"))
    breaker.configure(BreakerConfig(force="closed"), 0.0)
    assert is_admitted(breaker, 0.0)
    assert is_admitted(breaker, 0.0, "y")
    end(breaker, SUCCESS, 0.0, call(model="z"))
    for verdict in (NO_KEY, *[FAILED] * 9):
        end(breaker, verdict, 0.0, call(model="x"))
    assert is_admitted(breaker, 0.0)
    end(breaker, LIMITED, 0.0, call(model="x"))
    assert not is_admitted(breaker, 0.0)


def test_a_reset_ends_every_pause() -> None:
    breaker = make()
    end(breaker, LIMITED, 0.0, call(model="x"))
    breaker.reset(0.0)
    assert is_admitted(breaker, 0.0)
