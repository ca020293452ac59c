"""Pauses: leave models of one upstream alone, then try each by one call.

A pause begins with what the upstream answered (a rate limit, a spent quota, a refused key) or with failures
that were one model's alone. It concerns that model; where clients send keys of their own, a limit concerns
the model for that key. When its time is over one call tries, and the others are still refused: its first
event lifts the pause, an answer of the same kind renews it, and any other end lets the next call try. A call
that is never decided holds that place for ``probe_timeout`` at most.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from .calls import PauseCause, Refusal
from .growth import Growth
from .refusal_wording import why_limited
from .retry_after import clamp_retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..config import BreakerConfig
    from .calls import CallIdentity, Permit, Verdict

__all__ = ["MAX_PAUSES", "Pause", "PauseBegun", "Pauses"]

MAX_PAUSES: Final = 1024
"""Pauses that are kept for one upstream; the one that ends first makes room."""

# Seconds. A rate limit may ask for more, which its client is told; the upstream is asked again after these.
_LONGEST_LIMIT: Final = 60.0
_QUOTA: Final = 60.0
# Seconds after which a call that was refused because another one tries may ask again.
_TRIED: Final = 1.0
# Pauses kept for a reader that is late.
_MAX_EVENTS: Final = 256

_Key: TypeAlias = tuple[str, bytes]


class PauseBegun(NamedTuple):
    """A model is paused from now on."""

    model: str
    cause: PauseCause
    seconds: float
    why: str
    """As the end of a sentence."""
    until: float
    """Monotonic seconds."""
    shared: bool
    """It concerns every gateway with the same key: the upstream's answers, and nothing else, led to it."""


@dataclass(slots=True)
class Pause:
    """One model left alone. Instants are monotonic seconds."""

    cause: PauseCause
    since: float
    until: float
    why: str
    client: str = ""
    """Who made the call that led to it."""
    growth: Growth | None = None
    """Of a pause that grows with each renewal in a row."""
    trial: Permit | None = None
    trial_until: float = -math.inf


class Pauses:
    """All pauses of one upstream."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._pauses: dict[_Key, Pause] = {}
        self._begun: deque[PauseBegun] = deque(maxlen=_MAX_EVENTS)

    def refusal(self, call: CallIdentity, now: float) -> Refusal | None:
        """What keeps *call* out at *now*."""
        refusals = [_refusal(call.model, pause, now) for _, pause in self._concerning(call)]
        return max(filter(None, refusals), key=lambda refusal: refusal.retry_after, default=None)

    def admit(self, permit: Permit, *, trial_until: float) -> None:
        """A call begins: where a pause is over, it is the one that tries."""
        for _, pause in self._concerning(permit.call):
            pause.trial, pause.trial_until = permit, trial_until

    def limit(self, permit: Permit, verdict: Verdict, config: BreakerConfig, now: float) -> None:
        """An upstream's answer restricts the model of a call, as ``verdict.pauses`` says."""
        call, growth = permit.call, None
        match verdict.pauses:
            case PauseCause.RATE:
                seconds = min(clamp_retry_after(verdict.retry_after or 0.0), _LONGEST_LIMIT)
            case PauseCause.QUOTA:
                seconds = _QUOTA
            case _:
                old = self._find(call.model, PauseCause.KEY)
                if old is not None and permit.admitted_at <= old.since:
                    return  # asked before the refusal that is known
                growth = (old and old.growth) or Growth(self._random)
                seconds = growth.take(config)
        cause = verdict.pauses or PauseCause.KEY
        pause = Pause(cause, now, now + seconds, why_limited(cause), call.client, growth)
        self._begin((call.model, call.key), pause, permit, answered=True)

    def fail(
        self,
        model: str,
        why: str,
        seconds: float,
        config: BreakerConfig,
        now: float,
        *,
        answered: bool,
    ) -> None:
        """The failures of *model* would have opened the breaker.

        *seconds*: what the upstream asked for. *answered*: each failure was its answer.
        """
        old = self._find(model, PauseCause.FAILING)
        growth = (old and old.growth) or Growth(self._random)
        until = now + growth.take(config, seconds)
        pause = Pause(PauseCause.FAILING, now, until, why, growth=growth)
        self._begin((model, b""), pause, None if old is None else old.trial, answered=answered)

    def impose(self, model: str, cause: PauseCause, until: float, why: str, now: float) -> None:
        """Another gateway has paused *model* until that instant. A pause that is longer goes on."""
        old = self._pauses.get((model, b""))
        if old is None or old.until < until:
            growth = old.growth if old is not None and old.cause is cause else None
            self._put((model, b""), Pause(cause, now, until, why, growth=growth))

    def is_failing_trial(self, permit: Permit) -> bool:
        """Whether the call tries a model that is paused for failing."""
        pause = self._find(permit.call.model, PauseCause.FAILING)
        return pause is not None and pause.trial is permit

    def is_failing_since(self, permit: Permit) -> bool:
        """Whether the call began before its model was paused for failing."""
        pause = self._find(permit.call.model, PauseCause.FAILING)
        return pause is not None and permit.admitted_at <= pause.since

    def refused_keys(self, *, besides: str | None = None) -> list[Pause]:
        """The pauses of models that refuse the gateway's key, but for the model *besides*."""
        return [
            pause
            for (model, _), pause in self._pauses.items()
            if pause.cause is PauseCause.KEY and model != besides
        ]

    def lift(self, permit: Permit) -> None:
        """The call has its first event: what it tried is over."""
        for key in [key for key, pause in self._concerning(permit.call) if pause.trial is permit]:
            del self._pauses[key]

    def leave(self, permit: Permit) -> None:
        """The call ended and decided nothing: the next one may try."""
        for _, pause in self._concerning(permit.call):
            if pause.trial is permit:
                pause.trial = None

    def leave_all(self) -> None:
        """No call that is under way decides anything any more."""
        for pause in self._pauses.values():
            pause.trial = None

    def forget(self, *causes: PauseCause) -> None:
        """End all pauses of these causes."""
        self._pauses = {key: pause for key, pause in self._pauses.items() if pause.cause not in causes}

    def drain(self) -> list[PauseBegun]:
        """The pauses that began since the last drain, oldest first; each comes once."""
        begun = list(self._begun)
        self._begun.clear()
        return begun

    def clear(self) -> None:
        """End all pauses."""
        self._pauses.clear()

    def _begin(self, key: _Key, pause: Pause, permit: Permit | None, *, answered: bool) -> None:
        """Begin *pause*, unless a longer one goes on there that the call of *permit* did not try."""
        old = self._pauses.get(key)
        if old is not None and old.until >= pause.until and (permit is None or old.trial is not permit):
            return
        self._put(key, pause)
        seconds, shared = pause.until - pause.since, answered and not key[1]
        self._begun.append(PauseBegun(key[0], pause.cause, seconds, pause.why, pause.until, shared))

    def _put(self, key: _Key, pause: Pause) -> None:
        if key not in self._pauses and len(self._pauses) >= MAX_PAUSES:
            del self._pauses[min(self._pauses, key=lambda key: self._pauses[key].until)]
        self._pauses[key] = pause

    def _find(self, model: str, cause: PauseCause) -> Pause | None:
        pause = self._pauses.get((model, b""))
        return pause if pause is not None and pause.cause is cause else None

    def _concerning(self, call: CallIdentity) -> Iterator[tuple[_Key, Pause]]:
        if not self._pauses:  # as nearly always
            return
        for key in ((call.model, b""), (call.model, call.key))[: 1 + bool(call.key)]:
            if (pause := self._pauses.get(key)) is not None:
                yield key, pause


def _refusal(model: str, pause: Pause, now: float) -> Refusal | None:
    left = pause.until - now
    if left <= 0 and pause.trial is not None:
        left = min(_TRIED, pause.trial_until - now)
    return Refusal(left, pause.why, pause.cause, model) if left > 0 else None
