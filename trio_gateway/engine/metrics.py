"""What the gateway counts, under the names dashboards rely on.

One registry an app: nothing global.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..core.breaker import Snapshot, State

__all__ = ["Metrics"]

# Seconds; the buckets OpenTelemetry advises for these two (semantic conventions for generative AI),
# the first widened to the minutes a reasoning model may think.
_FIRST_TOKEN = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    30,
    60,
    300,
)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_PHASE = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)

# Codes of the errors that refuse a request before an upstream is asked: values of a label, which must stay
# few.
_REFUSALS: Final = frozenset(
    {
        "circuit_open",
        "forbidden",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_json",
        "model_not_found",
        "overloaded",
        "rate_limit_exceeded",
        "request_in_progress",
        "request_timeout",
        "request_too_large",
        "shutting_down",
        "too_many_values",
        "unsupported_media_type",
    }
)
_INVALID: Final = "invalid_request"
"""Reason of the refusals that have no code: a field of the request is wrong."""
_OTHER: Final = "other"

Snapshots = Callable[[], Mapping[str, Snapshot]]


class Metrics:
    """The counters of one gateway.

    Breakers are read when scraped, from *snapshots*, and bytes of bodies.
    """

    def __init__(self, snapshots: Snapshots, bodies_bytes: Callable[[], int] = int) -> None:
        self.registry = registry = CollectorRegistry()
        self.time_to_first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's acceptance to the first piece of its final output.",
            registry=registry,
            buckets=_FIRST_TOKEN,
        )
        self.time_per_output_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time of the final output after its first piece, per further piece.",
            registry=registry,
            buckets=_PER_TOKEN,
        )
        self.requests = _counter(
            registry, "gateway_requests", "Chat requests by outcome.", "model", "outcome"
        )
        self.tokens = _counter(registry, "gateway_tokens", "Tokens as upstreams count them.", "model", "type")
        self.usage_ignored = _counter(
            registry, "gateway_usage_ignored", "Answers whose usage held no numbers of tokens.", "upstream"
        )
        self.phase_seconds = Histogram(
            "gateway_phase_seconds", "Time spent in a phase.", ["phase"], registry=registry, buckets=_PHASE
        )
        self.attempts = _counter(registry, "gateway_attempts", "Attempts at an upstream.", "upstream")
        self._refused = _counter(
            registry,
            "gateway_refused",
            "Requests refused before an upstream was asked, by the code of their error.",
            "reason",
        )
        # From 0 on, so that a rate has the first one too.
        for reason in (*sorted(_REFUSALS), _INVALID, _OTHER):
            self._refused.labels(reason)
        self.failovers = _counter(
            registry, "gateway_failovers", "Attempts that another one followed.", "phase"
        )
        self.upstream_errors = _counter(
            registry, "gateway_upstream_errors", "Failed attempts by cause.", "upstream", "class"
        )
        self.client_disconnects = _counter(
            registry, "gateway_client_disconnects", "Clients that left before the end.", "phase"
        )
        self.summary_fallback = _counter(
            registry, "gateway_summary_fallback", "Model summaries replaced by extractive ones.", "reason"
        )
        self.late_reasoning = _counter(
            registry, "gateway_late_reasoning", "Reasoning pieces dropped because output had begun."
        )
        self.promotions = _counter(
            registry, "gateway_promotions", "Answers whose unclosed reasoning turned out to be the answer."
        )
        self.missing_done = _counter(
            registry, "gateway_missing_done", "Finished streams that ended without [DONE].", "upstream"
        )
        self.invalid_utf8 = _counter(
            registry, "gateway_invalid_utf8", "Ill-formed UTF-8 sequences replaced in streams.", "upstream"
        )
        self.active_streams = Gauge("gateway_active_streams", "Requests being answered.", registry=registry)
        self.bodies_bytes = Gauge(
            "gateway_bodies_bytes", "Request bodies in flight, as received.", registry=registry
        )
        self.bodies_bytes.set_function(bodies_bytes)
        self.held_bytes = Gauge(
            "gateway_held_bytes", "Large events and gathered answers that are held.", registry=registry
        )
        self.event_loop_lag = Gauge(
            "gateway_event_loop_lag_seconds",
            "The longest that a timer of the event loop was late within the last minute.",
            registry=registry,
        )
        # Only where there is something to reach is it registered: else 0 would raise an alert.
        self.redis_up = Gauge(
            "gateway_redis_up",
            "1 while limits and breakers are shared through REDIS_URL, else 0; absent without REDIS_URL.",
            registry=None,
        )
        registry.register(_BreakerCollector(snapshots))

    def count_refusal(self, code: str | None) -> None:
        """Count a request that was refused before an upstream was asked. *code*: that of its error."""
        reason = _INVALID if code is None else code if code in _REFUSALS else _OTHER
        self._refused.labels(reason).inc()

    def watch_shared_state(self) -> None:
        """Show whether the shared state can be reached."""
        self.registry.register(self.redis_up)


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=registry)


class _BreakerCollector(Collector):
    """Breaker collector: reads the breakers' own counts at each scrape."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def describe(self) -> list[Metric]:
        return []  # named when collected: asking for them now would read breakers that are not there yet

    def collect(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "gateway_breaker_state", "1 for the state a breaker is in.", labels=["upstream", "state"]
        )
        calls = CounterMetricFamily(
            "gateway_breaker_calls",
            "Calls by what became of them: admitted = success + failure + neutral + stale + in flight.",
            labels=["upstream", "outcome"],
        )
        in_flight = GaugeMetricFamily(
            "gateway_breaker_in_flight", "Permits not settled yet.", labels=["upstream"]
        )
        for upstream, snapshot in self._snapshots().items():
            for name in State:
                state.add_metric([upstream, name], float(snapshot.state is name))
            for outcome in ("admitted", "success", "failure", "neutral", "stale"):
                calls.add_metric([upstream, outcome], getattr(snapshot, outcome))
            in_flight.add_metric([upstream], snapshot.in_flight)
        yield from (state, calls, in_flight)
