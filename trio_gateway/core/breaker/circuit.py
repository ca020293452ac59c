"""The circuit breaker of one upstream. Its theory of operation and its table of states stand in
:mod:`trio_gateway.core.breaker.state`; here they are carried out.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from .retry_after import clamp_retry_after
from .state import TABLE, Outcome, Permit, Reason, Refusal, Snapshot, State, Transition
from .window import open_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import BreakerConfig

__all__ = ["CircuitBreaker", "Outcome", "Permit", "Reason", "Refusal", "Snapshot", "State", "Transition"]

_FORCE = {"": Reason.RELEASE, "open": Reason.FORCE_OPEN, "closed": Reason.FORCE_CLOSED}

# Transitions kept for a reader that is late. A gap shows, as generations are numbered without one.
_MAX_EVENTS = 256


class CircuitBreaker:
    """See the theory of operation. Every *now* is monotonic seconds and never goes back.

    *random* gives numbers in [0, 1), which spread the times of opening.
    """

    def __init__(self, config: BreakerConfig, *, now: float = 0.0, random: Callable[[], float]) -> None:
        self._config = config
        self._random = random
        self._state = TABLE[State.CLOSED][_FORCE[config.force]]
        self._generation = 0
        self._window = open_window(config, now)
        self._streak = 0  # failures since the last success
        self._probes: list[Permit] = []
        self._passed = 0  # probes that succeeded in this half-open
        self._span = 0.0  # of the present row of openings, before it is spread; 0: none yet
        self._spread = 2 * random() - 1  # drawn ahead, so that can_admit sees the next opening's end
        self._open_until = 0.0
        self._half_open_until = 0.0
        self._gate_until = -math.inf
        self._admitted = 0
        self._settled = dict.fromkeys(Outcome, 0)
        self._stale = 0
        self._opened_total = 0
        self._last_error_class: str | None = None
        self._events: deque[Transition] = deque(maxlen=_MAX_EVENTS)

    def admit(self, now: float) -> Permit | Refusal:
        """Ask leave for one call. The first call after an open time is the one that begins half-open."""
        self._expire(now)
        refusal = self._refusal(now)
        if refusal is not None:
            return refusal
        if self._state is State.OPEN:
            self._move(Reason.OPEN_OVER, now)
        return self._issue(now, probe=self._state is State.HALF_OPEN)

    def settle(
        self,
        permit: Permit,
        outcome: Outcome,
        now: float,
        *,
        slow: bool = False,
        opens: bool = False,
        retry_after: float | None = None,
        throttle: bool = False,
        error_class: str | None = None,
    ) -> bool:
        """End a call; true when the breaker opened in doing so, which is the time to sweep its calls.

        *slow*: the first event was late, or the client left after it was late; then even a neutral end is
        counted among the calls, or impatient clients would hide an upstream that hangs.
        *opens*: a failure that trips at once. *retry_after* (seconds): what the upstream asked for; a trip
        caused by this call lasts at least so long, and with *throttle* (HTTP 429) the gate closes for it.
        """
        expired = self._expire(now)
        over = permit.settled or permit.lapsed
        permit.settled = True
        if over:
            return expired
        if permit.generation != self._generation:
            self._stale += 1
            return expired
        self._count(permit, outcome, error_class)
        wait = 0.0 if retry_after is None else clamp_retry_after(retry_after)
        if throttle:
            self._gate_until = max(self._gate_until, now + wait)
        reason = self._judge(permit, outcome, now, slow=slow, opens=opens)
        if reason is not None:
            self._move(reason, now, wait=wait)
        return self._state is State.OPEN

    def confirm(self, permit: Permit, now: float) -> Permit:
        """Take a call's first valid event, and give the permit for the rest of its stream.

        To a probe this event is the verdict: it is settled as a success, and its stream goes on under a new
        permit, as a long answer must not hold half-open. Any other permit comes back as it is.
        """
        self._expire(now)
        if not permit.probe or permit.settled or permit.generation != self._generation:
            return permit
        self.settle(permit, Outcome.SUCCESS, now)
        return self._issue(now, probe=False)

    def configure(self, config: BreakerConfig, now: float) -> None:
        """Go on under *config*: what was learnt stays, unless the window has another shape.

        ``force`` moves into a forced state, and its absence out of one, to closed. Deadlines already given
        stay as they are.
        """
        self._expire(now)
        old, self._config = self._config, config
        if (config.window, config.window_calls) != (old.window, old.window_calls):
            self._window = open_window(config, now)
        self._move(_FORCE[config.force], now)

    def reset(self, now: float) -> None:
        """Close by hand, whatever the state; a forced state too, until the next :meth:`configure`."""
        self._expire(now)
        self._move(Reason.RESET, now)

    def can_admit(self, now: float) -> bool:
        """Whether :meth:`admit` would give a permit at *now*. Changes nothing."""
        if self._is_overdue(now):
            return now >= max(self._gate_until, self._half_open_deadline() + self._open_for())
        return self._refusal(now) is None

    def probe_deadline(self, permit: Permit) -> float | None:
        """Instant at which the call must be given up unless :meth:`confirm` came first; None: not a probe."""
        return permit.deadline if permit.probe else None

    def snapshot(self, now: float) -> Snapshot:
        """The state as it was left by the last call; reading changes nothing."""
        totals = self._window.totals(now)
        return Snapshot(
            state=self._state,
            generation=self._generation,
            failure_rate=totals.failure_rate,
            slow_rate=totals.slow_rate,
            calls=totals.calls,
            open_until_s=max(0.0, self._open_until - now) if self._state is State.OPEN else 0.0,
            probes_in_flight=len(self._probes),
            in_flight=self._admitted - self._stale - sum(self._settled.values()),
            opened_total=self._opened_total,
            last_error_class=self._last_error_class,
            admitted=self._admitted,
            success=self._settled[Outcome.SUCCESS],
            failure=self._settled[Outcome.FAILURE],
            neutral=self._settled[Outcome.NEUTRAL],
            stale=self._stale,
        )

    def drain_events(self) -> list[Transition]:
        """The transitions since the last drain, oldest first; each is told once."""
        events = list(self._events)
        self._events.clear()
        return events

    def _refusal(self, now: float) -> Refusal | None:
        """What keeps a call out at *now*; half-open is taken not to be overdue."""
        if now < self._gate_until:
            return Refusal(self._gate_until - now, throttled=True)
        match self._state:
            case State.OPEN if now < self._open_until:
                return Refusal(self._open_until - now)
            case State.HALF_OPEN if len(self._probes) >= self._config.probes:
                return Refusal(self._half_open_deadline() - now)
            case State.FORCED_OPEN:
                # No end is known; the longest open time is the best guess at when to look again.
                return Refusal(self._config.open_cap)
        return None

    def _issue(self, now: float, *, probe: bool) -> Permit:
        permit = Permit(self._generation, probe, now)
        if probe:
            permit.deadline = min(now + self._config.probe_timeout, self._half_open_until)
            self._probes.append(permit)
        self._admitted += 1
        return permit

    def _count(self, permit: Permit, outcome: Outcome, error_class: str | None) -> None:
        """Enter the end of a call of this generation in the books, and free its place as a probe."""
        self._settled[outcome] += 1
        if permit.probe:
            self._probes.remove(permit)
        if outcome is Outcome.FAILURE and error_class is not None:
            self._last_error_class = error_class

    def _judge(
        self, permit: Permit, outcome: Outcome, now: float, *, slow: bool, opens: bool
    ) -> Reason | None:
        """Learn from a call's end; a reason comes back when the state must change."""
        failed = outcome is Outcome.FAILURE
        if outcome is Outcome.NEUTRAL and not slow:
            return None
        self._window.add(now, failed=failed, slow=slow)
        if self._state is State.FORCED_CLOSED:
            return None
        if failed and opens:
            return Reason.AT_ONCE
        if self._state is State.HALF_OPEN:
            if failed:
                return Reason.PROBE_FAILED
            self._passed += permit.probe and outcome is Outcome.SUCCESS
            return Reason.PROBES_PASSED if self._passed >= self._config.probes else None
        return self._weigh(outcome, now)

    def _weigh(self, outcome: Outcome, now: float) -> Reason | None:
        """Whether a closed breaker has seen enough to trip."""
        if outcome is not Outcome.NEUTRAL:
            self._streak = self._streak + 1 if outcome is Outcome.FAILURE else 0
        if 0 < self._config.consecutive <= self._streak:
            return Reason.CONSECUTIVE
        totals = self._window.totals(now)
        if totals.calls < self._config.min_calls:
            return None
        if totals.failure_rate >= self._config.failure_rate:
            return Reason.FAILURE_RATE
        return Reason.SLOW_RATE if totals.slow_rate >= self._config.slow_rate else None

    def _half_open_deadline(self) -> float:
        """When half-open ends undecided: with its first overdue probe, or else with its own time."""
        return min((permit.deadline for permit in self._probes), default=self._half_open_until)

    def _is_overdue(self, now: float) -> bool:
        return self._state is State.HALF_OPEN and now >= self._half_open_deadline()

    def _expire(self, now: float) -> bool:
        """Reopen, as of its deadline, a half-open breaker that is overdue; true when it was."""
        if not self._is_overdue(now):
            return False
        deadline = self._half_open_deadline()
        overdue = [permit for permit in self._probes if permit.deadline == deadline]
        for permit in overdue:
            permit.lapsed = True
            self._count(permit, Outcome.FAILURE, "first_event_timeout")
        self._move(Reason.PROBE_TIMEOUT if overdue else Reason.HALF_OPEN_OVER, deadline)
        return True

    def _next_span(self) -> float:
        """Length of the next opening before it is spread: doubles with each reopening in a row."""
        return min(self._config.open_cap, 2 * self._span or self._config.open_base)

    def _open_for(self, wait: float = 0.0) -> float:
        """Length of the next opening, which is at least *wait*."""
        return max(wait, self._next_span() * (1 + self._config.jitter * self._spread))

    def _move(self, reason: Reason, at: float, *, wait: float = 0.0) -> None:
        """Take the edge of the table that *reason* names: the only place where the state changes."""
        old, new = self._state, TABLE[self._state][reason]
        if new is old:
            return
        self._state = new
        self._generation += 1
        self._window = open_window(self._config, at)
        self._streak = self._passed = 0
        self._probes.clear()
        match new:
            case State.OPEN:
                self._open_until = at + self._open_for(wait)
                self._span = self._next_span()
                self._spread = 2 * self._random() - 1
                self._opened_total += 1
            case State.HALF_OPEN:
                self._half_open_until = at + self._config.max_half_open
            case _:
                self._span = 0.0
        self._events.append(Transition(old, new, self._generation, at, reason))
