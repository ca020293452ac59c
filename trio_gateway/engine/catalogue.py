"""Catalogue: lists configured models, and those that upstreams list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from msgspec.structs import replace

from ..core.breaker import PauseCause
from ..core.config.families import family_of
from ..core.config.settings import resolve_model
from ..core.upstream_api.learning import may_learn_start
from ..core.upstream_api.site import may_show_urls
from .upstream_answer import UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.config import GatewayConfig, ModelConfig
    from ..core.upstream_api.faults import Fault
    from ..core.upstream_api.learning import StartMemory
    from .backend import Backend

__all__ = ["CREATED", "Catalogue"]

log = structlog.get_logger("trio_gateway.upstream")

CREATED: Final = 1_735_689_600
"""When each model was made (Unix time), as far as clients are to know.

Upstreams do not tell it. An instant of this process would differ between workers and change with each reload,
so that a model would seem to be another one.
"""

# Seconds a list is kept; seconds until an upstream that did not answer is asked again, doubling up to it.
_FRESH = 60.0
_RETRY = 2.0
# Seconds an upstream has to send its list.
_PATIENCE = 10.0
# Codes of a list that came, but is not read.
_IGNORED = frozenset({"answer_too_large", "bad_content_encoding"})
# Seconds between two lists at least, however often it is in doubt whether the key is good.
_SOONEST = 0.5
# Models taken from one upstream: they become labels of metrics, which must stay few.
_MOST = 500


class Catalogue:
    """Knows the models. Asking it never waits for an upstream."""

    def __init__(self, config: GatewayConfig, backends: Sequence[Backend], memory: StartMemory) -> None:
        self._config = config
        self._memory = memory
        self._models = config.models
        self._backends = {backend.name: backend for backend in backends}
        self._ignored: set[str] = set()  # upstreams whose lists came, but are not read

    async def run(self) -> None:
        """Keep the upstreams' lists fresh, until cancelled."""
        async with trio.open_nursery() as nursery:
            for backend in self._backends.values():
                nursery.start_soon(self._follow, backend)

    async def _follow(self, backend: Backend) -> None:
        retry = _RETRY
        while True:
            if await self._list(backend):
                retry = _RETRY
                await self._rest(backend, _FRESH)
            else:
                await self._rest(backend, retry)
                retry = min(retry * 2, _FRESH)

    async def _list(self, backend: Backend) -> bool:
        """Ask for the list once; whether it came. What was listed before stays where it did not."""
        try:
            with trio.fail_after(_PATIENCE):
                models = await backend.upstream.list_models()
        except (UpstreamFailure, trio.TooSlowError) as error:
            # No client waits for this: chat requests find out for themselves.
            log.debug("models_not_listed", upstream=backend.name, reason=str(error))
            if isinstance(error, UpstreamFailure):
                self._note_failure(backend, error.fault)
            else:
                backend.traffic.note_silence(backend.site, _PATIENCE)
            return False
        self._ignored.discard(backend.name)
        backend.traffic.models = tuple(models)[:_MOST]
        backend.traffic.has_listed = True
        backend.traffic.note_list(backend.site)
        return True

    def _note_failure(self, backend: Backend, fault: Fault) -> None:
        # Not every server has such a list: only a fault that a chat request would meet too counts as one.
        meets_all = fault.unanswered or fault.pauses is not None
        backend.traffic.note_failure(backend.site, fault if meets_all else replace(fault, hint=""))
        if fault.pauses is PauseCause.KEY:
            backend.refuse_key()
        if fault.error.code in _IGNORED and backend.name not in self._ignored:
            self._ignored.add(backend.name)  # one warning is enough, as it is asked again and again
            log.warning("models_ignored", upstream=backend.name, reason=fault.error.message)

    async def _rest(self, backend: Backend, seconds: float) -> None:
        """Wait for *seconds*, or until a 401 makes the key doubtful: the list shows whether it is good."""
        await trio.sleep(_SOONEST)
        with trio.move_on_after(seconds - _SOONEST):
            await backend.traffic.list_wanted.wait()
        backend.traffic.list_wanted = trio.Event()

    def entries(self) -> list[dict[str, Any]]:
        """The objects of ``GET /v1/models``: configured ones first, each id once."""
        entries: dict[str, dict[str, Any]] = {}
        for name, model in self._models.items():
            if not model.match:  # with a pattern, the entry's name is a label, not an id
                entries[name] = self._entry(name, model.upstreams[0], model)
        for backend in self._backends.values():
            for name in backend.traffic.models:
                entries.setdefault(
                    name,
                    self._entry(name, backend.name, resolve_model(self._config, name) or family_of(name)),
                )
        return list(entries.values())

    def entry(self, model_id: str) -> dict[str, Any] | None:
        """The object of one model, or None."""
        return next((entry for entry in self.entries() if entry["id"] == model_id), None)

    def label(self, model_id: str) -> str:
        """*model_id* where it is known, else ``other``: clients must not invent labels of metrics."""
        listed = any(model_id in backend.traffic.models for backend in self._backends.values())
        return model_id if listed or model_id in self._models else "other"

    def _entry(self, model_id: str, owner: str, model: ModelConfig) -> dict[str, Any]:
        learned = self._learned_start(model_id, owner, model)
        advice = self._advice(model_id, owner, model)
        return {
            "id": model_id,
            "object": "model",
            "created": CREATED,
            "owned_by": owner,
            "capabilities": {
                "reasoning": bool(model.family) or learned is not None,
                "streaming": True,
                "tools": True,
                "reasoning_effort": bool(model.thinking_switch) or model.dialect == "harmony",
                "family": model.family,
                "starts_in_reasoning": model.starts_in_reasoning if learned is None else learned,
                **({"advice": f"model {model_id} {advice}"} if advice else {}),
            },
        }

    def _advice(self, model_id: str, owner: str, model: ModelConfig) -> str | None:
        """What the log advised about the model; only where the client may also change the configuration."""
        if not may_show_urls(self._config.server):
            return None
        backend = self._backends[owner]
        name = backend.upstream_name(model_id, model.upstream_model)
        return self._memory.advice(backend.config.url, name, declared=model.starts_in_reasoning)

    def _learned_start(self, model_id: str, owner: str, model: ModelConfig) -> bool | None:
        """Whether plain requests for the model are taken to start in reasoning; None: as declared."""
        backend = self._backends[owner]
        name = backend.upstream_name(model_id, model.upstream_model)
        learned = self._memory.starts(backend.config.url, name)
        return None if learned and not may_learn_start(model_id, model) else learned
