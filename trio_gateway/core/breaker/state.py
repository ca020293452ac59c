"""The breaker's states, the table of ways between them, and the values it exchanges with its callers.

Theory of operation
===================

1) A breaker answers one question: may a call go to this upstream now, judging by how earlier calls
   ended? It decides, and does nothing else. Time and chance are handed in, nothing here waits, so a
   decision cannot be interleaved with another. What happened is told through ``drain_events``.

2) A call asks ``admit`` and gets a permit or a refusal. A permit ends by ``settle``, exactly once, as a
   success, a failure or neutral (neutral: the call says nothing about the upstream's health, as when the
   client went away). A second settle does nothing.

3) Every change of state starts a new *generation* with an empty window. A permit bears the generation
   that admitted it. When it is settled in a later one it is *stale*: counted, and nothing else. So an
   old success cannot close a breaker, nor an old failure reopen it.

4) The states, and all ways between them, are the table ``TABLE`` below:

   closed         calls flow; their ends go into the window, and what the window shows may trip it
   open           calls are refused until a time; the first call after it makes the breaker half-open
   half_open      a few calls, the probes, are let through; they decide whether to close or to reopen
   forced_open    by hand: nothing passes
   forced_closed  by hand: everything passes and is watched, nothing trips

5) The object has no timer, and needs none: each call that may change something first applies the one
   deadline that can have passed meanwhile (``_expire``), *dated at that deadline*. So the outcome is as
   if a timer had fired, and it does not matter who looks next, or when. Reading applies nothing.

6) No state lasts for ever. Open ends at a known time. A probe that is not decided in time, even one that
   was lost, counts as a failure, and half-open as a whole ends when its own time is up: both reopen.

7) Beside the states stands a gate: an upstream that answers 429 with a Retry-After is left alone for so
   long, whatever the state, and the gate does not touch the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["TABLE", "Outcome", "Permit", "Reason", "Refusal", "Snapshot", "State", "Transition"]


class State(StrEnum):
    """Where the breaker stands; see the theory of operation."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class Outcome(StrEnum):
    """What a call's end says about the upstream."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


class Reason(StrEnum):
    """Why the state changed: the events of the state machine."""

    CONSECUTIVE = "consecutive"
    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    AT_ONCE = "at_once"
    """A failure that needs no repeating: the upstream refuses our key or our quota is used up."""
    OPEN_OVER = "open_over"
    PROBES_PASSED = "probes_passed"
    PROBE_FAILED = "probe_failed"
    PROBE_TIMEOUT = "probe_timeout"
    HALF_OPEN_OVER = "half_open_over"
    FORCE_OPEN = "force_open"
    FORCE_CLOSED = "force_closed"
    RELEASE = "release"
    RESET = "reset"


_BY_HAND = {
    Reason.FORCE_OPEN: State.FORCED_OPEN,
    Reason.FORCE_CLOSED: State.FORCED_CLOSED,
    Reason.RESET: State.CLOSED,
}

# An edge that leads back to its own state is no transition: nothing changes and nothing is told.
TABLE: dict[State, dict[Reason, State]] = {
    State.CLOSED: {
        Reason.CONSECUTIVE: State.OPEN,
        Reason.FAILURE_RATE: State.OPEN,
        Reason.SLOW_RATE: State.OPEN,
        Reason.AT_ONCE: State.OPEN,
        Reason.RELEASE: State.CLOSED,
        **_BY_HAND,
    },
    State.OPEN: {
        Reason.OPEN_OVER: State.HALF_OPEN,
        Reason.RELEASE: State.OPEN,
        **_BY_HAND,
    },
    State.HALF_OPEN: {
        Reason.PROBES_PASSED: State.CLOSED,
        Reason.PROBE_FAILED: State.OPEN,
        Reason.PROBE_TIMEOUT: State.OPEN,
        Reason.HALF_OPEN_OVER: State.OPEN,
        Reason.AT_ONCE: State.OPEN,
        Reason.RELEASE: State.HALF_OPEN,
        **_BY_HAND,
    },
    State.FORCED_OPEN: {Reason.RELEASE: State.CLOSED, **_BY_HAND},
    State.FORCED_CLOSED: {Reason.RELEASE: State.CLOSED, **_BY_HAND},
}


@dataclass(slots=True, eq=False)
class Permit:
    """Leave for one call. Give it back with :meth:`CircuitBreaker.settle`."""

    generation: int
    probe: bool
    """The call is a trial of a half-open breaker."""
    admitted_at: float
    deadline: float = math.inf
    """Instant by which a probe must be decided."""
    settled: bool = False
    """Its holder has given it back."""
    lapsed: bool = False
    """Its deadline passed first and has been counted as its failure: giving it back changes nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call must not be made; it leaves no trace in the window."""

    retry_after: float
    """Seconds, never negative, after which asking again may have another answer."""
    throttled: bool = False
    """The upstream's own rate limit holds the call back (HTTP 429), not the breaker (503)."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state."""

    old: State
    new: State
    generation: int
    """The one that began; each transition's is one more than the last one's."""
    at: float
    """Monotonic seconds. A deadline nobody was there to see is dated at the deadline."""
    reason: Reason


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ``/health`` and the metrics show; admitted = success + failure + neutral + stale + in_flight."""

    state: State
    generation: int
    failure_rate: float
    slow_rate: float
    calls: int
    """Calls in the window, which the two rates (0 … 1) are taken over."""
    open_until_s: float
    """Seconds until an open breaker lets a probe through, else 0."""
    probes_in_flight: int
    in_flight: int
    opened_total: int
    last_error_class: str | None
    admitted: int
    success: int
    failure: int
    neutral: int
    stale: int
