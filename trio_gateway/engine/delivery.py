"""Delivery: feeds reasoning to the summaries and output to the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.events import (
    Batch,
    Done,
    Event,
    Failure,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    ReasoningExtra,
    Restart,
    Usage,
)
from ..core.phases import Phase
from .wakeup import Wakeup

if TYPE_CHECKING:
    from ..core.errors import ApiError
    from .call import Call
    from .outbox import Outbox
    from .summaries import Summaries

__all__ = ["Delivery", "Opening"]


class Opening:
    """How an answer begins, for clients whose status line depends on it."""

    def __init__(self) -> None:
        self._is_decided = False
        self._decided = Wakeup()
        self.failure: Failure | None = None
        """The error of an answer that never began."""

    async def decided(self) -> None:
        """Wait until the upstream has begun to answer, or no upstream ever will."""
        while not self._is_decided:
            await self._decided.wait()

    def begin(self) -> None:
        """The upstream's first event came."""
        self._is_decided = True
        self._decided.wake()

    def fail(self, failure: Failure) -> None:
        """The answer has ended with an error."""
        if not self._is_decided:
            self.failure = failure
        self.begin()


class Delivery:
    """The one way from the upstream's side of a stream to the client's.

    Nothing here waits but :meth:`flush`.
    """

    def __init__(self, call: Call, outbox: Outbox, summaries: Summaries) -> None:
        self._call = call
        self._record = call.record
        self._outbox = outbox
        self._summaries = summaries
        self._shows_reasoning = call.request.options.shows_reasoning
        self._ended = False
        self._finished = 0
        self._summarised: int | None = None
        self.opening = Opening()
        self.begun = False
        """Some of the final output has come; the phases before it are over."""
        self.committed = False
        """The client has seen something that binds the gateway: the answer cannot be begun anew."""

    def emit(self, events: list[Event]) -> None:
        """Pass on what one read of the upstream gave."""
        thoughts: Batch = []
        output: Batch = []
        for event in events:
            match event:
                case OutputDelta(text=text):
                    self._record.count_piece(text)
                    output.append(event)
                case ReasoningDelta() if self.begun or output:
                    # Its phase is over. A client that asked for the reasoning itself gets it all the same.
                    self._call.services.metrics.late_reasoning.inc()
                    if self._shows_reasoning:
                        output.append(event)
                case ReasoningDelta():
                    self._summarise(event)
                    thoughts.append(event)
                case ReasoningExtra():
                    (output if self.begun or output else thoughts).append(event)
                case OutputExtra():
                    self._record.count_piece()
                    output.append(event)
                case Usage(usage):
                    self._record.count_usage(usage)
                case _:
                    self._finished += isinstance(event, Finish)
                    output.append(event)
        if thoughts and self._shows_reasoning:
            self._commit()
            self._outbox.put(Phase.REASONING_SUMMARY, thoughts)
        if output:
            if not self.begun:
                self._begin_output()
            self._outbox.put(Phase.FINAL_OUTPUT, output)

    def flush_nowait(self) -> bool:
        """Send what leaves without waiting; whether the client has it all."""
        return self._outbox.flush_nowait(Phase.FINAL_OUTPUT)

    async def flush(self) -> None:
        """Wait while the client is slow to take what was emitted."""
        await self._outbox.flush(Phase.FINAL_OUTPUT)

    def finish(self) -> None:
        """The answer is complete: token counts, if there are any, and the end."""
        self._record.succeed()
        self._record.settle()  # before its last event: the client's next request may follow at once
        self._end([Usage(self._record.usage)] if self._record.usage else [])

    def fail(self, error: ApiError) -> None:
        """The answer cannot be completed: it ends with *error*. One that is complete already ends as such."""
        if self._finished >= self._call.request.n:
            self.finish()
        elif not self._ended:
            failure = Failure(error, self._record.phase)
            self.opening.fail(failure)
            self._record.fail(error.error_class)
            self._record.settle()
            self._end([failure])

    def close(self) -> None:
        """Nothing more comes: the phases that are still open end."""
        self._summaries.end()
        self._outbox.close(Phase.FINAL_OUTPUT)

    def restart(self) -> None:
        """Another attempt begins; its reasoning starts anew."""
        self._summaries.restart()
        self._record.restart()
        self._finished = 0
        self._summarised = None
        if self.begun:
            self._outbox.put(Phase.FINAL_OUTPUT, [Restart()])
        elif self._shows_reasoning:
            self._outbox.put(Phase.REASONING_SUMMARY, [Restart()])

    def _summarise(self, thought: ReasoningDelta) -> None:
        self._record.reach(Phase.REASONING_SUMMARY)
        self._record.charge.add_output(thought.text)
        # Choices that think at the same time would be summarised as one text: only the first to think is.
        if self._summarised in {None, thought.index}:
            self._summarised = thought.index
            self._summaries.feed(thought.text)

    def _begin_output(self) -> None:
        self.begun = True
        self._commit()
        self._summaries.end()

    def _commit(self) -> None:
        """No other attempt follows from now on, so the request's body is needed no longer."""
        if not (self._call.buffered or self.committed):
            self.committed = True
            self._call.request.release()

    def _end(self, last: Batch) -> None:
        self._summaries.end()
        if not self._ended:
            self._ended = True
            self._outbox.put(Phase.FINAL_OUTPUT, [*last, Done()])
