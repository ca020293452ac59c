"""Summaries of one answer: fill its outbox while the model works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ...core.phases import Phase
from ..tracing import step_span
from .prompt_summarizer import PromptSummarizer
from .reasoning_summarizer import ReasoningSummarizer
from .summary_model import cancel_soon

if TYPE_CHECKING:
    from ..call import Call
    from ..outbox import Outbox

__all__ = ["Summaries"]


class Summaries:
    """Both summaries of *call*, made by tasks in *nursery*. No method waits, as the answer does not."""

    def __init__(self, call: Call, outbox: Outbox, nursery: trio.Nursery) -> None:
        services, options = call.services, call.request.options
        how = services.summary
        self._outbox = outbox
        self._nursery = nursery
        self._span = call.record.span
        self._thinking = False  # reasoning has come, and its summary is at work
        model = services.summary_model and services.summary_model.under(self._span)
        self._asks_model = model is not None
        self._prompt = PromptSummarizer(
            call.request.messages if options.prompt_summary and how.prompt != "off" else None,
            outbox,
            model=model if how.prompt == "model" else None,
        )
        self._reasoning = ReasoningSummarizer(
            outbox,
            interval=how.interval,
            detail=None if how.reasoning == "off" or options.reasoning in {"off", "raw"} else options.detail,
            model=model if how.reasoning == "model" else None,
            messages=call.request.messages,
        )

    def start(self) -> None:
        """Summarise the prompt, in a task of its own."""
        self._nursery.start_soon(self._make, self._prompt, "prompt_summary")

    def feed(self, text: str) -> None:
        """Take reasoning as it comes; with the first of it the task that summarises it begins."""
        if not self._thinking:
            self._thinking = True
            self._nursery.start_soon(self._make, self._reasoning, "reasoning_summary")
        self._reasoning.feed(text)

    def restart(self) -> None:
        """Another attempt begins, whose reasoning starts anew."""
        self._reasoning.restart()

    def end(self) -> None:
        """The answer is here: emit what can be emitted at once, and close both phases."""
        self._prompt.stop_waiting()
        self._reasoning.end()
        if not self._thinking:
            self._outbox.close(Phase.REASONING_SUMMARY)

    async def _make(self, summarizer: PromptSummarizer | ReasoningSummarizer, step: str) -> None:
        with step_span(self._span, step):
            if not self._asks_model:
                await summarizer.run(self._nursery)
                return
            async with trio.open_nursery() as questions:
                await summarizer.run(questions)
                cancel_soon(questions)
