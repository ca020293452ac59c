"""Who is to blame: repeats count once, one client brings at most half, one failing model is paused alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.core.breaking import DEFAULT, FAILED, LOST, NEUTRAL, SUCCESS, call, end, make, permit, state
from trio_gateway.core.breaker import CallIdentity, Outcome, PauseCause, Reason, Refusal, State, Verdict
from trio_gateway.core.breaker.known_bodies import MAX_BODIES, KnownBodies
from trio_gateway.core.breaker.tally import MAX_MODELS, MAX_SOURCES, Tally
from trio_gateway.core.config import BreakerConfig

if TYPE_CHECKING:
    from trio_gateway.core.breaker import CircuitBreaker

RATES = BreakerConfig(consecutive=0, min_calls=10)


def fail(
    breaker: CircuitBreaker, times: int, now: float = 0.0, *, client: str = "a", model: str = "x"
) -> list[bool]:
    return [end(breaker, FAILED, now, call(client, model)) for _ in range(times)]


# Bodies


def test_requests_with_one_body_are_one_call() -> None:
    breaker = make()
    for _ in range(50):
        assert not end(breaker, FAILED, 0.0, call("a", body=1))
    shown = breaker.snapshot(0.0)
    assert (shown.calls, shown.failure, shown.failure_rate) == (1, 50, 1.0)


def test_a_body_counts_again_when_its_failure_has_left_the_window() -> None:
    breaker = make()
    for now in (0.0, 26.9, 30.0, 59.0, 60.0):
        end(breaker, FAILED, now, call("a", body=1))
    assert breaker.snapshot(60.0).calls == 1
    assert not fail(breaker, 1, 60.0)[0]
    assert fail(breaker, 1, 60.0)[0]  # three times the body, and two others


def test_calls_without_a_digest_are_all_different() -> None:
    breaker = make()
    assert [end(breaker, FAILED, 0.0, CallIdentity()) for _ in range(5)] == [False] * 4 + [True]


def test_equal_bodies_of_two_clients_are_two_calls() -> None:
    breaker = make()
    for client in "abcd":
        for _ in range(3):
            assert not end(breaker, FAILED, 0.0, call(client, body=1))
    assert end(breaker, FAILED, 0.0, call("e", body=1))


def test_failures_without_an_answer_count_each() -> None:
    breaker = make()
    assert [end(breaker, LOST, 0.0, call("a", body=1)) for _ in range(5)] == [False] * 4 + [True]
    assert breaker.admit(0.0) == Refusal(5.0, "after 5 failures in a row; the last: connection refused")


def test_a_repeat_that_succeeds_ends_the_row() -> None:
    breaker = make()
    fail(breaker, 4)
    end(breaker, SUCCESS, 0.0, call("a", body=1))
    assert fail(breaker, 4) == [False] * 4


def test_of_many_digests_the_client_with_the_most_loses_its_oldest() -> None:
    bodies = KnownBodies()

    def is_repeat(client: str, body: int) -> bool:
        return bodies.is_repeat(call(client, body=body), failed=True, slot=0, oldest=0)

    assert not is_repeat("b", 0)
    assert not any(is_repeat("a", body) for body in range(MAX_BODIES))
    assert is_repeat("b", 0)
    assert is_repeat("a", 1)
    assert not is_repeat("a", 0)
    assert sum(map(len, bodies._slots.values())) == MAX_BODIES


def test_a_client_whose_digests_are_all_forgotten_is_forgotten() -> None:
    bodies = KnownBodies()
    for number in range(2 * MAX_BODIES):
        bodies.is_repeat(call(f"{number}", body=0), failed=True, slot=0, oldest=0)
    assert len(bodies._slots) == MAX_BODIES


# Clients


def test_one_client_alone_may_open_it() -> None:
    assert fail(make(), 5) == [False] * 4 + [True]


@pytest.mark.parametrize("verdict", [SUCCESS, NEUTRAL, FAILED])
def test_beside_another_one_client_brings_at_most_half_of_a_row(verdict: Verdict) -> None:
    breaker = make()
    end(breaker, verdict, 0.0, call("b"))
    assert not any(fail(breaker, 100, client="a"))
    failed_before = verdict is FAILED
    assert fail(breaker, 3 - failed_before, client="b") == [False] * (2 - failed_before) + [True]


def test_a_call_that_runs_is_company_however_old_it_is() -> None:
    breaker = make()
    running = permit(breaker, 0.0, call("b"))
    assert not any(fail(breaker, 100, 1000.0))
    breaker.settle(running, SUCCESS, 1000.0)
    assert not any(fail(breaker, 100, 1026.0))
    assert fail(breaker, 1, 1031.0)[0]  # alone again


def test_three_clients_that_fail_open_it_whoever_fails_most() -> None:
    breaker = make()
    end(breaker, NEUTRAL, 0.0, call("b"))
    assert not any(fail(breaker, 100, client="a"))
    assert [end(breaker, FAILED, 0.0, call(client)) for client in "bcd"] == [False, False, True]


def test_beside_another_one_client_brings_at_most_half_of_a_rate() -> None:
    breaker = make(RATES)
    for _ in range(2):
        end(breaker, SUCCESS, 0.0, call("b"))
    assert not any(fail(breaker, 100, client="a"))
    for _ in range(5):
        end(breaker, SUCCESS, 0.0, call("b"))
    # Four of its own eleven, and four of the first one's: what that brings beyond them hides nothing.
    assert fail(breaker, 4, client="b") == [False] * 3 + [True]


def test_a_rate_is_one_of_at_least_as_many_calls_as_a_trip_needs() -> None:
    breaker = make(RATES)
    fail(breaker, 9, client="a")
    assert not any(fail(breaker, 2, client="b"))
    assert fail(breaker, 1, client="b") == [True]  # three of them, and three of the first one's, of ten


def test_one_clients_slow_calls_do_not_open_it_for_others() -> None:
    breaker = make(replace(RATES, window=1000.0))

    def is_slow(now: float, client: str) -> bool:
        one = permit(breaker, now, call(client))
        breaker.confirm(one, now + 31.0)
        return breaker.settle(one, SUCCESS, now + 31.0)

    end(breaker, SUCCESS, 0.0, call("b"))
    assert not any(is_slow(40.0 * number, "a") for number in range(20))
    assert [is_slow(800.0 + 32.0 * number, "b") for number in range(4)] == [False, False, False, True]
    assert breaker.drain_events()[-1].reason is Reason.SLOW_RATE


# Clients that leave


def left(breaker: CircuitBreaker, count: int, *, body: object = None) -> list[bool]:
    calls = [permit(breaker, 0.0, call(body=body)) for _ in range(count)]
    return [breaker.settle(each, NEUTRAL, 31.0) for each in calls]


def test_calls_that_clients_left_unanswered_count_as_slow() -> None:
    assert left(make(), 10) == [False] * 9 + [True]


def test_but_once_a_body() -> None:
    breaker = make()
    assert not any(left(breaker, 100, body=1))
    assert breaker.snapshot(31.0).calls == 1


def test_and_not_where_another_call_had_its_first_event_since() -> None:
    breaker = make()
    calls = [permit(breaker, 0.0) for _ in range(20)]
    other = permit(breaker, 0.0, call("b"))
    breaker.confirm(other, 0.5)
    assert not any(breaker.settle(each, NEUTRAL, 31.0) for each in calls)
    assert breaker.snapshot(31.0).calls == 0


def test_a_slow_answer_to_a_body_counts_once_and_still_ends_a_row() -> None:
    breaker = make(BreakerConfig(window=1000.0))
    fail(breaker, 4)
    for now in (0.0, 40.0):
        one = permit(breaker, now, call(body=1))
        breaker.confirm(one, now + 31.0)
        breaker.settle(one, SUCCESS, now + 31.0)
    assert (breaker.snapshot(71.0).calls, breaker.snapshot(71.0).slow_rate) == (5, 0.2)
    assert fail(breaker, 1, 71.0) == [False]


# Models


def test_a_model_that_fails_alone_is_paused_alone() -> None:
    breaker = make()
    end(breaker, SUCCESS, 0.0, call(model="y"))
    assert fail(breaker, 5, model="x") == [False] * 5
    why = "after 5 failures in a row; the last: status 500"
    assert breaker.admit(1.0, call("b", "x")) == Refusal(4.0, why, PauseCause.FAILING, "x")
    assert permit(breaker, 1.0, call("b", "y"))
    (begun,) = breaker.drain_pauses()
    assert (begun.model, begun.cause, begun.seconds, begun.why) == ("x", PauseCause.FAILING, 5.0, why)
    assert (state(breaker), breaker.snapshot(1.0).calls) == (State.CLOSED, 1)


def test_a_failure_of_another_model_does_not_make_it_the_upstreams() -> None:
    breaker = make(RATES)
    for _ in range(3):
        end(breaker, SUCCESS, 0.0, call(model="y"))
    fail(breaker, 1, model="y")
    fail(breaker, 6, model="x")
    assert isinstance(breaker.admit(0.0, call(model="x")), Refusal)
    assert permit(breaker, 0.0, call(model="y"))


@pytest.mark.parametrize("good", [[], ["x"], ["x", "x"]])
def test_where_no_other_model_works_it_is_the_upstream(good: list[str]) -> None:
    breaker = make()
    for model in good:
        end(breaker, SUCCESS, 0.0, call(model=model))
    assert fail(breaker, 5, model="x")[-1]


def test_a_success_that_has_left_the_window_shows_nothing() -> None:
    breaker = make()
    end(breaker, SUCCESS, 0.0, call(model="y"))
    assert fail(breaker, 5, 30.0, model="x")[-1]


def test_failures_of_two_models_are_the_upstreams() -> None:
    breaker = make()
    end(breaker, SUCCESS, 0.0, call(model="z"))
    assert [end(breaker, FAILED, 0.0, call(model=model)) for model in "xyxyx"][-1]


def test_failures_without_an_answer_are_the_upstreams_whatever_the_model() -> None:
    breaker = make()
    end(breaker, SUCCESS, 0.0, call(model="y"))
    assert [end(breaker, LOST, 0.0, call(model="x")) for _ in range(5)][-1]


def test_the_success_that_completes_a_rate_may_pause_another_model() -> None:
    breaker = make(RATES)
    fail(breaker, 5, model="x")
    for _ in range(5):
        assert not end(breaker, SUCCESS, 0.0, call(model="y"))
    refusal = breaker.admit(0.0, call(model="x"))
    assert isinstance(refusal, Refusal)
    assert refusal.why == "after 5 of 10 calls failed; the last: status 500"


def test_with_a_window_of_calls_it_is_the_same() -> None:
    breaker = make(replace(RATES, window_calls=10))
    for _ in range(50):
        assert not end(breaker, FAILED, 0.0, call(body=1))
    for _ in range(5):
        end(breaker, SUCCESS, 0.0, call(model="y"))
    fail(breaker, 4, model="x")
    assert isinstance(breaker.admit(0.0, call(model="x")), Refusal)
    assert state(breaker) is State.CLOSED
    assert breaker.snapshot(0.0).calls == 5
    for _ in range(10):
        end(breaker, SUCCESS, 0.0, call("b", "y"))
    assert fail(breaker, 5, client="b", model="y")[-1]


# Bounds


def test_clients_and_models_beyond_a_number_are_counted_together() -> None:
    tally = Tally()
    for number in range(3 * MAX_SOURCES):
        tally.add(tally.fold((f"client {number}", "x")))
    assert (len(tally._by), tally.total) == (MAX_SOURCES + 1, 3 * MAX_SOURCES)
    assert tally.fold(("client 0", "x")) == ("client 0", "x")
    assert tally.fold(("client 0", "y")) == ("client 0", "")
    assert tally.fold(("another", "y")) == ("*", "")


def test_one_client_cannot_fill_the_tally() -> None:
    tally = Tally()
    for number in range(100):
        tally.add(tally.fold(("a", f"model {number}")))
    assert len(tally._by) == MAX_MODELS + 1
    assert tally.capped(lambda _client: True) == 0
    assert tally.capped(lambda _client: False) == 100
    assert "" not in tally.models()


def test_an_end_without_a_cause_keeps_the_last_one() -> None:
    breaker = make(BreakerConfig(consecutive=2))
    end(breaker, FAILED, 0.0)
    end(breaker, Verdict(Outcome.FAILURE), 0.0)
    refusal = breaker.admit(0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.why == "after 2 failures in a row; the last: status 500"


def test_defaults_are_those_of_the_configuration() -> None:
    assert (DEFAULT.consecutive, DEFAULT.min_calls, DEFAULT.window) == (5, 10, 30.0)
