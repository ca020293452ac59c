"""Lease: permits one call of an upstream, and is given back once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio

from ..core.breaker import NEUTRAL, SUCCESS, CircuitBreaker, PauseCause, Permit, Reason, State
from ..core.upstream_api.standing import Standing

if TYPE_CHECKING:
    from ..core.breaker import PauseBegun, Transition, Verdict
    from ..core.config import UpstreamConfig
    from ..core.sharing import SharedCircuit
    from ..core.upstream_api.faults import Fault
    from ..core.upstream_api.site import Site
    from .metrics import Metrics
    from .upstream import Upstream

__all__ = ["Lease", "Target", "Traffic"]

log = structlog.get_logger("trio_gateway.upstream")


class Traffic:
    """Running calls of one upstream, and its breaker; a reload keeps both."""

    def __init__(self, name: str, breaker: CircuitBreaker, metrics: Metrics) -> None:
        self.name = name
        self.breaker = breaker
        self.metrics = metrics
        self.circuit: SharedCircuit | None = None
        """Ties the breaker to those of other gateways."""
        self.models: tuple[str, ...] = ()
        """Ids of the models the upstream lists, as it last answered."""
        self.has_listed = False
        """The key in use has opened the list of models."""
        self.list_wanted = trio.Event()
        """A call was refused with 401: the list of models shows whether the key is good."""
        self.load = 0
        self.extra = 0
        """How many of the calls are repeats or hedges."""
        self.standing = Standing()
        self.seen = trio.Event()
        """The upstream was asked something, with whatever outcome."""
        self.waiting: set[Lease] = set()
        self.flowing: set[Lease] = set()

    def note_event(self, site: Site) -> None:
        """The first event of an answer came."""
        self.seen.set()
        if self.standing.note_event(trio.current_time()):
            self._report_recovery(site)

    def note_list(self, site: Site) -> None:
        """The list of models came."""
        self.seen.set()
        if self.standing.note_list(trio.current_time()):
            self._report_recovery(site)

    def note_failure(self, site: Site, fault: Fault) -> None:
        """A call, or the question for the list of models, failed before anything of an answer came."""
        self.seen.set()
        if self.standing.note_failure(fault, trio.current_time()):
            self._report_trouble(site, fault.verdict.cause, fault.hint)

    def note_silence(self, site: Site, seconds: float) -> None:
        """The list of models did not come within so many *seconds*."""
        self.seen.set()
        reason = f"no list of models in {seconds:.12g} s"
        if self.standing.note_silence(trio.current_time(), reason):
            self._report_trouble(site, reason, "Does {url} name a model server, and is it busy?")

    def _report_trouble(self, site: Site, reason: str, hint: str) -> None:
        log.warning(
            "upstream_failed", upstream=self.name, url=site.url, reason=reason, hint=site.advice(hint)
        )

    def _report_recovery(self, site: Site) -> None:
        log.info("upstream_recovered", upstream=self.name, url=site.url)

    def report_changes(self, *, sweep_flowing: bool) -> None:
        """Log what the breaker did, and where it opened cancel the calls that have no first event yet.

        *sweep_flowing*: those that have one as well.
        """
        for change in self.breaker.drain_events():
            log.warning(
                "breaker_changed", upstream=self.name, old=change.old, new=change.new, reason=change.reason
            )
            self._share(change)
            # What another gateway found says nothing about the calls that were made from here.
            if change.new is State.OPEN and change.reason is not Reason.SHARED_OPEN:
                self._sweep(self.waiting | (self.flowing if sweep_flowing else set()), self.breaker.why)
        for pause in self.breaker.drain_pauses():
            self._report_pause(pause)

    def _share(self, change: Transition) -> None:
        """Announce what concerns other gateways as well."""
        circuit, breaker = self.circuit, self.breaker
        if circuit is None:
            return
        found_here = change.new is State.OPEN and change.reason is not Reason.SHARED_OPEN
        if found_here and breaker.is_answered and change.generation == breaker.generation:
            circuit.announce(breaker.open_until, breaker.why)
        elif change.old is State.HALF_OPEN:
            circuit.conclude(passed=change.reason is Reason.PROBES_PASSED)
        elif change.new is State.HALF_OPEN:
            circuit.begin_probing()

    def _report_pause(self, pause: PauseBegun) -> None:
        if pause.shared and self.circuit is not None:
            self.circuit.announce(pause.until, pause.why, model=pause.model, cause=pause.cause)
        log.warning(
            "model_paused",
            upstream=self.name,
            model=pause.model,
            reason=pause.cause,
            seconds=round(pause.seconds, 3),
        )
        match pause.cause:
            case PauseCause.KEY:
                self.list_wanted.set()
            case PauseCause.FAILING:
                self._sweep({lease for lease in self.waiting if lease.model == pause.model}, pause.why)
            case PauseCause.RATE | PauseCause.QUOTA:
                pass  # a call that got through before the limit may still be answered

    def _sweep(self, leases: set[Lease], why: str) -> None:
        for lease in leases:
            lease.sweep(why)


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream under one configuration, with what its calls need."""

    config: UpstreamConfig
    upstream: Upstream
    site: Site


class Lease:
    """One call that may be made now.

    Make it within ``scope``; then ``succeed``, ``fail`` or ``release``.

    The first of these three counts; a later one does nothing, so ``release`` is safe in any ``finally``.
    ``scope`` carries the deadlines of the call, and a trip of the breaker cancels it.
    """

    def __init__(
        self,
        traffic: Traffic,
        permit: Permit,
        target: Target,
        *,
        extra: bool,
    ) -> None:
        self.name = traffic.name
        """The configured name of the upstream."""
        self.model = permit.call.model
        """The upstream's id of the model to ask for."""
        self.config = target.config
        self.upstream = target.upstream
        self.scope = trio.CancelScope()
        self.swept: str | None = None
        """The upstream was paused meanwhile, and why; nothing is known of this call itself."""
        self.extra = extra
        """A repeat or a hedge, which counts against the budget for those."""
        self._site = target.site
        self._traffic = traffic
        self._permit = permit
        traffic.load += 1
        traffic.extra += extra
        traffic.waiting.add(self)

    @property
    def deadline(self) -> float:
        """Instant by which a probe must have its first event; infinity for every other call."""
        return self._permit.deadline

    def confirm(self) -> None:
        """The first valid event came: it decides a probe, and a trip lets the call finish from now on.

        Later events change nothing.
        """
        if self not in self._traffic.waiting:  # confirmed already, or over
            return
        self._traffic.waiting.discard(self)
        self._traffic.flowing.add(self)
        self._traffic.note_event(self._site)
        self._permit = self._traffic.breaker.confirm(self._permit, trio.current_time())
        self._report_changes()

    def note_queued(self) -> None:
        """A comment came: until now the call has waited in a queue, which does not make its upstream slow."""
        if self in self._traffic.waiting:
            self._permit.queued_until = trio.current_time()

    def succeed(self) -> None:
        """The answer came to its end."""
        self._settle(SUCCESS)

    def fail(self, fault: Fault) -> None:
        """The call failed. If this trips the breaker, calls that wait for a first event are cancelled."""
        if not self._permit.settled:
            self._traffic.metrics.upstream_errors.labels(self.name, fault.error.error_class).inc()
            if self in self._traffic.waiting:
                self._traffic.note_failure(self._site, fault)
            self._settle(fault.verdict)

    def explain(self, fault: Fault) -> Fault:
        """*fault* of this call with a message that names the upstream and says what to do next."""
        return self._site.explain(fault, model=self.model, listed=self._traffic.models)

    def release(self) -> None:
        """The call is over without a verdict: its client left, or the gateway ended it."""
        self._settle(NEUTRAL)

    def sweep(self, why: str) -> None:
        """End the call because its upstream, or its model there, is paused. *why*: the end of a sentence."""
        self.swept = why
        self.scope.cancel()

    def _settle(self, verdict: Verdict) -> None:
        if self._permit.settled:
            return
        self._traffic.load -= 1
        self._traffic.extra -= self.extra
        self._traffic.waiting.discard(self)  # a trip must not cancel its own cause
        self._traffic.flowing.discard(self)
        self._traffic.breaker.settle(self._permit, verdict, trio.current_time())
        self._report_changes()

    def _report_changes(self) -> None:
        self._traffic.report_changes(sweep_flowing=self.config.breaker.on_trip == "all")
