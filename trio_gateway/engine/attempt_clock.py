"""Attempt clock: sets the deadline of an attempt, and names the reason when it passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from ..core.breaker import Outcome
from ..core.errors import error_for
from ..core.events import ReasoningDelta
from ..core.json.strict import dumps
from ..core.upstream_api.faults import Fault, Replay, fault_of_transport
from ..core.upstream_api.patience import Patience
from .upstream_answer import UpstreamFailure

if TYPE_CHECKING:
    from ..core.events import Event
    from ..core.upstream_api.answer_reader import AnswerReader
    from ..core.upstream_api.runaway import ReasoningLimit
    from .call import Call
    from .lease import Lease

__all__ = ["AttemptClock", "RunawayRule"]

_BODY_GRACE: Final = 0.1
"""Seconds an upstream gets to end its body after [DONE], so that its connection can be used again."""
_DONE_GRACE: Final = 5.0
"""Seconds to wait for usage, more text and [DONE] once every choice has a finish reason."""


@dataclass(frozen=True, slots=True)
class RunawayRule:
    """Limit of a model's thinking, and where a request is repeated then."""

    limit: ReasoningLimit
    replay: Replay


class AttemptClock:
    """The deadline of the lease's scope: the upstream's patience, the request's end and *runaway*.

    The attempt sets ``answered`` and ``spoken``.
    """

    __slots__ = (
        "_call_ends",
        "_lease",
        "_limit",
        "_on_runaway",
        "_patience",
        "_reader",
        "_waits_for_client",
        "answered",
        "spoken",
    )

    _reader: AnswerReader

    def __init__(self, call: Call, lease: Lease, runaway: RunawayRule) -> None:
        self._call_ends = call.deadline
        self._lease = lease
        self._limit, self._on_runaway = runaway.limit, runaway.replay
        self._patience = Patience(lease.config, math.inf)
        self._waits_for_client = False
        self.answered = False
        """A valid event came."""
        self.spoken = False
        """An event that says something came."""

    def start(self, reader: AnswerReader) -> None:
        """The attempt begins now; *reader* reads its answer."""
        self._reader = reader
        self._patience = Patience(self._lease.config, trio.current_time())
        self._set()

    def expect_whole(self) -> None:
        """The answer is not streamed: it takes as long as a request may wait in a queue."""
        self._patience.deadline = trio.current_time() + self._lease.config.queue_timeout
        self._set()

    def expect_next(self, *, begun: bool) -> None:
        """Wait for the next event. *begun*: one came just now, and not only a comment."""
        now = trio.current_time()
        if begun:
            if self.spoken:  # until then the time for the first event runs on
                self._patience.event(now)
        elif self._reader.finished:
            return  # only the end is waited for
        else:
            self._patience.comment(now)
            self._lease.note_queued()
        self._set()

    def expect_end_of_body(self) -> None:
        """The answer is complete: the body should end at once."""
        self._lease.scope.deadline = trio.current_time() + _BODY_GRACE

    def wait_for_client(self) -> None:
        """The client is slow: the upstream is not the one that is silent."""
        self._waits_for_client = True
        self._lease.scope.deadline = self._call_ends

    def watch(self, emitted: list[Event]) -> None:
        """Count the reasoning that was *emitted*.

        Raises:
            UpstreamFailure: it is more than the model may think.
        """
        if self._reader.output_seen:
            return
        now = trio.current_time()
        for event in emitted:
            if isinstance(event, ReasoningDelta):
                self._limit.feed(event.text, now)
        if (reason := self._limit.exceeded(now)) is not None:
            raise UpstreamFailure(self._runaway(reason))

    def why_over(self) -> Fault:
        """Why the scope was cancelled before the answer was complete."""
        if self._lease.swept is not None:
            message = f"Upstream {dumps(self._lease.name)} is paused {self._lease.swept}."
            error = error_for("circuit_open", message, retry_after=1.0)
            return Fault(error, Outcome.NEUTRAL, Replay.NEXT)
        now = trio.current_time()
        if now >= self._call_ends:
            message = "The answer was not complete in the time a request may take."
            if self._waits_for_client:
                # The time has gone to a client that reads slowly, which says nothing about the upstream.
                return Fault(error_for("deadline", message), Outcome.NEUTRAL, Replay.NO)
            return fault_of_transport("deadline", message)
        if (reason := self._limit.exceeded(now)) and not self._reader.output_seen:
            return self._runaway(reason)
        code = "idle_timeout" if self.spoken else "first_event_timeout"
        if self._patience.was_queued(now):
            # It has answered all the time, so it is not ill; it would only queue the request again.
            message = "The upstream kept the request in its queue for too long."
            return Fault(error_for(code, message), Outcome.NEUTRAL, Replay.NEXT)
        if not self.spoken:
            seconds = self._lease.config.first_event_timeout
            return fault_of_transport(code, f"The upstream sent no event of its answer in {seconds:.12g} s.")
        seconds = self._lease.config.idle_timeout
        return fault_of_transport(code, f"The upstream fell silent for {seconds:.12g} s.")

    def _set(self) -> None:
        self._waits_for_client = False
        at_most = self._call_ends
        if not self.answered:
            at_most = min(at_most, self._lease.deadline)
        else:
            if self._reader.finished:
                at_most = min(at_most, trio.current_time() + _DONE_GRACE)
            if not self._reader.output_seen:
                at_most = min(at_most, self._limit.deadline)
        scope = self._lease.scope
        current = scope.deadline
        if (by := self._patience.timer(current, at_most)) != current:
            scope.deadline = by

    def _runaway(self, reason: str) -> Fault:
        # The upstream does its work; it is the model that does not come to an end.
        return Fault(error_for("reasoning_limit", reason), Outcome.NEUTRAL, self._on_runaway)
