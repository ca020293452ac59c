"""Where an answer's events go: reasoning to the summariser, the final output to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..core.events import (
    Batch,
    Done,
    Event,
    Failure,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    Restart,
    Usage,
)
from ..core.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.byte_budget import Holding
    from ..core.errors import ApiError
    from .backlog import Backlog
    from .metrics import Metrics
    from .prompter import Prompter
    from .report import Report
    from .summarizer import Summarizer

__all__ = ["Opening", "Outlet"]


class Opening:
    """How an answer begins, for clients whose status line depends on it.

    *on_commit* is called when the client has seen something that binds us, so that no other attempt follows.
    """

    def __init__(self, on_commit: Callable[[], None]) -> None:
        self.commit = on_commit
        self.decided = trio.Event()
        """The upstream has begun to answer, or no upstream ever will."""
        self.failed = False
        """No upstream ever will."""

    def begin(self) -> None:
        """The upstream's first event is here."""
        self.decided.set()

    def fail(self) -> None:
        """The answer has ended with an error."""
        self.failed = self.failed or not self.decided.is_set()
        self.decided.set()


class Outlet:
    """The one way from the upstream's side of a stream to the client's.

    *thoughts_send*: where the reasoning itself goes, if the client wants it. *backlog* counts what both
    channels hold. *gathered*: nobody sees the answer before it is whole, so until then it can be begun anew.
    """

    def __init__(
        self,
        output_send: trio.MemorySendChannel[Batch],
        thoughts_send: trio.MemorySendChannel[Batch] | None,
        *,
        prompter: Prompter,
        summarizer: Summarizer,
        report: Report,
        metrics: Metrics,
        gathered: bool,
        choices: int,
        opening: Opening,
        backlog: Backlog,
    ) -> None:
        self._backlog = backlog
        self._output_send = output_send
        self._thoughts_send = thoughts_send
        self._prompter = prompter
        self._summarizer = summarizer
        self._report = report
        self._metrics = metrics
        self._gathered = gathered
        self._opening = opening
        self._ended = False
        self._choices = choices
        self._finished = 0
        self._summarised: int | None = None
        # A trip or the deadline may come while a slow client is waited for: that batch goes with the next.
        self._undelivered: Batch = []
        self.begun = False
        """Something of the final output has come; the phases before it are over."""
        self.committed = False
        """The client has seen something that binds us: the answer cannot be begun anew."""

    def hear(self) -> None:
        """The upstream has begun to answer, whatever its first event says."""
        self._opening.begin()

    async def send(self, events: list[Event], held: Holding | None = None) -> None:
        """Pass on what one read gave. Waits only while the client is slow to take it.

        *held*: memory of the upstream's event, given back when the client has what became of it.
        """
        thoughts: Batch = []
        output: Batch = []
        for event in events:
            match event:
                case ReasoningDelta() if self.begun or output:
                    # Its phase is over. Who asked for the reasoning itself gets it all the same.
                    self._metrics.late_reasoning.inc()
                    if self._thoughts_send is not None:
                        output.append(event)
                case ReasoningDelta():
                    self._report.reach(Phase.REASONING_SUMMARY)
                    # Choices that think at once would be told as one text: the first to think is told.
                    if self._summarised in {None, event.index}:
                        self._summarised = event.index
                        self._summarizer.feed(event.text)
                    self._report.charge.add_output(event.text)
                    thoughts.append(event)
                case Usage(usage):
                    self._report.count_usage(usage)
                case OutputDelta(text=text):
                    self._report.count_piece(text)
                    output.append(event)
                case OutputExtra():
                    self._report.count_piece()
                    output.append(event)
                case Finish():
                    self._finished += 1
                    output.append(event)
                case _:
                    output.append(event)
        self._undelivered += output
        if thoughts and self._thoughts_send is not None:
            self._commit()
            await self._backlog.send(self._thoughts_send, thoughts, None if output else held)
            held = held if output else None
        if output:
            self._begin()
            await self._deliver(held)
        elif held is not None:
            held.release()

    async def finish(self) -> None:
        """The answer is complete: token counts, if there are any, and the end."""
        self._report.settle()  # before its last event: the client's next request may follow at once
        usage = [Usage(self._report.usage)] if self._report.usage else []
        await self._end([*usage, Done()])

    async def fail(self, error: ApiError) -> None:
        """The answer cannot be completed: tell it so, and end. Nothing, if it is complete already."""
        if self._finished >= self._choices:
            self._report.outcome = "ok"
            await self.finish()  # an error can no longer be told
        elif not self._ended:
            self._opening.fail()
            self._report.outcome, self._report.error_class = "error", error.error_class
            self._report.settle()
            await self._end([Failure(error, self._report.phase), Done()])

    def close(self) -> None:
        """Nothing more comes: the phases that are still open end."""
        self._end_summaries()
        self._output_send.close()

    async def restart(self) -> None:
        """Another attempt begins; its reasoning starts anew."""
        self._summarizer.restart()
        self._report.restart()
        self._undelivered = []
        self._finished = 0
        self._summarised = None
        if self.begun:
            await self._output_send.send([Restart()])
        elif self._thoughts_send is not None:
            await self._thoughts_send.send([Restart()])

    async def _end(self, last: Batch) -> None:
        self._end_summaries()
        if not self._ended:
            self._ended = True
            self._undelivered += last
        await self._deliver()

    async def _deliver(self, held: Holding | None = None) -> None:
        if self._undelivered:
            await self._backlog.send(self._output_send, self._undelivered, held)
            self._undelivered = []

    def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            self._commit()
            self._end_summaries()

    def _commit(self) -> None:
        if not (self._gathered or self.committed):
            self.committed = True
            self._opening.commit()

    def _end_summaries(self) -> None:
        self._prompter.hurry()
        self._summarizer.end()
        if self._thoughts_send is not None:
            self._thoughts_send.close()
