"""Lease: the permission for one call of an upstream, given back once, whatever way the call ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from ..core.breaker import CircuitBreaker, Outcome, Permit, State

if TYPE_CHECKING:
    from ..core.config import UpstreamConfig
    from ..core.faults import Fault
    from .metrics import Metrics
    from .upstream import Upstream

__all__ = ["Lease", "Traffic"]

log = structlog.get_logger("trio_gateway.upstream")


class Traffic:
    """The calls of one upstream that run, and its breaker; a reload of the configuration keeps both."""

    def __init__(self, name: str, breaker: CircuitBreaker, metrics: Metrics) -> None:
        self.name = name
        self.breaker = breaker
        self.metrics = metrics
        self.models: tuple[str, ...] = ()
        """Ids of the models the upstream lists, as it last answered."""
        self.load = 0
        self.extra = 0
        """How many of the calls are repeats or hedges."""
        self.waiting: set[Lease] = set()
        self.flowing: set[Lease] = set()

    def report_changes(self, *, sweep_flowing: bool) -> None:
        """Log what the breaker did, and where it opened cancel the calls that have no first event yet.

        *sweep_flowing*: those that have one as well.
        """
        for change in self.breaker.drain_events():
            log.warning(
                "breaker_changed", upstream=self.name, old=change.old, new=change.new, reason=change.reason
            )
            if change.new is State.OPEN:
                for lease in self.waiting | (self.flowing if sweep_flowing else set()):
                    lease.sweep()


class Lease:
    """One call that may be made now. Make it within ``scope``; then ``succeed``, ``fail`` or ``release``.

    The first of these three counts; a later one does nothing, so ``release`` is safe in any ``finally``.
    ``scope`` carries the deadlines of the call, and a trip of the breaker cancels it.
    """

    def __init__(
        self, traffic: Traffic, permit: Permit, *, config: UpstreamConfig, upstream: Upstream, extra: bool
    ) -> None:
        self.name = traffic.name
        """The configured name of the upstream."""
        self.config = config
        self.upstream = upstream
        self.scope = trio.CancelScope()
        self.swept = False
        """The breaker opened meanwhile: nothing is known of this call itself."""
        self.extra = extra
        """A repeat or a hedge, which counts against the budget for those."""
        self._traffic = traffic
        self._permit = permit
        traffic.load += 1
        traffic.extra += extra
        traffic.waiting.add(self)

    @property
    def deadline(self) -> float:
        """Instant by which a probe must have its first event; infinity for every other call."""
        return self._permit.deadline

    @property
    def listed(self) -> tuple[str, ...]:
        """Ids of the models the upstream lists."""
        return self._traffic.models

    def confirm(self) -> None:
        """The first valid event came: it decides a probe, and a trip lets the call finish from now on."""
        self._traffic.waiting.discard(self)
        self._traffic.flowing.add(self)
        self._permit = self._traffic.breaker.confirm(self._permit, trio.current_time())
        self._report_changes()

    def succeed(self, *, slow: bool) -> None:
        """The answer came to its end."""
        if self._end():
            self._traffic.breaker.settle(self._permit, Outcome.SUCCESS, trio.current_time(), slow=slow)
            self._report_changes()

    def fail(self, fault: Fault, *, slow: bool) -> None:
        """The call failed. If this trips the breaker, calls that wait for a first event are cancelled."""
        self._traffic.metrics.upstream_errors.labels(self.name, fault.error.error_class).inc()
        if self._end():
            self._traffic.breaker.settle(
                self._permit,
                fault.outcome,
                trio.current_time(),
                slow=slow,
                opens=fault.opens,
                throttle=fault.throttles,
                retry_after=fault.error.retry_after,
                error_class=fault.error.error_class,
            )
            self._report_changes()

    def release(self, *, slow: bool = False) -> None:
        """The call says nothing about the upstream: its client left, or the gateway ended it."""
        if self._end():
            self._traffic.breaker.settle(self._permit, Outcome.NEUTRAL, trio.current_time(), slow=slow)
            self._report_changes()

    def sweep(self) -> None:
        """End the call because the breaker opened."""
        self.swept = True
        self.scope.cancel()

    def _end(self) -> bool:
        """Give the place back; whether it was still held. Comes before the breaker's judgement."""
        if self._permit.settled:
            return False
        self._traffic.load -= 1
        self._traffic.extra -= self.extra
        self._traffic.waiting.discard(self)  # a trip must not cancel its own cause
        self._traffic.flowing.discard(self)
        return True

    def _report_changes(self) -> None:
        self._traffic.report_changes(sweep_flowing=self.config.breaker.on_trip == "all")
