from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.allowance import Allowance
from trio_gateway.core.config.keyfile import ClientKey


def allowance(**limits: int) -> Allowance:
    return Allowance(key(**limits), 0.0)


def key(**limits: int) -> ClientKey:
    return ClientKey(id="k", sha256=b"", **limits)  # type: ignore[arg-type]


def ask(limits: Allowance, now: float) -> float | None:
    """Try to begin a request; how long to wait, if it is too early."""
    refusal = limits.refusal(now)
    if refusal is None:
        limits.begin(now)
        return None
    assert (refusal.status, refusal.code) == (429, "rate_limit_exceeded")
    return refusal.retry_after


def test_without_limits_everything_goes() -> None:
    free = allowance()
    for _ in range(1000):
        assert ask(free, 0.0) is None
    free.spend(10**12, 0.0)
    assert ask(free, 0.0) is None
    assert free.headers(0.0) == {}


def test_requests_a_minute() -> None:
    limits = allowance(rpm=3)
    assert [ask(limits, 1.0) for _ in range(4)] == [None, None, None, pytest.approx(20)]
    assert ask(limits, 20.9) == pytest.approx(0.1)
    assert ask(limits, 21.0) is None
    assert ask(limits, 21.0) == pytest.approx(20)
    assert [ask(limits, 10_000.0) for _ in range(4)] == [None, None, None, pytest.approx(20)]


def test_tokens_a_minute_are_counted_when_they_are_known() -> None:
    limits = allowance(tpm=600)
    limits.begin(0.0)
    limits.begin(0.0)
    limits.spend(599, 0.0)
    assert ask(limits, 0.0) is None
    limits.spend(301, 0.0)  # 300 more than there were
    assert ask(limits, 0.0) == pytest.approx(30.1)
    assert ask(limits, 30.1) is None


def test_requests_at_a_time() -> None:
    limits = allowance(concurrent=2)
    assert [ask(limits, 0.0) for _ in range(3)] == [None, None, 1.0]
    limits.end()
    assert [ask(limits, 0.0) for _ in range(2)] == [None, 1.0]
    assert limits.headers(0.0) == {}


def test_what_is_told() -> None:
    one = allowance(concurrent=1)
    one.begin(0.0)
    assert str(one.refusal(0.0).message) == "Rate limit reached for this key: 1 request at a time."  # type: ignore[union-attr]
    limits = allowance(rpm=60, tpm=6000)
    limits.begin(0.0)
    limits.spend(6149, 0.0)
    refusal = limits.refusal(0.5)
    assert refusal is not None
    assert refusal.message == "Rate limit reached for this key: 6000 tokens a minute; try again in 1s."
    assert limits.headers(0.5) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m0.99s",
    }


@pytest.mark.parametrize(
    ("spent", "told"),
    [(0, "0s"), (1, "1s"), (75, "1m15s"), (119, "1m59s"), (3600, "1h0m0s"), (3661.5, "1h1m1.5s")],
)
def test_durations_are_written_as_openai_does(spent: float, told: str) -> None:
    limits = allowance(tpm=60)
    limits.spend(spent, 0.0)  # type: ignore[arg-type]
    assert limits.headers(0.0)["x-ratelimit-reset-tokens"] == told
    assert allowance(tpm=60).headers(0.0)["x-ratelimit-reset-tokens"] == "0s"


def test_a_change_keeps_what_was_used() -> None:
    limits = allowance(rpm=10, concurrent=5)
    for _ in range(4):
        limits.begin(0.0)
    limits.change(key(rpm=6, tpm=100, concurrent=4), 0.0)
    assert limits.headers(0.0)["x-ratelimit-remaining-requests"] == "2"
    assert limits.headers(0.0)["x-ratelimit-remaining-tokens"] == "100"
    assert ask(limits, 0.0) == 1.0  # four are running
    limits.change(key(), 0.0)
    assert ask(limits, 0.0) is None
    assert limits.headers(0.0) == {}


@given(
    st.integers(1, 100),
    st.lists(st.floats(0, 90, allow_subnormal=False), max_size=80),
)
def test_no_minute_has_more_than_two_minutes_worth_and_waiting_helps(limit: int, pauses: list[float]) -> None:
    limits, now, begun = allowance(rpm=limit), 0.0, []
    for pause in pauses:
        now += pause
        wait = ask(limits, now)
        if wait is not None:
            assert 0 < wait <= 60 / limit + 1e-3
            now += wait
            assert ask(limits, now) is None
        begun.append(now)
    for start in begun:
        assert sum(start <= instant < start + 60 for instant in begun) <= 2 * limit
