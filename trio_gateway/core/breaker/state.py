"""State machine of the breaker: defines its states and the transitions between them.

Theory of operation
===================

1) A breaker answers one question: may a call go to this upstream now, judging by how earlier calls
   ended? It decides, and does nothing else. Time and chance are handed in, nothing here waits, so a
   decision cannot be interleaved with another. What happened is read through ``drain_events`` and
   ``drain_pauses``.

2) A call asks ``admit`` and gets a permit or a refusal. A permit ends by ``settle``, exactly once, as a
   success, a failure or neutral (neutral: the call says nothing about the upstream's health, as when the
   client went away). A second settle does nothing. ``confirm`` reports a call's first event.

3) Every change of state starts a new *generation* with an empty window. A permit bears the generation
   that admitted it. When it is settled in a later one it is *stale*: counted, and nothing else. So an
   old success cannot close a breaker, nor an old failure reopen it.

4) The states, and all ways between them, are the table ``TABLE`` below:

   closed         calls flow; their ends are collected as evidence, which may trip it
   open           calls are refused until a time; the first call after it makes the breaker half-open
   half_open      a few calls, the probes, are let through; they decide whether to close or to reopen
   forced_open    by hand: nothing passes
   forced_closed  by hand: everything passes and is watched, nothing trips

5) The object has no timer, and needs none: each call that may change something first applies the one
   deadline that can have passed meanwhile (``_expire``), *dated at that deadline*. So the outcome is as
   if a timer had fired, and it does not matter who looks next, or when. Reading applies nothing.

6) No state lasts for ever. Open ends at a known time. A probe that is not decided in time, even one that
   was lost, counts as a failure, and half-open as a whole ends when its own time is up: both reopen.

7) A breaker judges the upstream, not a request (``evidence.py``). A failure that got no HTTP answer is
   the upstream's, and each one counts. Any other failure, and any slow call, may be due to what was
   asked: calls of one client with one body count once, and one client brings at most half of what a trip
   needs, unless no other client called in the window. So whatever one client sends, and whatever the
   upstream answers to it, the breaker stays closed for the others as long as theirs goes well.

8) A call whose client left before the first event counts as slow if it had waited for ``slow_after``, or
   impatient clients would hide an upstream that hangs; but not if another call had its first event after
   this one began, as then the upstream is alive.

9) Beside the states stand the pauses of single models (``pauses.py``). A rate limit (429 with Retry-After),
   a spent quota and a refused key (401) are neutral and pause the model they were answered for. Failures
   that would trip the breaker and are all one model's, where another model had a success in the window,
   pause that model in place of opening the breaker. A refused key is the upstream's matter once a second
   model, or the list of models, is refused as well: then the breaker opens at once. It does not where
   both answers went to one client while others called, or where a call had its first event since.

10) Several gateways may share what they find (``core/sharing``). An opening whose every failure was an
   answer of the upstream is announced to the others (``is_answered``), which ``impose`` it; any other one may
   be due to this machine's own network and stays here. Where the probe after a shared opening is another
   gateway's, ``reserve`` keeps calls out until the right to probe comes, or the news that it passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["TABLE", "Reason", "Snapshot", "State", "Transition"]


class State(StrEnum):
    """Where the breaker stands; see the theory of operation."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class Reason(StrEnum):
    """Why the state changed: the events of the state machine."""

    CONSECUTIVE = "consecutive"
    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    AT_ONCE = "at_once"
    """The upstream refuses the gateway's key for a second model, or for its list of models."""
    OPEN_OVER = "open_over"
    PROBES_PASSED = "probes_passed"
    PROBE_FAILED = "probe_failed"
    PROBE_TIMEOUT = "probe_timeout"
    HALF_OPEN_OVER = "half_open_over"
    FORCE_OPEN = "force_open"
    FORCE_CLOSED = "force_closed"
    SHARED_OPEN = "shared_open"
    """It opened at another gateway, because of what the upstream answered there."""
    SHARED_CLOSE = "shared_close"
    """A probe of another gateway passed."""
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
        Reason.SHARED_OPEN: State.OPEN,
        Reason.SHARED_CLOSE: State.CLOSED,
        Reason.RELEASE: State.CLOSED,
        **_BY_HAND,
    },
    State.OPEN: {
        Reason.OPEN_OVER: State.HALF_OPEN,
        Reason.SHARED_OPEN: State.OPEN,
        Reason.SHARED_CLOSE: State.CLOSED,
        Reason.RELEASE: State.OPEN,
        **_BY_HAND,
    },
    State.HALF_OPEN: {
        Reason.PROBES_PASSED: State.CLOSED,
        Reason.PROBE_FAILED: State.OPEN,
        Reason.PROBE_TIMEOUT: State.OPEN,
        Reason.HALF_OPEN_OVER: State.OPEN,
        Reason.AT_ONCE: State.OPEN,
        Reason.SHARED_OPEN: State.OPEN,
        Reason.SHARED_CLOSE: State.CLOSED,
        Reason.RELEASE: State.HALF_OPEN,
        **_BY_HAND,
    },
    State.FORCED_OPEN: {
        Reason.SHARED_OPEN: State.FORCED_OPEN,
        Reason.SHARED_CLOSE: State.FORCED_OPEN,
        Reason.RELEASE: State.CLOSED,
        **_BY_HAND,
    },
    State.FORCED_CLOSED: {
        Reason.SHARED_OPEN: State.FORCED_CLOSED,
        Reason.SHARED_CLOSE: State.FORCED_CLOSED,
        Reason.RELEASE: State.CLOSED,
        **_BY_HAND,
    },
}


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
    """State of the breaker as ``/health`` and the metrics show it."""

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
