"""Judge: decides what the end of a call means for upstream and model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, assert_never

from .calls import Outcome
from .evidence import Evidence, RunningCalls
from .pauses import Pauses
from .refusal_wording import why_opened
from .retry_after import clamp_retry_after
from .state import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import BreakerConfig
    from .calls import CallIdentity, Permit, Verdict

__all__ = ["Judge"]


class Judge:
    """Learns from calls. It changes no state: the breaker asks it whether to."""

    def __init__(self, config: BreakerConfig, now: float, random: Callable[[], float]) -> None:
        self._config = config
        self._running = RunningCalls()
        self.evidence = Evidence(config, now, self._running)
        self.pauses = Pauses(random)
        self.why = ""
        """What the last trip was for, as the end of a sentence."""
        self.is_answered = False
        """The last trip was for errors that the upstream answered with, and for nothing else."""
        self._last_cause = ""
        self._last_event_at = -math.inf

    def configure(self, config: BreakerConfig, now: float) -> None:
        """Go on under *config*."""
        self._config = config
        self.evidence.configure(config, now)

    def begin_generation(self, now: float) -> None:
        """The state has changed: what was seen before decides nothing any more."""
        self.evidence = Evidence(self._config, now, self._running)
        self.pauses.leave_all()

    def note_start(self, call: CallIdentity, now: float) -> None:
        """A call begins."""
        self._running.enter(call.client)
        self.evidence.note(call.client, now)

    def note_end(self, call: CallIdentity) -> None:
        """A call is over, whatever its generation."""
        self._running.leave(call.client)

    def note_event(self, permit: Permit, now: float) -> None:
        """A call has its first event, whatever its generation."""
        self._last_event_at = now
        if permit.first_event_at is None:
            permit.first_event_at = now

    def learn(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        """Enter the end of a call into the evidence; whether it says anything about the upstream."""
        slow, evidence = self._is_slow(permit, verdict, now), self.evidence
        evidence.note(permit.call.client, now)
        match verdict.outcome:
            case Outcome.SUCCESS:
                self.pauses.lift(permit)
                evidence.add_success(permit.call, now, slow=slow)
            case Outcome.FAILURE:
                self._last_cause = verdict.cause or self._last_cause
                if verdict.unanswered or not self._is_known(permit, verdict, now):
                    evidence.add_failure(permit.call, verdict, now, slow=slow)
            case Outcome.NEUTRAL:
                if slow:
                    evidence.add_slow(permit.call, now)
                return slow
            case _:
                assert_never(verdict.outcome)
        return True

    def trip(self, verdict: Verdict, now: float) -> Reason | None:
        """Why a closed breaker must open now; where one model alone is to blame, that is paused instead."""
        trip = self.evidence.trip(now)
        if trip is None:
            return None
        why = why_opened(trip.reason, self._last_cause, bad=trip.bad, calls=trip.calls)
        if trip.model is None:
            self.why, self.is_answered = why, trip.answered
            return trip.reason
        self.evidence.drop(trip.model)
        self._pause(trip.model, why, verdict, now, answered=trip.answered)
        return None

    def explain(self, reason: Reason, *, answered: bool) -> None:
        """The breaker opens for a reason that is no trip of the evidence. *answered*: as ``is_answered``."""
        self.why, self.is_answered = why_opened(reason, self._last_cause), answered

    def is_key_refused(self, call: CallIdentity, now: float) -> bool:
        """Whether the 401 that *call* got is not its model's alone: another model's call got one, too.

        Not where a call has had its first event since, nor where one client made both and others called.
        """
        has_company = self.evidence.has_company(call.client, now)
        return any(
            self._last_event_at <= other.since and not (other.client == call.client and has_company)
            for other in self.pauses.refused_keys(besides=call.model)
        )

    def is_list_refused(self, now: float, *, listed_before: bool) -> bool:
        """Whether a 401 for the list of models is the key's: a call got one, and none its first event since.

        *listed_before*: the key has opened the list before. If it never has, and calls succeed, the list may
        just not be for this key.
        """
        doubted = any(self._last_event_at <= pause.since for pause in self.pauses.refused_keys())
        return doubted and (listed_before or not self.evidence.had_success(now))

    def _is_slow(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        since = max(permit.admitted_at, permit.queued_until)
        if permit.first_event_at is not None:
            return permit.first_event_at - since > self._config.slow_after
        if verdict.outcome is Outcome.NEUTRAL and self._last_event_at > permit.admitted_at:
            return False  # another call had its first event meanwhile: the upstream is alive
        return now - since > self._config.slow_after

    def _is_known(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        """Whether the model is paused for failing, and the call tried it (which renews that) or is older."""
        if self.pauses.is_failing_trial(permit):
            why = why_opened(Reason.PROBE_FAILED, self._last_cause)
            self._pause(permit.call.model, why, verdict, now, answered=verdict.answered)
            return True
        return self.pauses.is_failing_since(permit)

    def _pause(self, model: str, why: str, verdict: Verdict, now: float, *, answered: bool) -> None:
        wait = clamp_retry_after(verdict.retry_after or 0.0)
        self.pauses.fail(model, why, wait, self._config, now, answered=answered)
