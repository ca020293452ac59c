"""The window counts exactly what a recount of everything it was ever given would count."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.breaker.window import LatestTwo, Record, Totals, Window
from trio_gateway.core.config import BreakerConfig

Call = tuple[float, Record]
"""Seconds since the call before, and how it ended."""

RECORD = st.builds(
    Record, st.booleans(), st.booleans(), st.sampled_from([None, ("a", "x"), ("a", "y"), ("b", "x")])
)
CALLS = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.75, 2.0, 7.5, 30.0]), RECORD))


def recount(records: list[Record]) -> Totals:
    return Totals(len(records), sum(each.failed for each in records), sum(each.slow for each in records))


def check(window: Window, records: list[Record]) -> None:
    """Right after a call the tallies hold what the window does."""
    assert (window.calls, window.failures.total, window.slow.total) == recount(records)
    for tally, bad in ((window.failures, "failed"), (window.slow, "slow")):
        sources = Counter(each.source for each in records if getattr(each, bad) and each.source)
        assert tally._by == sources
        assert tally.of("x").total == sum(count for (_, model), count in sources.items() if model == "x")


@given(calls=CALLS, epoch=st.sampled_from([-64.0, 0.0, 0.75, 4096.0]), later=st.integers(0, 25))
def test_time_window(calls: list[Call], epoch: float, later: int) -> None:
    window, history, now = Window(BreakerConfig(window=20.0), epoch), [], epoch
    inside: list[Record] = []
    for wait, record in calls:
        now += wait
        window.add(now, record)
        history.append((now, record))
        inside = [each for at, each in history if Fraction(at - epoch) // 2 > Fraction(now - epoch) // 2 - 10]
        check(window, inside)
    now += later
    present = Fraction(now - epoch) // 2
    inside = [each for at, each in history if Fraction(at - epoch) // 2 > present - 10]
    assert window.totals(now) == recount(inside)


@given(age=st.floats(0, 30, allow_nan=False), phase=st.floats(0, 30))
def test_a_call_counts_for_nine_tenths_of_the_span_and_never_longer(age: float, phase: float) -> None:
    window = Window(BreakerConfig(window=20.0), 0.0)
    window.add(phase, Record(failed=True))
    counted = window.totals(phase + age).calls
    assert counted == 1 if age < 17.999 else counted in (0, 1)
    assert counted == 0 if age > 20.001 else True


@given(calls=CALLS, size=st.integers(1, 12))
def test_call_window(calls: list[Call], size: int) -> None:
    window, records = Window(BreakerConfig(window_calls=size), 0.0), []
    for now, record in calls:
        window.add(now, record)
        records.append(record)
        check(window, records[-size:])
    assert window.totals(0.0) == recount(records[-size:])


@given(calls=CALLS, size=st.sampled_from([0, 5]))
def test_a_model_can_be_forgotten(calls: list[Call], size: int) -> None:
    window, records = Window(BreakerConfig(window=1e6, window_calls=size), 0.0), []
    for now, record in calls:
        window.add(now, record)
        records.append(record)
    window.drop("x")
    kept = [each for each in records[-size or None :] if each.source is None or each.source[1] != "x"]
    check(window, kept)


def test_rates() -> None:
    assert (Totals().failure_rate, Totals().slow_rate) == (0.0, 0.0)
    assert (Totals(8, 2, 6).failure_rate, Totals(8, 2, 6).slow_rate) == (0.25, 0.75)


@given(seen=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3))), asked=st.sampled_from("abcde"))
def test_the_latest_two_names_tell_of_all(seen: list[tuple[str, int]], asked: str) -> None:
    latest, slot, history = LatestTwo(), 0, {}
    for name, step in seen:
        slot += step
        latest.note(name, slot)
        history[name] = slot
    for since in range(slot + 2):
        others = [at for name, at in history.items() if name != asked]
        assert latest.is_other_since(asked, since) is any(at >= since for at in others)
        assert latest.is_any_since(since) is any(at >= since for at in history.values())
