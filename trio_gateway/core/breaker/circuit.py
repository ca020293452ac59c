"""Circuit breaker of one upstream: carries out the table of states.

Both stand in :mod:`trio_gateway.core.breaker.state`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .books import Books
from .calls import ANONYMOUS, SUCCESS, Outcome, PauseCause, Permit, Refusal, Verdict
from .growth import Growth
from .judge import Judge
from .probes import Probes
from .refusal_wording import FORCED
from .retry_after import clamp_retry_after
from .state import TABLE, Reason, Snapshot, State, Transition

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import BreakerConfig
    from .calls import CallIdentity
    from .pauses import PauseBegun

__all__ = ["CircuitBreaker"]

_FORCE = {"": Reason.RELEASE, "open": Reason.FORCE_OPEN, "closed": Reason.FORCE_CLOSED}
_TRIPS = frozenset({Reason.CONSECUTIVE, Reason.FAILURE_RATE, Reason.SLOW_RATE})
# Seconds after which a call may ask again that another gateway's probe keeps out.
_PROBED_ELSEWHERE = 1.0
_CAUSES = frozenset(map(str, PauseCause))
_LAPSED = Verdict(Outcome.FAILURE, error_class="first_event_timeout", cause="no first event in time")


class CircuitBreaker:
    """See the theory of operation. Every *now* is monotonic seconds and never goes back.

    *random* gives numbers in [0, 1), which spread the times of opening.
    """

    def __init__(self, config: BreakerConfig, *, now: float = 0.0, random: Callable[[], float]) -> None:
        self._config = config
        self._state = TABLE[State.CLOSED][_FORCE[config.force]]
        self._generation = 0
        self._books = Books()
        self._judge = Judge(config, now, random)
        self._pauses = self._judge.pauses
        self._growth = Growth(random)
        self._probes = Probes(config, now)
        self._open_until = 0.0
        self._free_until = math.inf  # before it, calls may begin to probe
        self._key_refused = False  # since it opened for that

    def admit(self, now: float, call: CallIdentity = ANONYMOUS) -> Permit | Refusal:
        """Ask leave for *call*. The first call after an open time is the one that begins half-open."""
        self._expire(now)
        refusals = (self._refusal(now), self._pauses.refusal(call, now))
        refusal = max(filter(None, refusals), key=lambda each: each.retry_after, default=None)
        if refusal is not None:
            return refusal
        if self._state is State.OPEN:
            self._move(Reason.OPEN_OVER, now)
        permit = self._issue(call, now, probe=self._state is State.HALF_OPEN)
        self._pauses.admit(permit, trial_until=now + self._config.probe_timeout)
        return permit

    def settle(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        """End a call; true when the breaker opened in doing so, which is the time to sweep its calls."""
        expired = self._expire(now)
        over = permit.settled or permit.lapsed
        if not permit.settled:
            self._judge.note_end(permit.call)
        permit.settled = True
        if over:
            return expired
        if permit.generation != self._generation:
            self._books.stale += 1
            return expired
        self._count(permit, verdict)
        reason = self._decide(permit, verdict, now)
        self._pauses.leave(permit)
        if reason is not None:
            wait = clamp_retry_after(verdict.retry_after or 0.0)
            self._move(reason, now, wait=wait, answered=verdict.answered)
        return self._state is State.OPEN

    def confirm(self, permit: Permit, now: float) -> Permit:
        """Take a call's first valid event, and give the permit for the rest of its stream.

        To a probe this event is the verdict: it is settled as a success, and its stream goes on under a new
        permit, as a long answer must not hold half-open. Any other permit comes back as it is.
        """
        self._expire(now)
        self._judge.note_event(permit, now)
        if permit.settled or permit.lapsed or permit.generation != self._generation:
            return permit
        self._pauses.lift(permit)
        if not permit.probe:
            return permit
        self.settle(permit, SUCCESS, now)
        rest = self._issue(permit.call, now, probe=False)
        rest.admitted_at, rest.first_event_at = permit.admitted_at, now
        return rest

    def refuse_key(self, now: float, *, listed_before: bool) -> None:
        """The list of models was refused with 401. *listed_before*: the same key has opened it before."""
        self._expire(now)
        watched = self._state in {State.CLOSED, State.HALF_OPEN}
        if watched and self._judge.is_list_refused(now, listed_before=listed_before):
            self._move(Reason.AT_ONCE, now, answered=True)

    def renew_key(self, now: float) -> None:
        """The upstream gets another key from now on: what was learnt of the old one is forgotten."""
        self._expire(now)
        self._pauses.forget(PauseCause.KEY)
        if self._key_refused:
            self._move(Reason.RESET, now)

    def configure(self, config: BreakerConfig, now: float) -> None:
        """Go on under *config*: what was learnt stays, unless the window has another shape.

        ``force`` moves into a forced state, and its absence out of one, to closed. Deadlines already given
        stay as they are.
        """
        self._expire(now)
        self._config = config
        self._judge.configure(config, now)
        self._probes.configure(config)
        self._move(_FORCE[config.force], now)

    def reset(self, now: float) -> None:
        """Close by hand, whatever the state; a forced state too, until the next :meth:`configure`."""
        self._expire(now)
        self._pauses.clear()
        self._move(Reason.RESET, now)

    def impose(self, until: float, why: str, now: float) -> None:
        """Open, or stay open, until that instant: another gateway found the upstream failing.

        *why*: the end of a sentence. A forced state stays.
        """
        self._expire(now)
        begins = self._state is not State.OPEN
        self._move(Reason.SHARED_OPEN, now)
        if self._state is State.OPEN:
            self._open_until = until if begins else max(self._open_until, until)
            self._judge.why = why if begins else self._judge.why

    def impose_pause(self, model: str, cause: str, until: float, why: str, now: float) -> None:
        """Leave *model* alone until that instant, as another gateway does. An unknown *cause* is ignored."""
        if self._state is not State.FORCED_CLOSED and cause in _CAUSES:
            self._pauses.impose(model, PauseCause(cause), until, why, now)

    def relieve(self, now: float) -> None:
        """Close, as the probe of another gateway has passed. A forced state stays."""
        self._expire(now)
        self._move(Reason.SHARED_CLOSE, now)

    def reserve(self, free_until: float) -> None:
        """Begin probing before that instant only: at other times another gateway may."""
        self._free_until = free_until

    def awaits_probe(self, now: float) -> bool:
        """Whether nothing keeps a probe from beginning but :meth:`reserve`. Changes nothing."""
        return self._state is State.OPEN and now >= max(self._open_until, self._free_until)

    def is_probing(self) -> bool:
        """Whether the last call left it half-open."""
        return self._state is State.HALF_OPEN

    @property
    def generation(self) -> int:
        """Number of the state, which each change of state raises by one."""
        return self._generation

    @property
    def probe_term(self) -> float:
        """Seconds that half-open takes at the most."""
        return self._config.max_half_open

    @property
    def open_until(self) -> float:
        """Instant at which the last opening ends."""
        return self._open_until

    @property
    def is_answered(self) -> bool:
        """Whether the last opening was for errors that the upstream answered with, and for nothing else."""
        return self._judge.is_answered

    def can_admit(self, now: float) -> bool:
        """Whether a call for a model that is not paused would be admitted at *now*. Changes nothing.

        True as well where it would be once the right to probe had come.
        """
        if self.awaits_probe(now):
            return True
        if self._is_overdue(now):
            return now >= self._probes.deadline + self._growth.next_length(self._config)
        return self._refusal(now) is None

    def snapshot(self, now: float) -> Snapshot:
        """The state as it was left by the last call; reading changes nothing."""
        totals, books = self._judge.evidence.totals(now), self._books
        return Snapshot(
            state=self._state,
            generation=self._generation,
            failure_rate=totals.failure_rate,
            slow_rate=totals.slow_rate,
            calls=totals.calls,
            open_until_s=max(0.0, self._open_until - now) if self._state is State.OPEN else 0.0,
            probes_in_flight=len(self._probes),
            in_flight=books.in_flight,
            opened_total=books.opened_total,
            last_error_class=books.last_error_class,
            admitted=books.admitted,
            success=books.settled[Outcome.SUCCESS],
            failure=books.settled[Outcome.FAILURE],
            neutral=books.settled[Outcome.NEUTRAL],
            stale=books.stale,
        )

    @property
    def why(self) -> str:
        """What the last opening was for, as the end of a sentence."""
        return self._judge.why

    def drain_events(self) -> list[Transition]:
        """The transitions since the last drain, oldest first; each comes once."""
        return self._books.drain()

    def drain_pauses(self) -> list[PauseBegun]:
        """The pauses of single models that began since the last drain, oldest first; each comes once."""
        return self._pauses.drain()

    def _refusal(self, now: float) -> Refusal | None:
        """What keeps every call out at *now*; half-open is taken not to be overdue."""
        match self._state:
            case State.OPEN if now < self._open_until:
                return Refusal(self._open_until - now, self._judge.why)
            case State.OPEN if now >= self._free_until:
                return Refusal(_PROBED_ELSEWHERE, self._judge.why)
            case State.HALF_OPEN if not self._probes.has_room():
                return Refusal(self._probes.deadline - now, self._judge.why)
            case State.FORCED_OPEN:
                # No end is known; the longest open time is the best guess at when to look again.
                return Refusal(self._config.open_cap, FORCED)
        return None

    def _issue(self, call: CallIdentity, now: float, *, probe: bool) -> Permit:
        permit = Permit(self._generation, probe, now, call)
        if probe:
            self._probes.begin(permit, now)
        self._books.admitted += 1
        self._judge.note_start(call, now)
        return permit

    def _count(self, permit: Permit, verdict: Verdict) -> None:
        """Enter the end of a call of this generation in the books, and free its place as a probe."""
        self._books.count(verdict, own_key=not permit.call.key)
        if permit.probe:
            self._probes.end(permit)

    def _decide(self, permit: Permit, verdict: Verdict, now: float) -> Reason | None:
        """Learn from a call's end; a reason comes back when the state must change."""
        forced = self._state is State.FORCED_CLOSED
        if verdict.pauses is not None and not (forced and verdict.pauses is PauseCause.KEY):
            self._pauses.limit(permit, verdict, self._config, now)
            if verdict.pauses is PauseCause.KEY and (
                self._key_refused or self._judge.is_key_refused(permit.call, now)
            ):
                return Reason.AT_ONCE
        if not self._judge.learn(permit, verdict, now) or forced:
            return None
        if self._state is State.CLOSED:
            return self._judge.trip(verdict, now)
        if verdict.outcome is Outcome.FAILURE:
            return Reason.PROBE_FAILED
        passed = permit.probe and verdict.outcome is Outcome.SUCCESS and self._probes.pass_one()
        return Reason.PROBES_PASSED if passed else None

    def _is_overdue(self, now: float) -> bool:
        return self._state is State.HALF_OPEN and now >= self._probes.deadline

    def _expire(self, now: float) -> bool:
        """Reopen, as of its deadline, a half-open breaker that is overdue; true when it was."""
        if not self._is_overdue(now):
            return False
        deadline, overdue = self._probes.deadline, self._probes.take_overdue()
        for permit in overdue:
            permit.lapsed = True
            self._count(permit, _LAPSED)
        self._move(Reason.PROBE_TIMEOUT if overdue else Reason.HALF_OPEN_OVER, deadline)
        return True

    def _move(self, reason: Reason, at: float, *, wait: float = 0.0, answered: bool = False) -> None:
        """Take the edge of the table that *reason* names: the only place where the state changes.

        *wait*: seconds that an opening takes at least. *answered*: the upstream's answer is the reason.
        """
        old, new = self._state, TABLE[self._state][reason]
        if new is old:
            return
        self._state = new
        self._generation += 1
        self._judge.begin_generation(at)
        self._probes = Probes(self._config, at)
        match new:
            case State.OPEN:
                self._open(reason, at + self._growth.take(self._config, wait), answered=answered)
            case State.CLOSED | State.FORCED_OPEN | State.FORCED_CLOSED:
                self._key_refused = False
                self._growth.end_row()
        if new is State.FORCED_CLOSED:
            self._pauses.forget(PauseCause.KEY, PauseCause.FAILING)
        self._books.events.append(Transition(old, new, self._generation, at, reason))

    def _open(self, reason: Reason, until: float, *, answered: bool) -> None:
        self._open_until = until
        self._key_refused = self._key_refused or reason is Reason.AT_ONCE
        self._books.opened_total += 1
        if reason not in _TRIPS:
            self._judge.explain(reason, answered=answered)
