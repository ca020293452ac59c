"""Refill of a bucket: evenly, never above its limit, and as long as is announced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.budgets.refill import MINUTE, filled, seconds_for

LIMITS = st.integers(1, 10**9)


@pytest.mark.parametrize(
    ("level", "limit", "seconds", "then"),
    [(0, 60, 0.0, 0), (0, 60, 1.0, 1), (0, 60, MINUTE, 60), (59, 60, 2.0, 60), (-60, 60, MINUTE, 0)],
)
def test_levels(level: float, limit: float, seconds: float, then: float) -> None:
    assert filled(level, limit, seconds) == then


@given(LIMITS, st.floats(0, 1), st.floats(0, 1))
def test_after_the_seconds_that_are_announced_it_is_there(limit: int, part: float, more: float) -> None:
    level = part * limit
    units = more * (limit - level)
    assert filled(level, limit, seconds_for(units, limit)) == pytest.approx(level + units)
