"""Reasoning summarizer: emits lines about reasoning that is still coming, at the right moments.

``core.summary`` decides what a line is made of; this module decides when it is emitted. The first line
leaves with the first complete thought, further ones an interval apart, the last when the reasoning ends.
Where a model repeats itself, or is about to give the result, the line is late, and the summary makes do
with less: while reasoning comes, lines are seldom more than two intervals apart. Where even that fails, a
ping stands for the line. The task that reads the upstream never waits for any of it: ``feed`` and ``end``
are synchronous and only keep what they are given. The summary's own task works it up, in slices of less than
2 ms: all that is new when a line is due, and thought by thought between two lines. When the answer comes,
what is under way is given up for the last line, which is made of what was worked up already and a little
more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import structlog
import trio

from ...core.events import Event, Ping, ReasoningLine
from ...core.phases import Phase
from ...core.summary import SIZES, ReasoningSummary
from ...core.summary.confidential import OPERATOR_ROLES
from ...core.summary.model_request import MAX_REQUEST
from ...core.text.recent import RecentText
from ..sliced_work import in_slices
from .summary_model import SummaryQuestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...core.summary import Detail
    from ..outbox import Outbox
    from .summary_model import SummaryModel

__all__ = ["ReasoningSummarizer"]

log = structlog.get_logger("trio_gateway.summary")

# Seconds until a thought that turned out not worth a line is followed up: an interval would be felt as a
# gap.
_SECOND_LOOK = 0.25
# Intervals after which a line is late: until then something better could come, and half an interval is
# left for what comes later.
_LATE = 1.5
# Slices of the system prompt that are still read when the answer is here: those of about 12 KiB.
_LEARNT_AT_THE_END = 100
# Lines after which a concise summary emits half as often.
_LINES_A_PACE = 10


class ReasoningSummarizer:
    """The reasoning summary of one answer, of which *messages* are the request's.

    *interval* is in seconds. With a *model* each line is asked of it; where it gives none in time, the
    extractive line is emitted.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        interval: float,
        detail: Detail = "auto",
        model: SummaryModel | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        # What the operator wrote, which no line repeats; the rest of a large request is not kept.
        self._messages = [message for message in messages if message.get("role") in OPERATOR_ROLES]
        self._has_text = False
        self._outbox = outbox
        self._summary = ReasoningSummary(detail=detail)
        self._width = SIZES[detail].width
        self._model = model
        self._recent = RecentText(MAX_REQUEST)
        self._question = SummaryQuestion()
        self._interval = interval
        self._slows_down = detail == "concise"
        self._lines = 0
        self._sign_due = trio.current_time() + interval
        self._late_at = math.inf
        self._ready = trio.Event()
        self._stirred = trio.Event()
        self._ended = trio.Event()

    def feed(self, text: str) -> None:
        """Take reasoning as it comes."""
        if not self._has_text:
            self._has_text = True
            self._stirred.set()
        self._summary.feed(text)
        if self._model is not None:
            self._recent.add(text[-MAX_REQUEST:])
        if self._late_at == math.inf:  # waiting counts from the first text: without any there is no line
            self._late_at = trio.current_time() + _LATE * self._pause()
        if self._summary.ready or self._is_late() or trio.current_time() >= self._sign_due:
            self._ready.set()
        if self._summary.unprepared:
            self._stirred.set()

    def restart(self) -> None:
        """Another attempt begins: its reasoning starts anew, and no line is emitted again."""
        self._summary.restart()
        self._late_at = math.inf
        self._recent.clear()

    def end(self) -> None:
        """The reasoning is over: :meth:`run` emits a last line, if there is one, and closes the phase."""
        self._ended.set()
        self._ready.set()
        self._stirred.set()
        self._question.abandon()

    async def run(self, nursery: trio.Nursery) -> None:
        """Emit lines until :meth:`end`, then close the phase. A model that writes them is asked in
        *nursery*."""
        try:
            await self._stirred.wait()
            if await self._learn():
                await self._emit_lines(nursery)
                line = await in_slices(self._summary.last_steps())
                if line is not None:
                    self._outbox.put(Phase.REASONING_SUMMARY, [ReasoningLine(line)])
        except Exception:
            # A bug in the summary. The answer matters more: the client merely misses further lines.
            log.exception("summary_failed")
            await self._ended.wait()
        self._outbox.close(Phase.REASONING_SUMMARY)
        await self._outbox.flush(Phase.REASONING_SUMMARY)

    async def _learn(self) -> bool:
        """Read what no line may repeat, if there is reasoning. False: that ended before much of it was
        read, and nothing can be shown."""
        messages, self._messages = self._messages, []
        left = _LEARNT_AT_THE_END
        for _ in self._summary.learn_steps(messages) if messages and self._has_text else ():
            left -= self._ended.is_set()
            if left < 0:
                return False
            await trio.lowlevel.checkpoint()
        return True

    async def _emit_lines(self, nursery: trio.Nursery) -> None:
        while True:
            await self._ready.wait()
            if self._ended.is_set():
                return
            line = await self._line(nursery) if self._summary.ready or self._is_late() else None
            if self._ended.is_set():
                return
            self._ready = trio.Event()
            if line is not None:
                self._lines += 1
                self._late_at = math.inf
                await self._emit(ReasoningLine(line))
            elif trio.current_time() >= self._sign_due:
                await self._emit(Ping())
            pause = self._pause() if line is not None else min(self._interval, _SECOND_LOOK)
            await self._prepare(self._ended, trio.current_time() + pause)
            if self._summary.ready:
                self._ready.set()

    async def _prepare(self, until: trio.Event, deadline: float = math.inf) -> None:
        """Wait for an event, which also sets ``_stirred``, the *deadline* or the end. Meanwhile work up
        thoughts as they come, so that the last line, which the answer waits for, is of finished parts."""
        while not (until.is_set() or self._ended.is_set()) and trio.current_time() < deadline:
            self._stirred = trio.Event()
            if self._summary.unprepared:
                await in_slices(self._summary.prepare_steps(), until=self._ended)
            else:
                with trio.move_on_at(deadline):
                    await self._stirred.wait()

    async def _emit(self, event: Event) -> None:
        self._outbox.put(Phase.REASONING_SUMMARY, [event])
        self._sign_due = trio.current_time() + self._interval
        await self._outbox.flush(Phase.REASONING_SUMMARY)

    async def _line(self, nursery: trio.Nursery) -> str | None:
        if self._model is not None and self._summary.ready:
            recent = self._recent.take(MAX_REQUEST)
            question = self._question = self._model.ask(nursery, "reasoning", recent, self._width)
            settled = trio.Event()
            nursery.start_soon(self._note, question, settled)
            await self._prepare(settled)
            line = question.line
            if line is not None and await in_slices(self._summary.accept_steps(line), until=self._ended):
                return line
        # Once the answer is here, the last line covers the rest.
        return await in_slices(self._summary.line_steps(late=self._is_late()), until=self._ended)

    async def _note(self, question: SummaryQuestion, settled: trio.Event) -> None:
        await question.settled()
        settled.set()
        self._stirred.set()

    def _is_late(self) -> bool:
        return trio.current_time() >= self._late_at

    def _pause(self) -> float:
        return self._interval * (2 ** (self._lines // _LINES_A_PACE) if self._slows_down else 1)
