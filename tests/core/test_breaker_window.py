"""The window counts exactly what a recount of everything it was ever told would count."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.breaker.window import CallWindow, TimeWindow, Totals, open_window
from trio_gateway.core.config import BreakerConfig

Call = tuple[float, bool, bool]
"""Seconds since the call before, failed, slow."""

CALLS = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.75, 2.0, 7.5, 30.0]), st.booleans(), st.booleans()))


def recount(calls: list[Call]) -> Totals:
    return Totals(len(calls), sum(failed for _, failed, _ in calls), sum(slow for _, _, slow in calls))


@given(calls=CALLS, epoch=st.sampled_from([-64.0, 0.0, 0.75, 4096.0]), later=st.integers(0, 25))
def test_time_window(calls: list[Call], epoch: float, later: int) -> None:
    window, history, now = TimeWindow(20.0, epoch), [], epoch
    for wait, failed, slow in calls:
        now += wait
        window.add(now, failed=failed, slow=slow)
        history.append((now, failed, slow))
    now += later
    present = Fraction(now - epoch) // 2
    inside = [call for call in history if Fraction(call[0] - epoch) // 2 > present - 10]
    assert window.totals(now) == recount(inside)


@given(age=st.floats(0, 30, allow_nan=False), phase=st.floats(0, 30))
def test_a_call_counts_for_nine_tenths_of_the_span_and_never_longer(age: float, phase: float) -> None:
    window = TimeWindow(20.0, 0.0)
    window.add(phase, failed=True, slow=False)
    counted = window.totals(phase + age).calls
    assert counted == 1 if age < 17.999 else counted in (0, 1)
    assert counted == 0 if age > 20.001 else True


@given(calls=CALLS, size=st.integers(1, 12))
def test_call_window(calls: list[Call], size: int) -> None:
    window = CallWindow(size)
    for now, failed, slow in calls:
        window.add(now, failed=failed, slow=slow)
    assert window.totals(0.0) == recount(calls[-size:])


def test_rates() -> None:
    assert (Totals().failure_rate, Totals().slow_rate) == (0.0, 0.0)
    assert (Totals(8, 2, 6).failure_rate, Totals(8, 2, 6).slow_rate) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("config", "kind"), [(BreakerConfig(), TimeWindow), (BreakerConfig(window_calls=5), CallWindow)]
)
def test_the_configuration_chooses_the_kind(config: BreakerConfig, kind: type) -> None:
    assert isinstance(open_window(config, 0.0), kind)
