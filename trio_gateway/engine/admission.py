"""What a request holds before its answer begins, and the way it takes through the model's upstreams."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from ..core.breaker import Permit, Refusal
from ..core.errors import ApiError, error_for
from ..core.faults import Fault, Replay
from .memory import RequestMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.config import ModelConfig
    from .backends import Backend, Turned

__all__ = ["Admission", "Route", "Try"]

# Seconds. Full jitter over a doubling span keeps many clients of one failing upstream from returning
# together (the usual scheme of cloud clients); the span starts short, as someone is waiting.
_BACKOFF_BASE = 0.25
_BACKOFF_CAP = 2.0
# Nobody is kept waiting longer than this for one upstream to be ready again: better another, or an error.
_LONGEST_PAUSE = 5.0


class Try(Struct, frozen=True):
    """One attempt that may be made now."""

    backend: Backend
    permit: Permit
    extra: bool = False
    """It counts against the backend's budget for repeats and hedges, and is given back with ``refund``."""


class Route:
    """The upstreams of a model in order, each for as many attempts as it allows."""

    def __init__(self, backends: list[Backend]) -> None:
        self._backends = backends
        self._position = 0
        self._tries = 0

    def first(self) -> Try | ApiError:
        """The first attempt, on the first upstream that admits it; an error if none does."""
        turned: list[Turned] = []
        return self._enter(0, turned) or _why_not(turned)

    def pause(self, fault: Fault, time_left: float) -> float | None:
        """Seconds until the same upstream may be asked once more; None: better not at all."""
        backend = self._backends[self._position]
        pause = max(_backoff(self._tries), fault.error.retry_after or 0.0)
        if fault.replay is not Replay.SAME or self._tries >= backend.config.max_attempts:
            return None
        return pause if pause <= _LONGEST_PAUSE and pause < time_left else None

    def again(self) -> Try | None:
        """One more attempt on the same upstream, if it and the budget for repeats allow it."""
        backend = self._backends[self._position]
        admitted = backend.admit(extra=True)
        if not isinstance(admitted, Permit):
            return None
        self._tries += 1
        return Try(backend, admitted, extra=True)

    def next(self, *, extra: bool = False) -> Try | None:
        """The first attempt on the next upstream that admits it. *extra*: beside one that still runs."""
        return self._enter(self._position + 1, [], extra=extra)

    def _enter(self, start: int, turned: list[Turned], *, extra: bool = False) -> Try | None:
        """The first attempt on the first upstream from *start* on that admits it; *turned* gets why not."""
        for position in range(start, len(self._backends)):
            backend = self._backends[position]
            admitted = backend.admit(extra=extra)
            if isinstance(admitted, Permit):
                self._position, self._tries = position, 1
                return Try(backend, admitted, extra=extra)
            turned.append(admitted)
        return None


def _backoff(tries: int) -> float:
    return random.uniform(0.0, min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0**tries))  # noqa: S311  (no secret)


def _why_not(turned: list[Turned]) -> ApiError:
    """One answer for a request that no upstream admits: the one that promises the soonest return."""
    refusals = [each for each in turned if isinstance(each, Refusal)]
    if len(refusals) < len(turned):
        return error_for("overloaded", "Every upstream of this model is busy.", retry_after=1.0)
    soonest = min(refusals, key=lambda refusal: refusal.retry_after)
    wait = max(1.0, soonest.retry_after)
    if all(refusal.throttled for refusal in refusals):
        return error_for("rate_limit_exceeded", "The upstream asked for a pause.", retry_after=wait)
    return error_for("circuit_open", "The model's upstreams fail at present.", retry_after=wait)


class Admission:
    """A place among the running streams and the permit of the first attempt.

    Close it whatever happens: closing again, or after the stream has taken the permit, does nothing more.
    """

    def __init__(
        self,
        model: ModelConfig,
        route: Route,
        first: Try,
        leave: Callable[[], None],
        *,
        memory: RequestMemory | None = None,
    ) -> None:
        self.model = model
        self.memory = memory or RequestMemory()
        self.route = route
        self.admitted_at = trio.current_time()
        self._first: Try | None = first
        self._leave: Callable[[], None] | None = leave

    def take(self) -> Try:
        """The first attempt, whose permit the caller now has to settle."""
        if self._first is None:
            raise RuntimeError("an admission is for one answer")
        first, self._first = self._first, None
        return first

    def close(self) -> None:
        """Give back what is still held."""
        if self._first is not None:
            self._first.backend.release(self._first.permit)
            self._first = None
        self.memory.close()
        if self._leave is not None:
            self._leave()
            self._leave = None
