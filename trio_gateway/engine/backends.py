"""A backend is all the gateway holds for one upstream: connection pool, breaker, and who waits on it."""

from __future__ import annotations

import math
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import structlog
import trio
from msgspec import Struct

from ..core.breaker import CircuitBreaker, Outcome, Permit, Refusal, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.config import UpstreamConfig
    from ..core.faults import Fault
    from .metrics import Metrics
    from .upstream import Upstream

__all__ = ["Backend", "Crowded", "Flight", "Turned"]

log = structlog.get_logger("trio_gateway.upstream")


# Repeats and hedges under way may be this share of an upstream's requests, or so many: a failing upstream
# must not be buried under second attempts. (The defaults of Envoy's retry budget.)
_EXTRA_SHARE = 0.2
_EXTRA_ALWAYS = 3


class Crowded(Struct, frozen=True):
    """The upstream has as many requests as it may have: shed, which is no judgement of its health."""


Turned: TypeAlias = Refusal | Crowded


class Flight:
    """One attempt under way. Its ``scope`` carries the attempt's clock, and a trip cancels it."""

    __slots__ = ("scope", "swept")

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.swept = False
        """The breaker tripped meanwhile; nothing else is known of this attempt."""


class Traffic:
    """What is known of an upstream and what runs there, under whatever configuration it began."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self.models: tuple[str, ...] = ()
        """Ids of the models it lists, as last heard."""
        self.load = 0
        self.extra = 0
        self.waiting: set[Flight] = set()
        self.flowing: set[Flight] = set()


class Backend:
    """One upstream, as the gateway sees it. A permit it gives must be settled; settling again is nothing."""

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        upstream: Upstream,
        metrics: Metrics,
        *,
        traffic: Traffic | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.upstream = upstream
        self.traffic = traffic or Traffic(
            CircuitBreaker(config.breaker, now=trio.current_time(), random=random.random)
        )
        self.breaker = self.traffic.breaker
        self._metrics = metrics

    def renewed(self, config: UpstreamConfig, upstream: Upstream) -> Backend:
        """The same upstream for requests that begin from now on. Those that run keep this backend."""
        self.breaker.configure(config.breaker, trio.current_time())
        self._tell()
        return Backend(self.name, config, upstream, self._metrics, traffic=self.traffic)

    def admit(self, *, extra: bool = False) -> Permit | Turned:
        """A permit, or why not. Never waits. *extra*: for a repeat or a hedge; ``refund`` it once over."""
        spent = extra and self.traffic.extra + 1 > max(_EXTRA_ALWAYS, _EXTRA_SHARE * self.traffic.load)
        if spent or self.traffic.load >= self.config.max_concurrency:
            return Crowded()
        admitted = self.breaker.admit(trio.current_time())
        self._tell()
        if isinstance(admitted, Permit):
            self.traffic.load += 1
            self.traffic.extra += extra
        return admitted

    def refund(self) -> None:
        """An attempt that was *extra* is over."""
        self.traffic.extra -= 1

    def can_admit(self) -> bool:
        """Whether a request would be admitted now; changes nothing."""
        return self.traffic.load < self.config.max_concurrency and self.breaker.can_admit(trio.current_time())

    def succeed(self, permit: Permit, *, slow: bool) -> None:
        """A terminal marker was seen."""
        self._settle(permit, Outcome.SUCCESS, slow=slow)

    def fail(self, permit: Permit, fault: Fault, *, slow: bool) -> None:
        """The attempt failed. If this trips the breaker, those who still wait for a first event are freed."""
        self._metrics.upstream_errors.labels(self.name, fault.error.error_class).inc()
        self._settle(
            permit,
            fault.outcome,
            slow=slow,
            opens=fault.opens,
            throttle=fault.throttles,
            retry_after=fault.error.retry_after,
            error_class=fault.error.error_class,
        )

    def release(self, permit: Permit, *, slow: bool = False) -> None:
        """Nothing can be said of the upstream: the client left, or the gateway itself ended the attempt."""
        self._settle(permit, Outcome.NEUTRAL, slow=slow)

    def probe_deadline(self, permit: Permit) -> float:
        """Instant by which a probe must have its first event; never, for other permits."""
        deadline = self.breaker.probe_deadline(permit)
        return math.inf if deadline is None else deadline

    def confirm(self, permit: Permit) -> Permit:
        """The first valid event came: a probe is decided by it, and its stream goes on under a new permit."""
        confirmed = self.breaker.confirm(permit, trio.current_time())
        self._tell()
        return confirmed

    @contextmanager
    def flight(self, deadline: float) -> Iterator[Flight]:
        """The scope of one attempt, over at *deadline* unless that is pushed on.

        Leave it before settling a failure, so that a trip never cancels its own cause.
        """
        with trio.CancelScope(deadline=deadline) as scope:
            flight = Flight(scope)
            self.traffic.waiting.add(flight)
            try:
                yield flight
            finally:
                self.traffic.waiting.discard(flight)
                self.traffic.flowing.discard(flight)

    def flows(self, flight: Flight) -> None:
        """*flight* has its first event: a trip lets it finish, unless configured otherwise."""
        self.traffic.waiting.discard(flight)
        self.traffic.flowing.add(flight)

    def _settle(
        self,
        permit: Permit,
        outcome: Outcome,
        *,
        slow: bool,
        opens: bool = False,
        throttle: bool = False,
        retry_after: float | None = None,
        error_class: str | None = None,
    ) -> None:
        if permit.settled:
            return
        self.traffic.load -= 1
        self.breaker.settle(
            permit,
            outcome,
            trio.current_time(),
            slow=slow,
            opens=opens,
            throttle=throttle,
            retry_after=retry_after,
            error_class=error_class,
        )
        self._tell()

    def _sweep(self) -> None:
        doomed = set(self.traffic.waiting)
        if self.config.breaker.on_trip == "all":
            doomed |= self.traffic.flowing
        for flight in doomed:
            flight.swept = True
            flight.scope.cancel()

    def _tell(self) -> None:
        for change in self.breaker.drain_events():
            log.warning(
                "breaker_changed", upstream=self.name, old=change.old, new=change.new, reason=change.reason
            )
            if change.new is State.OPEN:
                self._sweep()
