"""Sums of metrics: adds up what several workers counted, by the kind of each.

Counters and histograms are added, those of workers that have ended too, as a counter must not fall. Gauges
are of the workers that run, combined as :data:`GAUGES` says: by default added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["GAUGES", "Family", "Sample", "lasting", "page", "samples_of", "total"]


class Sample(Struct, frozen=True, array_like=True):
    """One number of a metric."""

    name: str
    """With the suffix of its series: ``_total``, ``_bucket``, ``_created`` and the like."""
    labels: dict[str, str]
    value: float


class Family(Struct, frozen=True, array_like=True):
    """One metric with all its numbers."""

    name: str
    text: str
    kind: str
    """As Prometheus calls it: counter, gauge, histogram, info and others."""
    samples: list[Sample]


GAUGES: Final[Mapping[str, Callable[[float, float], float]]] = {
    # 1 for each state that the upstream's breaker is in, of any worker. Alerts ask whether none is closed.
    "gateway_breaker_state": max,
    # The worst one is what a client may meet.
    "gateway_event_loop_lag_seconds": max,
    "gateway_redis_up": min,
}
"""How gauges are combined that are not added up."""

_CUMULATIVE: Final = frozenset({"counter", "histogram", "summary"})
_CREATED: Final = "_created"


def samples_of(registry: CollectorRegistry) -> list[Family]:
    """What the metrics of *registry* are now."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [Sample(each.name, dict(each.labels), float(each.value)) for each in metric.samples],
        )
        for metric in registry.collect()
    ]


def total(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """The metrics of all *parts* together. Series stand in the order in which they are first seen."""
    heads: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], Sample]] = {}
    for family in (each for part in parts for each in part):
        heads.setdefault(family.name, family)
        series = values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            old = series.get(key)
            if old is not None:
                value = _rule(family, sample)(old.value, sample.value)
                sample = replace(old, value=value)
            series[key] = sample
    return [replace(head, samples=list(values[name].values())) for name, head in heads.items()]


def lasting(families: Iterable[Family]) -> list[Family]:
    """What of a worker's metrics goes on counting after its end."""
    return [family for family in families if family.kind in _CUMULATIVE]


def page(families: Sequence[Family]) -> bytes:
    """The text that Prometheus scrapes, as ``generate_latest`` writes it."""
    registry = CollectorRegistry()
    registry.register(_Fixed(families))
    return generate_latest(registry)


def _rule(family: Family, sample: Sample) -> Callable[[float, float], float]:
    if family.kind in _CUMULATIVE:
        # When it began to count: since the first one did.
        return min if sample.name == family.name + _CREATED else _add
    if family.kind == "gauge":
        return GAUGES.get(family.name, _add)
    return max  # what only says something, by a 1


def _add(one: float, other: float) -> float:
    return one + other


class _Fixed(Collector):
    """Collector of numbers that are there already."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, sample.value)
            yield metric
