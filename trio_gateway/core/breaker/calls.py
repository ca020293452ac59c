"""Calls: identify a request to an upstream, its permit and its verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

__all__ = [
    "ANONYMOUS",
    "NEUTRAL",
    "SUCCESS",
    "CallIdentity",
    "Outcome",
    "PauseCause",
    "Permit",
    "Refusal",
    "Verdict",
]


class CallIdentity(Struct, frozen=True):
    """One call of an upstream: who asks it for what."""

    model: str = ""
    """The upstream's id of the model."""
    client: str = ""
    digest: bytes = b""
    """These two as in :class:`.RequestIdentity`."""
    key: bytes = b""
    """Digest of the client's own key, where the upstream is sent that; empty: the gateway's key is used."""


ANONYMOUS = CallIdentity()


class Outcome(StrEnum):
    """What the end of a call means for the upstream."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    """Nothing: the request itself was at fault, or its client left."""


class PauseCause(StrEnum):
    """Why one model of an upstream is left alone for a while."""

    RATE = "rate"
    """The upstream limits the rate of requests (HTTP 429 with a Retry-After)."""
    QUOTA = "quota"
    """The quota of the upstream's account is used up."""
    KEY = "key"
    """The upstream refuses the gateway's key (HTTP 401)."""
    FAILING = "failing"
    """All failures that would have opened the breaker were this model's, and another model works."""


class Verdict(Struct, frozen=True):
    """How a call ended."""

    outcome: Outcome
    unanswered: bool = False
    """No HTTP answer came: the failure is the upstream's, whoever asked, and whatever for."""
    pauses: PauseCause | None = None
    """The answer restricts the model, and with the client's own key that key's use of it."""
    retry_after: float | None = None
    """Seconds the upstream asked for; a trip that this call causes lasts at least so long."""
    error_class: str | None = None
    cause: str = ""
    """The same in a few words, for the message of a refused request."""
    answered: bool = False
    """The upstream itself answered with an error: nothing between it and this machine can be the cause."""


SUCCESS = Verdict(Outcome.SUCCESS)
NEUTRAL = Verdict(Outcome.NEUTRAL)


@dataclass(slots=True, eq=False)
class Permit:
    """Permission for one call. Give it back with :meth:`CircuitBreaker.settle`."""

    generation: int
    probe: bool
    """The call is a trial of a half-open breaker."""
    admitted_at: float
    call: CallIdentity = ANONYMOUS
    deadline: float = math.inf
    """Instant by which a probe must be decided; infinity for every other call."""
    first_event_at: float | None = None
    queued_until: float = -math.inf
    """Instant of the last comment before the first event: until then the call waited in a queue."""
    settled: bool = False
    """Its holder has given it back."""
    lapsed: bool = False
    """Its deadline passed first and has been counted as its failure: giving it back changes nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call must not be made; it leaves no trace in the window."""

    retry_after: float
    """Seconds, never negative, after which asking again may have another answer."""
    why: str = ""
    """What led to it, as the end of a sentence: ``after 5 failures in a row; the last: status 500``."""
    pause: PauseCause | None = None
    """Only the call's model is paused; None: the whole upstream is."""
    model: str = ""
    """The paused model, as the upstream calls it."""
