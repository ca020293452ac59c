"""The models on offer: those configured, and those the upstreams list when asked in the background."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog
import trio

from ..core.config.settings import resolve_model
from ..core.families import family_of
from ..core.learning import may_learn_start
from .upstream import UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.config import GatewayConfig, ModelConfig
    from ..core.learning import StartMemory
    from .backend import Backend

__all__ = ["Catalogue", "upstream_name"]

log = structlog.get_logger("trio_gateway.upstream")

# Seconds a list is kept; seconds until an upstream that did not answer is asked again, doubling up to it.
_FRESH = 60.0
_RETRY = 2.0
# Seconds an upstream has to send its list.
_PATIENCE = 10.0
# Codes of a list that came, but is not read.
_IGNORED = frozenset({"answer_too_large", "bad_content_encoding"})


class Catalogue:
    """Knows the models. Asking it never waits for an upstream."""

    def __init__(self, config: GatewayConfig, backends: Sequence[Backend], memory: StartMemory) -> None:
        self._config = config
        self._memory = memory
        self._models = config.models
        self._backends = {backend.name: backend for backend in backends}
        self._created = int(time.time())

    async def run(self) -> None:
        """Keep the upstreams' lists fresh, until cancelled."""
        async with trio.open_nursery() as nursery:
            for backend in self._backends.values():
                nursery.start_soon(self._follow, backend)

    async def _follow(self, backend: Backend) -> None:
        retry, log_ignored = _RETRY, log.warning
        while True:
            try:
                with trio.fail_after(_PATIENCE):
                    backend.traffic.models = tuple(await backend.upstream.list_models())
            except (UpstreamFailure, trio.TooSlowError) as error:
                if isinstance(error, UpstreamFailure) and error.fault.error.code in _IGNORED:
                    log_ignored("models_ignored", upstream=backend.name, reason=str(error))
                    log_ignored = log.debug  # it is asked again and again
                # Clients see nothing of this: what was listed before stays.
                log.debug("models_not_listed", upstream=backend.name, reason=str(error))
                await trio.sleep(retry)
                retry = min(retry * 2, _FRESH)
            else:
                retry = _RETRY
                await trio.sleep(_FRESH)

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
        return {
            "id": model_id,
            "object": "model",
            "created": self._created,
            "owned_by": owner,
            "capabilities": {
                "reasoning": bool(model.family) or learned is not None,
                "streaming": True,
                "tools": True,
                "reasoning_effort": bool(model.thinking_switch) or model.dialect == "harmony",
                "family": model.family,
                "starts_in_reasoning": model.starts_in_reasoning if learned is None else learned,
            },
        }

    def _learned_start(self, model_id: str, owner: str, model: ModelConfig) -> bool | None:
        """Whether plain requests for the model are taken to start in reasoning; None: as declared."""
        backend = self._backends[owner]
        learned = self._memory.starts(
            backend.config.url, upstream_name(model_id, model, backend.traffic.models)
        )
        return None if learned and not may_learn_start(model_id, model) else learned


def upstream_name(asked: str, model: ModelConfig, listed: Sequence[str]) -> str:
    """The name of *model*, asked for by the id *asked*, on an upstream that lists the models *listed*."""
    if model.upstream_model:
        return model.upstream_model
    # "default" is a name of ours. An upstream that serves one model leaves no doubt which is meant.
    if asked == "default" and len(listed) == 1:
        return listed[0]
    return asked
