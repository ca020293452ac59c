"""Retry-After: seconds or a date, up to a week for clients and two minutes for us; garbage is ignored."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.breaker.retry_after import clamp_retry_after, parse_retry_after, parse_retry_after_ms

THEN = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30\t", 30.0),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("120", 120.0),
        ("604801", 604_800.0),
        ("9" * 5000, 604_800.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Mon, 07 Nov 1994 08:49:37 GMT", 86_400.0),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
        (f"Sun, 06 Nov {10**20} 08:50:37 GMT", None),
        (f"Sun, 06 Nov 1994 08:50:37 +{10**20}", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("+5", None),
        ("1e2", None),
        ("1_0", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        ("5, 10", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, THEN) == seconds


def test_a_date_without_a_zone_is_utc_wherever_we_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5")
        time.tzset()
        assert parse_retry_after("Sun Nov  6 08:50:37 1994", THEN) == 60.0
    time.tzset()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1500", 1.5),
        (" 250.5 ", 0.2505),
        ("0", 0.0),
        ("999999", 999.999),
        ("", None),
        ("-1", None),
        ("1s", None),
    ],
)
def test_retry_after_ms(value: str, seconds: float | None) -> None:
    assert parse_retry_after_ms(value) == seconds


DATE_LIKE = st.lists(
    st.sampled_from(["Sun", ",", "06", "Nov", "1994", "08:50:37", "GMT", "+0100", "-", ":", ".", "9" * 20])
).map(" ".join)


@given(value=st.text() | DATE_LIKE, now=st.floats(0, 4e9))
def test_any_text_is_a_wait_within_bounds_or_nothing(value: str, now: float) -> None:
    for seconds in (parse_retry_after(value, now), parse_retry_after_ms(value)):
        assert seconds is None or 0.0 <= seconds <= 604_800.0


@pytest.mark.parametrize(
    ("seconds", "clamped"), [(-1.0, 0.0), (5.0, 5.0), (math.inf, 120.0), (-math.inf, 0.0), (math.nan, 0.0)]
)
def test_clamp(seconds: float, clamped: float) -> None:
    assert clamp_retry_after(seconds) == clamped
