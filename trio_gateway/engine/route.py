"""Route: tries the upstreams of one model in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ..core.breaker import Refusal
from ..core.breaker.unavailable import unavailable
from ..core.client_api.request import RequestIdentity
from ..core.upstream_api.faults import Fault, Replay
from .lease import Lease

if TYPE_CHECKING:
    from ..core.errors import ApiError
    from .backend import Backend, Turned

__all__ = ["Route"]

# Seconds. Full jitter over a doubling span keeps many clients of one failing upstream from returning
# together (the usual scheme of cloud clients); the span starts short, as someone is waiting.
_BACKOFF_BASE = 0.25
_BACKOFF_CAP = 2.0
# Nobody is kept waiting longer than this for one upstream to be ready again: better another, or an error.
_LONGEST_PAUSE = 5.0


class Route:
    """The upstreams of a model in order, each for as many attempts as it allows.

    *model_id*: as the request has it. *upstream_model*: what the configuration calls it upstream; or empty.
    """

    def __init__(
        self,
        backends: list[Backend],
        identity: RequestIdentity = RequestIdentity(),  # noqa: B008  (it is frozen)
        *,
        model_id: str = "default",
        upstream_model: str = "",
    ) -> None:
        self._backends = backends
        self._identity = identity
        self._model_id = model_id
        self._upstream_model = upstream_model
        self._position = 0
        self._tries = 0

    def first(self) -> Lease | ApiError:
        """The first attempt, on the first upstream that admits it; an error if none does."""
        refusals: list[tuple[str, Refusal | None]] = []
        return self._enter(0, refusals) or unavailable(refusals)

    def pause(self, fault: Fault, time_left: float) -> float | None:
        """Seconds until the same upstream may be asked once more; None: better not at all."""
        backend = self._backends[self._position]
        pause = max(_backoff(self._tries), fault.error.retry_after or 0.0)
        if fault.replay is not Replay.SAME or self._tries >= backend.config.max_attempts:
            return None
        return pause if pause <= _LONGEST_PAUSE and pause < time_left else None

    def again(self) -> Lease | None:
        """One more attempt on the same upstream, if it and the budget for repeats allow it."""
        backend = self._backends[self._position]
        admitted = self._ask(backend, extra=True)
        if not isinstance(admitted, Lease):
            return None
        self._tries += 1
        return admitted

    def next(self, *, extra: bool = False) -> Lease | None:
        """The first attempt on the next upstream that admits it. *extra*: beside one that still runs."""
        return self._enter(self._position + 1, [], extra=extra)

    def _enter(
        self, start: int, refusals: list[tuple[str, Refusal | None]], *, extra: bool = False
    ) -> Lease | None:
        """The first attempt on the first upstream from *start* on that admits it; *refusals* gets why not."""
        for position in range(start, len(self._backends)):
            backend = self._backends[position]
            admitted = self._ask(backend, extra=extra)
            if isinstance(admitted, Lease):
                self._position, self._tries = position, 1
                return admitted
            refusals.append((backend.name, admitted if isinstance(admitted, Refusal) else None))
        return None

    def _ask(self, backend: Backend, *, extra: bool) -> Lease | Turned:
        model = backend.upstream_name(self._model_id, self._upstream_model)
        return backend.admit(backend.identify(self._identity, model), extra=extra)


def _backoff(tries: int) -> float:
    return random.uniform(0.0, min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0**tries))  # noqa: S311  (no secret)
