from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.access.allowance import Allowance, Claim, Stage
from trio_gateway.core.config.keyfile import ClientKey

if TYPE_CHECKING:
    from trio_gateway.core.errors import ApiError


def allowance(**limits: int) -> Allowance:
    return Allowance(key(**limits), 0.0)


def key(**limits: int) -> ClientKey:
    return ClientKey(id="k", sha256=b"", **limits)  # type: ignore[arg-type]


def begun(limits: Allowance, now: float, tokens: int = 0) -> Claim:
    """A request that is admitted, whatever the limits say."""
    claim = Claim(Stage.ARRIVED)
    limits.begin(claim, tokens, now)
    return claim


def refused(limits: Allowance, now: float, tokens: int = 0) -> ApiError | None:
    """Try to begin a request; why it may not."""
    claim = Claim()
    error = limits.arrive(claim, now) or limits.check(claim, tokens, now)
    if error is None:
        limits.begin(claim, tokens, now)
    else:
        assert (error.status, error.code) == (429, "rate_limit_exceeded")
        limits.withdraw(claim, now)
    return error


def ask(limits: Allowance, now: float, tokens: int = 0) -> float | None:
    """Try to begin a request; how long to wait, if it is too early."""
    error = refused(limits, now, tokens)
    return None if error is None else error.retry_after


def remaining(limits: Allowance, now: float, unit: str = "tokens") -> int:
    return int(limits.headers(now)[f"x-ratelimit-remaining-{unit}"])


def test_without_limits_everything_goes() -> None:
    free = allowance()
    for _ in range(1000):
        assert ask(free, 0.0, 10**9) is None
    claim = begun(free, 0.0)
    free.settle(claim, 10**12, 0.0)
    free.end(claim)
    assert ask(free, 0.0) is None
    assert free.headers(0.0) == {}


def test_requests_a_minute() -> None:
    limits = allowance(rpm=3)
    assert [ask(limits, 1.0) for _ in range(4)] == [None, None, None, pytest.approx(20)]
    assert ask(limits, 20.9) == pytest.approx(0.1)
    assert ask(limits, 21.0) is None
    assert ask(limits, 21.0) == pytest.approx(20)
    assert [ask(limits, 10_000.0) for _ in range(4)] == [None, None, None, pytest.approx(20)]


def test_a_request_counts_when_it_arrives_unless_it_is_taken_back() -> None:
    limits = allowance(rpm=2)
    first, second = Claim(), Claim()
    assert limits.arrive(first, 0.0) is None
    assert limits.arrive(first, 0.0) is None  # it has arrived already
    assert remaining(limits, 0.0, "requests") == 1
    limits.withdraw(first, 0.0)
    limits.withdraw(first, 0.0)
    assert remaining(limits, 0.0, "requests") == 2
    assert limits.arrive(second, 0.0) is None
    limits.begin(second, 0, 0.0)
    limits.withdraw(second, 0.0)  # too late
    assert remaining(limits, 0.0, "requests") == 1


def test_an_estimate_is_reserved_and_then_settled() -> None:
    limits = allowance(tpm=600)
    first, second = begun(limits, 0.0, 200), begun(limits, 0.0, 300)
    assert remaining(limits, 0.0) == 100
    assert ask(limits, 0.0, 101) == pytest.approx(0.1)  # both may cost less, but nobody knows
    limits.settle(first, 50, 0.0)
    assert remaining(limits, 0.0) == 250
    limits.settle(second, 900, 0.0)  # into debt
    assert remaining(limits, 0.0) == 0
    assert ask(limits, 0.0, 1) == pytest.approx(35.1)
    assert ask(limits, 0.0, 0) == pytest.approx(35.1)  # a request without any text too
    assert ask(limits, 35.1, 1) is None


def test_only_the_first_settlement_counts() -> None:
    limits = allowance(tpm=600)
    claim = begun(limits, 0.0, 100)
    for cost in (50, 0, 10**9):
        limits.settle(claim, cost, 0.0)
    assert remaining(limits, 0.0) == 550


def test_what_is_more_than_a_minute_has_is_refused_for_good() -> None:
    limits, claim = allowance(rpm=5, tpm=1000, concurrent=1), Claim()
    assert limits.arrive(claim, 0.0) is None
    begun(limits, 0.0)  # so that it would have to wait anyhow
    error = limits.check(claim, 225_000, 0.0)
    assert error is not None
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", None)
    assert error.message == (
        "Request too large for this key: about 225000 tokens of input, and the limit is 1000 tokens a minute; "
        "send less, as waiting does not help."
    )
    limits.withdraw(claim, 0.0)  # it counts
    limits.begin(claim, 225_000, 0.0)  # and never begins
    limits.settle(claim, 5, 0.0)
    assert (remaining(limits, 0.0, "requests"), remaining(limits, 0.0)) == (4, 1000)
    assert ask(allowance(tpm=1000), 0.0, 1000) is None


def test_a_request_that_is_refused_for_its_tokens_counts() -> None:
    limits = allowance(rpm=5, tpm=1000, concurrent=2)
    running, late = begun(limits, 0.0, 900), Claim()
    assert limits.arrive(late, 0.0) is None
    error = limits.check(late, 200, 0.0)
    assert error is not None
    assert error.retry_after == pytest.approx(6)
    limits.withdraw(late, 0.0)
    assert remaining(limits, 0.0, "requests") == 4
    limits.settle(running, 1100, 0.0)
    assert ask(limits, 0.0) == pytest.approx(6.06)
    assert remaining(limits, 0.0, "requests") == 3


def test_a_request_that_lost_its_place_while_it_arrived_is_given_back() -> None:
    limits = allowance(rpm=5, concurrent=1)
    first, second = Claim(), Claim()
    assert (limits.arrive(first, 0.0), limits.arrive(second, 0.0)) == (None, None)
    limits.begin(first, 0, 0.0)
    error = limits.check(second, 0, 0.0)
    assert error is not None
    assert error.retry_after == 1.0
    limits.withdraw(second, 0.0)
    assert remaining(limits, 0.0, "requests") == 4


def test_requests_at_a_time() -> None:
    limits = allowance(concurrent=2)
    first = begun(limits, 0.0)
    assert [ask(limits, 0.0) for _ in range(2)] == [None, 1.0]
    limits.end(first)
    limits.end(first)
    assert [ask(limits, 0.0) for _ in range(2)] == [None, 1.0]
    limits.end(Claim())  # it never began
    assert ask(limits, 0.0) == 1.0
    assert limits.headers(0.0) == {}


def test_what_a_refusal_says() -> None:
    one = allowance(concurrent=1)
    begun(one, 0.0)
    assert str(one.check(Claim(), 0, 0.0).message) == "Rate limit reached for this key: 1 request at a time."  # type: ignore[union-attr]
    limits = allowance(rpm=60, tpm=6000)
    claim = Claim()
    limits.arrive(claim, 0.0)
    limits.begin(claim, 100, 0.0)
    limits.settle(claim, 6149, 0.0)
    refusal = limits.check(Claim(), 7, 0.5)
    assert refusal is not None
    assert refusal.message == (
        "Rate limit reached for this key: 6000 tokens a minute, and this request needs about 7; try again in 1.06s."
    )
    assert limits.headers(0.5) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m0.99s",
    }
    few = allowance(rpm=1)
    assert refused(few, 0.0) is None
    error = refused(few, 0.0)
    assert error is not None
    assert error.message == "Rate limit reached for this key: 1 requests a minute; try again in 1m0s."


@pytest.mark.parametrize(
    ("spent", "written"),
    [(0, "0s"), (1, "1s"), (75, "1m15s"), (119, "1m59s"), (3600, "1h0m0s"), (3661.5, "1h1m1.5s")],
)
def test_durations_are_written_as_openai_does(spent: float, written: str) -> None:
    limits = allowance(tpm=60)
    limits.settle(begun(limits, 0.0), spent, 0.0)  # type: ignore[arg-type]
    assert limits.headers(0.0)["x-ratelimit-reset-tokens"] == written
    assert allowance(tpm=60).headers(0.0)["x-ratelimit-reset-tokens"] == "0s"


def test_a_change_keeps_what_was_used() -> None:
    limits = allowance(rpm=10, concurrent=5)
    claims = [Claim() for _ in range(4)]
    for claim in claims:
        limits.arrive(claim, 0.0)
        limits.begin(claim, 0, 0.0)
    limits.change(key(rpm=6, tpm=100, concurrent=4), 0.0)
    assert remaining(limits, 0.0, "requests") == 2
    assert remaining(limits, 0.0) == 100
    assert ask(limits, 0.0) == 1.0  # four are running
    limits.settle(claims[0], 30, 0.0)  # begun without a limit of tokens, it has reserved none
    assert remaining(limits, 0.0) == 70
    limits.change(key(), 0.0)
    assert ask(limits, 0.0) is None
    assert limits.headers(0.0) == {}


def test_nothing_is_given_back_to_a_limit_from_which_it_was_not_taken() -> None:
    limits = allowance(rpm=10, tpm=100)
    claim, waiting = begun(limits, 0.0, 90), Claim()
    limits.arrive(waiting, 0.0)
    limits.change(key(rpm=5, tpm=50), 0.0)  # what was taken stays taken
    assert (remaining(limits, 0.0, "requests"), remaining(limits, 0.0)) == (4, 0)
    limits.change(key(), 0.0)
    limits.change(key(rpm=5, tpm=50), 0.0)
    assert ask(limits, 0.0, 20) is None
    limits.settle(claim, 5, 0.0)
    limits.withdraw(waiting, 0.0)
    assert (remaining(limits, 0.0, "requests"), remaining(limits, 0.0)) == (4, 25)


@given(
    st.integers(1, 100),
    st.lists(st.floats(0, 90, allow_subnormal=False), max_size=80),
)
def test_no_minute_has_more_than_two_minutes_worth_and_waiting_helps(limit: int, pauses: list[float]) -> None:
    limits, now, instants = allowance(rpm=limit), 0.0, []
    for pause in pauses:
        now += pause
        wait = ask(limits, now)
        if wait is not None:
            assert 0 < wait <= 60 / limit + 1e-3
            now += wait
            assert ask(limits, now) is None
        instants.append(now)
    for start in instants:
        assert sum(start <= instant < start + 60 for instant in instants) <= 2 * limit


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 2000)), max_size=30))
def test_waiting_for_tokens_as_long_as_was_said_is_enough(
    limit: int, requests: list[tuple[int, int]]
) -> None:
    limits, now = allowance(tpm=limit), 0.0
    for tokens, cost in requests:
        wait = ask(limits, now, tokens)
        if tokens > limit:
            assert wait is None
            continue
        if wait is not None:
            assert wait > 0
            now += wait
            assert ask(limits, now, tokens) is None
        limits.settle(begun(limits, now), cost, now)


# Every order of the calls of several requests, at one instant and over time


@dataclass
class Expected:
    """What one request has taken by the rules, reckoned apart from the buckets."""

    claim: Claim = field(default_factory=Claim)
    requests: int = 0
    tokens: int = 0
    runs: bool = False
    settled: bool = False


CALLS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["arrive", "withdraw", "check", "begin", "settle", "end", "disconnect"]),
        st.integers(0, 1500),
    ),
    max_size=60,
)
LIMITS = {"rpm": 20, "tpm": 1000, "concurrent": 2}


def play(limits: Allowance, expected: Expected, call: str, number: int, now: float) -> None:
    """Make one call, and note what it must have changed."""
    claim, stage = expected.claim, expected.claim.stage
    match call:
        case "arrive":
            taken = limits.arrive(claim, now) is None
            expected.requests += taken and stage is Stage.NEW
        case "withdraw":
            limits.withdraw(claim, now)
            expected.requests -= stage is Stage.ARRIVED
        case "check":
            limits.check(claim, number, now)
        case "begin":
            limits.begin(claim, number, now)
            if stage is Stage.ARRIVED:
                expected.tokens, expected.runs = number, True
        case "settle":
            limits.settle(claim, number, now)
            if stage is Stage.RUNNING:
                expected.tokens = number
        case "end":
            limits.end(claim)
            expected.runs = False
        case "disconnect":  # whatever its stage is: its input is what it has cost
            limits.settle(claim, claim.reserved, now)
            limits.end(claim)
            expected.runs = False


@given(CALLS)
def test_the_balance_holds_in_every_order_of_calls(calls: list[tuple[int, str, int]]) -> None:
    """At one instant: what is left and what was taken are the limit, exactly, and never more than it."""
    limits, requests = allowance(**LIMITS), [Expected() for _ in range(4)]
    for which, call, number in calls:
        play(limits, requests[which], call, number, 0.0)
        spent = sum(each.tokens for each in requests)
        assert remaining(limits, 0.0) == max(0, LIMITS["tpm"] - spent)
        assert remaining(limits, 0.0, "requests") == LIMITS["rpm"] - sum(each.requests for each in requests)
        running = sum(each.runs for each in requests)
        error = limits.check(Claim(), 0, 0.0)
        at_a_time = error is not None and "at a time" in error.message
        assert at_a_time is (running >= LIMITS["concurrent"])
    for each in requests:
        limits.end(each.claim)
    # The debt is what was spent beyond the limit, and the time to pay it back is exact.
    error = limits.check(Claim(), 1, 0.0)
    owed = sum(each.tokens for each in requests) - LIMITS["tpm"] + 1
    assert (error.retry_after if error else 0) == pytest.approx(max(0, owed) * 60 / LIMITS["tpm"])


@given(CALLS, st.lists(st.floats(0, 30, allow_subnormal=False), min_size=60, max_size=60))
def test_no_order_of_calls_gives_more_than_the_limits(
    calls: list[tuple[int, str, int]], pauses: list[float]
) -> None:
    """Over time, with changes of the key: never more than is allowed, and a minute without debt fills all."""
    limits, requests, now = allowance(**LIMITS), [Expected() for _ in range(4)], 0.0
    for (which, call, number), pause in zip(calls, pauses, strict=False):
        now += pause
        if number % 7 == 0:
            limits.change(key(**LIMITS) if number % 2 else key(concurrent=2), now)
        play(limits, requests[which], call, number, now)
        headers = limits.headers(now)
        for unit, limit in (("requests", 20), ("tokens", 1000)):
            assert 0 <= int(headers.get(f"x-ratelimit-remaining-{unit}", 0)) <= limit
    for each in requests:
        play(limits, each, "disconnect", 0, now)
    limits.change(key(**LIMITS), now)
    now += 60 * (1 + 60 * 1500 / 1000)
    assert remaining(limits, now) == 1000
    assert [ask(limits, now) for _ in range(3)] == [None, None, 1.0]


def test_sixty_rendered_texts_are_a_request() -> None:
    limits = allowance(rpm=2)
    assert [limits.take_text(0.0) for _ in range(60)] == [None] * 60
    assert remaining(limits, 0.0, "requests") == 1
    assert ask(limits, 0.0) is None
    error = limits.take_text(0.0)
    assert error is not None
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert error.retry_after == pytest.approx(30.0)
    assert limits.take_text(30.0) is None


def test_texts_are_free_where_requests_are() -> None:
    limits = allowance(tpm=1, concurrent=1)
    assert [limits.take_text(0.0) for _ in range(1000)] == [None] * 1000
