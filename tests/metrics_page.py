"""Page of metrics: ``python -m tests.metrics_page`` writes ``docs/metrics.md`` from the registry.

What every metric means and what to do when it moves stands in ``docs/operations.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from trio_gateway.engine.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"

_HEAD = """# Metrics

What `GET /metrics` gives, in Prometheus's text format. Written from the registry by `python -m tests.metrics_page`; a
test compares it. What to do when one moves stands in [operations.md](operations.md).

| metric | type | labels | what |
|---|---|---|---|
"""


class Family(NamedTuple):
    """One metric of the registry."""

    name: str
    """As it is queried; of a histogram without ``_bucket`` and the like."""
    kind: str
    labels: tuple[str, ...]
    what: str

    @property
    def series(self) -> set[str]:
        """Names under which its series are scraped."""
        return (
            {self.name + suffix for suffix in ("_bucket", "_sum", "_count")} if self._spread else {self.name}
        )

    @property
    def _spread(self) -> bool:
        return self.kind == "histogram"


def families() -> list[Family]:
    """Every metric of a gateway, by its name."""
    metrics = Metrics(dict)
    metrics.watch_shared_state()
    return sorted(_families(metrics))


def _families(metrics: Metrics) -> Iterator[Family]:
    collectors = {
        name: collector
        for collector, names in metrics.registry._collector_to_names.items()
        for name in names
        if isinstance(collector, MetricWrapperBase)
    }
    for family in metrics.registry.collect():
        own = collectors.get(family.name)
        labels: tuple[str, ...] = own._labelnames if own else getattr(family, "_labelnames", ())
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield Family(name, family.type, tuple(labels), family.documentation)


def page() -> str:
    """The text of the page."""
    rows = (
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.what} |\n"
        for each in families()
    )
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
