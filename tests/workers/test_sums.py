"""Metrics of several workers as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from tests.metrics_page import families as families_of_the_gateway
from trio_gateway.engine.metrics import Metrics
from trio_gateway.server.workers.sums import GAUGES, Family, lasting, page, samples_of, total

if TYPE_CHECKING:
    from collections.abc import Sequence


class World:
    """A registry with a metric of each kind."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.counter = Counter("calls", "Calls.", ["model"], registry=registry)
        self.plain = Counter("plain", "Without labels.", registry=registry)
        self.histogram = Histogram("wait", "Waits.", ["phase"], registry=registry, buckets=(1, 2, 5))
        self.gauge = Gauge("running", "Running.", registry=registry)
        Info("build", "Build.", registry=registry).info({"version": "1"})

    def apply(self, model: str, amount: int) -> None:
        self.counter.labels(model).inc(amount)
        self.plain.inc()
        self.histogram.labels(model).observe(amount)
        self.gauge.inc(amount)

    @property
    def families(self) -> list[Family]:
        return over_the_wire(samples_of(self.registry))


def over_the_wire(families: list[Family]) -> list[Family]:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(families), type=list[Family])


def numbers(families: Sequence[Family]) -> dict[tuple[str, str], float]:
    """Every number but the instants at which counting began."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


Events = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(0, 9)), max_size=40)


@given(Events)
def test_the_sum_is_what_one_process_would_have_counted(events: list[tuple[int, str, int]]) -> None:
    parts, one = [World() for _ in range(4)], World()
    for number, model, amount in events:
        parts[number].apply(model, amount)
        one.apply(model, amount)
    whole = total(part.families for part in parts)
    assert numbers(whole) == numbers(one.families)
    assert [(each.name, each.kind) for each in whole] == [(each.name, each.kind) for each in one.families]


@given(Events, st.sets(st.integers(0, 3)))
def test_what_has_ended_goes_on_counting_and_holds_nothing(
    events: list[tuple[int, str, int]], ended: set[int]
) -> None:
    parts, one, living = [World() for _ in range(4)], World(), World()
    for number, model, amount in events:
        parts[number].apply(model, amount)
        one.apply(model, amount)
        if number not in ended:
            living.apply(model, amount)
    past: list[Family] = []
    for number in ended:
        past = total([past, lasting(parts[number].families)])
    whole = total([past, *(part.families for number, part in enumerate(parts) if number not in ended)])
    if len(ended) == 4:
        assert "running" not in {each.name for each in whole}
        return
    found, expected = numbers(whole), numbers(one.families)
    assert found == {**expected, ("running", "[]"): numbers(living.families)["running", "[]"]}


def test_counting_began_with_the_first() -> None:
    first, later = World(), World()
    for world in (later, first):
        world.apply("a", 1)
    began = {
        sample.value
        for family in first.families
        for sample in family.samples
        if sample.name == "plain_created"
    }
    whole = total([later.families, first.families])
    assert {s.value for family in whole for s in family.samples if s.name == "plain_created"} == {
        min(
            *began,
            *(s.value for family in later.families for s in family.samples if s.name == "plain_created"),
        )
    }


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("gateway_active_streams", (3.0, 4.0), 7.0),
        ("gateway_breaker_state", (0.0, 1.0), 1.0),
        ("gateway_breaker_state", (1.0, 1.0), 1.0),
        ("gateway_breaker_in_flight", (2.0, 1.0), 3.0),
        ("gateway_event_loop_lag_seconds", (0.1, 0.3), 0.3),
        ("gateway_redis_up", (1.0, 0.0), 0.0),
    ],
)
def test_gauges_by_what_they_mean(name: str, values: tuple[float, ...], expected: float) -> None:
    parts = []
    for value in values:
        registry = CollectorRegistry()
        Gauge(name, "X.", registry=registry).set(value)
        parts.append(samples_of(registry))
    assert list(numbers(total(parts)).values()) == [expected]


ADDED = {
    "gateway_active_streams",
    "gateway_bodies_bytes",
    "gateway_breaker_in_flight",
    "gateway_held_bytes",
}


def test_each_gauge_of_the_gateway_was_thought_of() -> None:
    gauges = {each.name for each in families_of_the_gateway() if each.kind == "gauge"}
    assert gauges <= ADDED | set(GAUGES)
    assert not ADDED & set(GAUGES)


def test_a_page_is_written_as_by_one_process() -> None:
    metrics = Metrics(dict)
    metrics.requests.labels('a"\n', "ok").inc()
    metrics.phase_seconds.labels("final_output").observe(3.0)
    assert page(over_the_wire(samples_of(metrics.registry))) == generate_latest(metrics.registry)
    assert page([]) == b""
