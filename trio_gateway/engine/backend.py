"""Backend: one upstream as the gateway uses it: configuration, connection pool, breaker, running calls."""

from __future__ import annotations

import random
from copy import copy
from typing import TYPE_CHECKING, TypeAlias

import trio
from msgspec import Struct

from ..core.breaker import ANONYMOUS, CallIdentity, CircuitBreaker, Refusal
from ..core.sharing import SharedCircuit
from ..core.upstream_api.site import Site, shown_url
from .lease import Lease, Target, Traffic

if TYPE_CHECKING:
    from ..core.client_api.request import RequestIdentity
    from ..core.config import UpstreamConfig
    from ..core.sharing import Member
    from .metrics import Metrics
    from .upstream import Upstream

__all__ = ["Backend", "Crowded", "Turned"]

# Repeats and hedges under way may be this share of an upstream's requests, or so many: a failing upstream
# must not be buried under second attempts. (The defaults of Envoy's retry budget.)
_EXTRA_SHARE = 0.2
_EXTRA_ALWAYS = 3


class Crowded(Struct, frozen=True):
    """The upstream has as many requests as it may have."""


Turned: TypeAlias = Refusal | Crowded


class Backend:
    """One upstream, as requests see it under one configuration. It gives leases, one a call."""

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        upstream: Upstream,
        metrics: Metrics,
        *,
        site: Site | None = None,
    ) -> None:
        self.name = name
        self.breaker = CircuitBreaker(config.breaker, now=trio.current_time(), random=random.random)
        self.traffic = Traffic(name, self.breaker, metrics)
        self._aim(config, upstream, site)

    def _aim(self, config: UpstreamConfig, upstream: Upstream, site: Site | None) -> None:
        self.config = config
        self.upstream = upstream
        self.site = site or Site(self.name, shown_url(config.url))
        self._target = Target(config, upstream, self.site)

    def renewed(self, config: UpstreamConfig, upstream: Upstream, site: Site | None = None) -> Backend:
        """The same upstream for requests that begin from now on. Those that run keep this backend."""
        self.breaker.configure(config.breaker, trio.current_time())
        if upstream is not self.upstream:  # another key, perhaps
            self.breaker.renew_key(trio.current_time())
            self.traffic.has_listed = False
        self.report_changes()
        renewed = copy(self)
        renewed._aim(config, upstream, site)
        return renewed

    def share(self, name: str | None, member: Member) -> None:
        """Share the breaker with those of other processes that have it under that *name*; None: with none."""
        circuit = self.traffic.circuit
        if circuit is not None:
            if circuit.name == name:
                return
            member.remove(circuit)
        self.traffic.circuit = None
        if name is not None:
            self.traffic.circuit = SharedCircuit(name, self.breaker, member)
            member.add(self.traffic.circuit)

    @property
    def needs_right(self) -> bool:
        """Whether only the right to probe is missing for a call, and may be asked for."""
        circuit = self.traffic.circuit
        return circuit is not None and circuit.needs_right(trio.current_time())

    def admit(self, call: CallIdentity = ANONYMOUS, *, extra: bool = False) -> Lease | Turned:
        """A lease for *call*, or why there is none; never waits.

        *extra*: the call is a repeat or a hedge.
        """
        spent = extra and self.traffic.extra + 1 > max(_EXTRA_ALWAYS, _EXTRA_SHARE * self.traffic.load)
        if spent or self.traffic.load >= self.config.max_concurrency:
            return Crowded()
        admitted = self.breaker.admit(trio.current_time(), call)
        self.report_changes()
        if isinstance(admitted, Refusal):
            if self.needs_right and self.traffic.circuit is not None:
                self.traffic.circuit.ask()  # for a later call, as this one does not wait
            return admitted
        return Lease(self.traffic, admitted, self._target, extra=extra)

    def upstream_name(self, model_id: str, configured: str) -> str:
        """What the model asked for by *model_id* is called here. *configured*: its ``upstream_model``."""
        if configured:
            return configured
        # "default" is a name of ours. An upstream that serves one model leaves no doubt which is meant.
        if model_id == "default" and len(self.traffic.models) == 1:
            return self.traffic.models[0]
        return model_id

    def identify(self, identity: RequestIdentity, model: str) -> CallIdentity:
        """The call that a request makes here, for the *model* of that name."""
        key = identity.credential if self.config.pass_through_key else b""
        return CallIdentity(model, identity.client, identity.digest, key)

    def refuse_key(self) -> None:
        """The list of models was refused with 401."""
        self.breaker.refuse_key(trio.current_time(), listed_before=self.traffic.has_listed)
        self.report_changes()

    def can_admit(self) -> bool:
        """Whether a request would be admitted now; changes nothing."""
        return self.traffic.load < self.config.max_concurrency and self.breaker.can_admit(trio.current_time())

    def report_changes(self) -> None:
        """Log what the breaker did, announce what concerns others, and cancel what it ended."""
        self.traffic.report_changes(sweep_flowing=self.config.breaker.on_trip == "all")
