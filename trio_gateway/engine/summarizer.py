"""Speaks while the model thinks: turns reasoning that is still coming into lines, at the right moments.

What is worth saying is decided in ``core.summary``; here is only when. The first line goes out with the
first complete thought, further ones an interval apart, the last when the reasoning ends. Where a model
repeats itself, or is about to tell the result, the line is late, and the summary makes do with less: while
reasoning comes lines are seldom more than two intervals apart. Where even that fails a sign of life stands
for the line. The task that reads the upstream never waits for any of it: ``feed`` and ``end`` are
synchronous and only keep what they are given. The summary's own task works it up when a line is due, in
slices of less than 2 ms; when the answer comes meanwhile, that line is given up for the last one, which is
made of little.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import trio

from ..core.events import Batch, Ping, ReasoningLine
from ..core.summary import SIZES, ReasoningSummary
from ..core.summary.recent import RecentText
from ..core.summary.request import MAX_REQUEST
from .slices import in_slices
from .summary_model import Question, hang_up

if TYPE_CHECKING:
    from ..core.summary import Detail
    from .summary_model import SummaryModel

__all__ = ["Summarizer"]

log = structlog.get_logger("trio_gateway.summary")

# Seconds until a thought that turned out not worth a line is followed up: an interval would be felt as a gap.
_SECOND_LOOK = 0.25
# Intervals after which a line is late: until then something better could come, and half an interval is left
# for what comes later.
_LATE = 1.5
# Lines after which a concise summary speaks half as often.
_LINES_A_PACE = 10


class Summarizer:
    """The reasoning summary of one answer. *interval* is in seconds; a *silent* one says nothing.

    With a *model* each line is asked of it; what it does not give in time is said extractively.
    """

    def __init__(
        self,
        *,
        interval: float,
        detail: Detail = "auto",
        silent: bool = False,
        model: SummaryModel | None = None,
    ) -> None:
        self._summary = ReasoningSummary(detail=detail)
        self._width = SIZES[detail].width
        self._model = model
        self._recent = RecentText(MAX_REQUEST)
        self._question = Question()
        self._silent = silent
        self._interval = interval
        self._slows_down = detail == "concise"
        self._told = 0
        self._sign_due = trio.current_time() + interval
        self._late_at = math.inf
        self._ready = trio.Event()
        self._ended = trio.Event()

    def feed(self, text: str) -> None:
        """Take reasoning as it comes."""
        if self._silent:
            return
        self._summary.feed(text)
        if self._model is not None:
            self._recent.add(text[-MAX_REQUEST:])
        if self._late_at == math.inf:  # waiting counts from the first text: silence has nothing to tell
            self._late_at = trio.current_time() + _LATE * self._pause()
        if self._summary.ready or self._is_late() or trio.current_time() >= self._sign_due:
            self._ready.set()

    def restart(self) -> None:
        """Another attempt begins: its reasoning starts anew, and nothing told already is told again."""
        self._summary.restart()
        self._late_at = math.inf
        self._recent.clear()

    def end(self) -> None:
        """The reasoning is over: say a last line if there is one, then close the phase."""
        self._ended.set()
        self._ready.set()
        self._question.drop()

    async def run(self, lines_send: trio.MemorySendChannel[Batch]) -> None:
        """Send lines until :meth:`end`; owns and closes *lines_send*, which ends the phase."""
        async with trio.open_nursery() as nursery:
            with lines_send:
                try:
                    await self._speak(lines_send, nursery)
                except Exception:
                    # A bug in the summary. The answer matters more: the client merely misses further lines.
                    log.exception("summary_failed")
            hang_up(nursery)

    async def _speak(self, lines_send: trio.MemorySendChannel[Batch], nursery: trio.Nursery) -> None:
        while True:
            await self._ready.wait()
            if self._ended.is_set():
                break
            line = await self._line(nursery) if self._summary.ready or self._is_late() else None
            if self._ended.is_set():
                break
            self._ready = trio.Event()
            if line is not None:
                await lines_send.send([ReasoningLine(line)])
                self._told += 1
                self._late_at = math.inf
                self._sign_due = trio.current_time() + self._interval
            elif trio.current_time() >= self._sign_due:
                await lines_send.send([Ping()])
                self._sign_due = trio.current_time() + self._interval
            with trio.move_on_after(self._pause() if line is not None else min(self._interval, _SECOND_LOOK)):
                await self._ended.wait()
            if self._ended.is_set():
                break
            if self._summary.ready:
                self._ready.set()
        if (line := await in_slices(self._summary.last_steps())) is not None:
            with suppress(trio.WouldBlock):  # it must not keep a client that lags from the answer
                lines_send.send_nowait([ReasoningLine(line)])

    async def _line(self, nursery: trio.Nursery) -> str | None:
        if self._model is not None and self._summary.ready:
            recent = self._recent.take(MAX_REQUEST)
            question = self._question = self._model.ask(nursery, "reasoning", recent, self._width)
            await question.settled()
            line = question.line
            if line is not None and await in_slices(self._summary.accept_steps(line), until=self._ended):
                return line
        # What there is to say once the answer is here, the last line says.
        return await in_slices(self._summary.line_steps(late=self._is_late()), until=self._ended)

    def _is_late(self) -> bool:
        return trio.current_time() >= self._late_at

    def _pause(self) -> float:
        return self._interval * (2 ** (self._told // _LINES_A_PACE) if self._slows_down else 1)
