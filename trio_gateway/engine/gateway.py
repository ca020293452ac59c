"""The gateway itself: its backends, who is admitted, what runs, and how it stops."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import trio
from msgspec.structs import replace

from ..core.breaker import Snapshot, State
from ..core.budgets.held_bytes import ByteBudget
from ..core.config.settings import Settings, resolve_model
from ..core.errors import SHUTTING_DOWN, ApiError, RequestError, error_for, no_such_model
from ..core.upstream_api.asking import AskingMemory
from ..core.upstream_api.circuit_name import circuit_name
from ..core.upstream_api.learning import StartMemory
from ..core.upstream_api.site import site_of
from ..version import __version__
from .backend import Backend
from .bodies import Bodies
from .call import Call
from .catalogue import Catalogue
from .clients import Clients
from .loop_lag import LoopLag
from .memory import RequestMemory
from .metrics import Metrics
from .route import Route
from .services import Running, Services
from .shared_state import SharedState
from .summaries.summary_model import SummaryModel
from .tracing import NO_TRACER
from .upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.client_api.request import ChatRequest
    from ..core.config import GatewayConfig, ModelConfig, UpstreamConfig
    from ..core.sharing import Member
    from .charge import Charge
    from .request_record import RequestRecord
    from .shared_state import SharedStore
    from .tracing import Tracer

__all__ = ["Gateway"]

# Of the grace time, what is kept for telling streams that must be cut, and for their clients to hear it.
_LAST_WORDS = 0.2
_LAST_WORDS_CAP = 1.0
# Requests to the summarising model at a time: it must not crowd out the answers of a shared upstream.
_SUMMARIES_AT_ONCE = 32


class Gateway:
    """Everything that lives as long as the server.

    Make it inside Trio; run :meth:`run` beside the server. *store*: where it shares state with others.
    """

    config: GatewayConfig
    catalogue: Catalogue
    _services: Services

    def __init__(
        self, settings: Settings, store: SharedStore | None = None, *, tracer: Tracer = NO_TRACER
    ) -> None:
        self.tracer = tracer
        self.bodies = Bodies(settings.config.server.max_bodies)
        self._held = ByteBudget(settings.config.server.max_held)
        self.metrics = Metrics(self._snapshots, lambda: self.bodies.budget.taken)
        self.metrics.held_bytes.set_function(lambda: self._held.held)
        self._lag = LoopLag()
        self.metrics.event_loop_lag.set_function(lambda: self._lag.longest)
        self.shared = None if store is None else SharedState(store, self.metrics, self._report_changes)
        self.clients = Clients(settings.client_keys, self.shared)
        self.backends: dict[str, Backend] = {}
        self.active = 0
        self.draining = False
        self._summarising: Backend | None = None
        self._memory = StartMemory()
        self._asking = AskingMemory()
        self._running: set[Running] = set()
        self._drain = trio.Event()
        self._renewed = trio.Event()
        self._started_at = trio.current_time()
        self._adopt(settings)

    async def run(self) -> None:
        """Background work, until cancelled; closes the connection pools at the end."""
        async with AsyncExitStack() as pools:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._list_models)
                    nursery.start_soon(self._lag.run)
                    if self.shared is not None:
                        nursery.start_soon(self.shared.run)
                    await self._drain.wait()
                    grace = self.config.server.graceful_timeout
                    await trio.sleep(grace - min(_LAST_WORDS_CAP, grace * _LAST_WORDS))
                    for stream in list(self._running):
                        stream.cut()
            finally:
                for upstream in self._upstreams():
                    pools.push_async_callback(upstream.aclose)

    async def reload(self, settings: Settings) -> None:
        """Go on under *settings*. What runs keeps those it began under, except that keys may be revoked."""
        before = self._upstreams()
        self._adopt(settings)
        self.clients.configure(settings.client_keys)
        self._renewed.set()
        for upstream in before - self._upstreams():
            await upstream.retire()

    def _adopt(self, settings: Settings) -> None:
        """Make *settings* those that requests begin under."""
        self.config = settings.config
        self.bodies.budget.limit = settings.config.server.max_bodies
        self._held.limit = settings.config.server.max_held
        before = self.backends
        self.backends = {
            name: self._backend(before.get(name), name, config, settings)
            for name, config in settings.config.upstreams.items()
        }
        if self.shared is not None:
            self._share_breakers(self.shared.member, before, settings)
        if self._memory.enabled is not self.config.server.learn_start:
            self._memory = StartMemory(enabled=self.config.server.learn_start)
        self._services = Services(
            server=self.config.server,
            summary=self.config.summary,
            metrics=self.metrics,
            bodies=self.bodies,
            summary_model=self._summary_model(settings),
            memory=self._memory,
            asking=self._asking,
            running=self._running,
        )
        self.catalogue = Catalogue(settings.config, list(self.backends.values()), self._memory)

    def _backend(
        self, old: Backend | None, label: str, config: UpstreamConfig, settings: Settings, name: str = ""
    ) -> Backend:
        """The backend called *label* in logs, for the upstream of that *name* (or of the label's)."""
        name = name or label
        key = settings.keys.get(name)
        setting = settings.url_settings.get(name, "")
        site = site_of(name, config, settings.config.server, key=key, url_setting=setting)
        if old is None or old.config.url != config.url:  # another server: nothing is known of it
            return Backend(label, config, Upstream(config, key), self.metrics, site=site)
        upstream = old.upstream if old.upstream.serves(config, key) else Upstream(config, key)
        return old.renewed(config, upstream, site)

    def _share_breakers(self, member: Member, before: Mapping[str, Backend], settings: Settings) -> None:
        kept = {backend.traffic for backend in self.backends.values()}
        for backend in before.values():
            if backend.traffic not in kept:
                backend.share(None, member)
        for name, backend in self.backends.items():
            backend.share(circuit_name(backend.config, settings.keys.get(name)), member)

    def _report_changes(self) -> None:
        for backend in self.backends.values():
            backend.report_changes()

    def _upstreams(self) -> set[Upstream]:
        backends = [*self.backends.values(), *filter(None, [self._summarising])]
        return {backend.upstream for backend in backends}

    async def _list_models(self) -> None:
        while True:
            self._renewed = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.catalogue.run)
                await self._renewed.wait()
                nursery.cancel_scope.cancel()

    def drain(self) -> None:
        """Take no more requests; what runs may finish within the grace time and is then ended."""
        self.draining = True
        self._drain.set()

    async def prepare(self, model_id: str) -> None:
        """Where a call for that model could probe an upstream first, ask other gateways for the right to.

        Without shared state, and nearly always, this does not wait.
        """
        model = None if self.shared is None else resolve_model(self.config, model_id)
        if self.shared is None or model is None:
            return
        for name in model.upstreams:
            backend = self.backends[name]
            circuit = backend.traffic.circuit
            if circuit is not None and backend.needs_right:
                await self.shared.ask_probe(circuit)
                return
            if backend.can_admit():
                return

    def admit(
        self,
        request: ChatRequest,
        record: RequestRecord,
        *,
        authorization: str | None = None,
        buffered: bool = False,
    ) -> Call:
        """Admit *request* of ``record.client``, or refuse it: decided at once.

        *authorization* is the client's own header value. *buffered*: the client gets the answer when it is
        whole.

        Raises:
            RequestError: it cannot be served: 401 (the key is not good any more), 404 (no such model), 429 or
                503 (not now).
        """
        if self.draining:
            raise RequestError(SHUTTING_DOWN)
        if self.active >= self.config.server.max_streams:
            raise RequestError(error_for("overloaded", "The gateway is busy.", retry_after=1.0))
        charge = record.charge
        charge.check(request.model)
        model = self._model(request.model)
        route = Route(
            [self.backends[name] for name in model.upstreams],
            request.identity,
            model_id=request.model,
            upstream_model=model.upstream_model,
        )
        first = route.first()
        if isinstance(first, ApiError):
            raise RequestError(first)
        self._enter(charge)
        return Call(
            request=request,
            record=record,
            services=self._services,
            model=model,
            route=route,
            memory=RequestMemory(self.config.server, self._held),
            deadline=trio.current_time() + self.config.server.request_timeout,
            authorization=authorization,
            buffered=buffered,
            first_lease=first,
            leave=partial(self._leave, charge),
        )

    @property
    def ready(self) -> bool:
        """Whether a request could be served now."""
        return not self.draining and any(backend.can_admit() for backend in self.backends.values())

    def health(self) -> dict[str, Any]:
        """The body of ``GET /health``."""
        return {
            "status": self._status(),
            "version": __version__,
            "uptime_s": round(trio.current_time() - self._started_at, 3),
            "active_streams": self.active,
            "upstreams": {name: self._shown(name, snapshot) for name, snapshot in self._snapshots().items()},
        }

    def _shown(self, name: str, snapshot: Snapshot) -> dict[str, Any]:
        standing = self.backends[name].traffic.standing
        age = standing.age(trio.current_time())
        return {
            **{field: getattr(snapshot, field) for field in _SHOWN},
            "reachable": standing.reachable,
            "seen_s": None if age is None else round(age, 3),
        }

    def _status(self) -> Literal["ok", "degraded", "unavailable", "draining"]:
        if self.draining:
            return "draining"
        if not self.ready:
            return "unavailable"
        flows = {State.CLOSED, State.FORCED_CLOSED}
        return "ok" if all(s.state in flows for s in self._snapshots().values()) else "degraded"

    def _summary_model(self, settings: Settings) -> SummaryModel | None:
        summary = settings.config.summary
        if "model" not in {summary.prompt, summary.reasoning}:
            self._summarising = None
            return None
        name = summary.upstream or next(iter(self.backends))
        config = settings.config.upstreams[name]
        config = replace(config, max_concurrency=min(config.max_concurrency, _SUMMARIES_AT_ONCE))
        self._summarising = self._backend(self._summarising, "summary", config, settings, name)
        return SummaryModel(summary, self._summarising, self.metrics)

    def _model(self, model_id: str) -> ModelConfig:
        model = resolve_model(self.config, model_id)
        if model is None:
            raise no_such_model(model_id)
        return model

    def _snapshots(self) -> Mapping[str, Snapshot]:
        now = trio.current_time()
        return {name: backend.breaker.snapshot(now) for name, backend in self.backends.items()}

    def _enter(self, charge: Charge) -> None:
        charge.begin()
        self.active += 1
        self.metrics.active_streams.set(self.active)

    def _leave(self, charge: Charge) -> None:
        charge.end()
        self.active -= 1
        self.metrics.active_streams.set(self.active)


# What a breaker shows of itself; its counts of calls are for /metrics.
_SHOWN = (
    "state",
    "generation",
    "failure_rate",
    "slow_rate",
    "calls",
    "open_until_s",
    "probes_in_flight",
    "in_flight",
    "opened_total",
    "last_error_class",
)
