"""Where an answer's events go: reasoning to the summariser, the final output to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.events import Batch, Done, Event, Failure, OutputDelta, OutputExtra, ReasoningDelta, Usage
from ..core.phases import Phase

if TYPE_CHECKING:
    import trio

    from ..core.errors import ApiError
    from .metrics import Metrics
    from .report import Report
    from .summarizer import Summarizer

__all__ = ["Outlet"]


class Outlet:
    """The one way from the upstream's side of a stream to the client's."""

    def __init__(
        self,
        output_send: trio.MemorySendChannel[Batch],
        *,
        summarizer: Summarizer,
        report: Report,
        metrics: Metrics,
    ) -> None:
        self._output_send = output_send
        self._summarizer = summarizer
        self._report = report
        self._metrics = metrics
        self._ended = False
        self.committed = False
        """Something of the final output has left: from here on nothing can be taken back or retried."""

    async def send(self, events: list[Event]) -> None:
        """Pass on what one read gave. Waits only while the client is slow to take the final output."""
        batch: Batch = []
        for event in events:
            match event:
                case ReasoningDelta(_, text):
                    self._reason(text)
                case Usage(usage):
                    self._report.usage = usage
                case OutputDelta() | OutputExtra():
                    if not self._report.pieces:
                        self._report.reach(Phase.FINAL_OUTPUT)
                    self._report.pieces += 1
                    self._commit()
                    batch.append(event)
                case _:
                    self._commit()
                    batch.append(event)
        if batch:
            await self._output_send.send(batch)

    async def finish(self) -> None:
        """The answer is complete: token counts, if there are any, and the end."""
        usage = [Usage(self._report.usage)] if self._report.usage else []
        await self._end([*usage, Done()])

    async def fail(self, error: ApiError) -> None:
        """The answer cannot be completed: tell it so, and end. Nothing, if it is complete already."""
        if not self._ended:
            self._report.outcome, self._report.error_class = "error", error.code
            await self._end([Failure(error, self._report.phase), Done()])

    def close(self) -> None:
        """Nothing more comes: the phases that are still open end."""
        self._summarizer.end()
        self._output_send.close()

    def restart(self) -> None:
        """Another attempt begins; its reasoning starts anew."""
        self._summarizer.restart()

    async def _end(self, last: Batch) -> None:
        self._ended = True
        self._summarizer.end()
        await self._output_send.send(last)

    def _reason(self, text: str) -> None:
        if self.committed:
            # The order of phases is a promise, so late reasoning is dropped (and counted).
            self._metrics.late_reasoning.inc()
            return
        self._report.reach(Phase.REASONING_SUMMARY)
        self._summarizer.feed(text)

    def _commit(self) -> None:
        if not self.committed:
            self.committed = True
            self._summarizer.end()
