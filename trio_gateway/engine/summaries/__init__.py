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
    """Both summaries of *call*, made by tasks in *nursery*.

    No method waits, as the answer does not.
    """

    def __init__(self, call: Call, outbox: Outbox, nursery: trio.Nursery) -> None:
        self._call = call
        self._outbox = outbox
        self._nursery = nursery
        self._span = call.record.span
        wanted = call.request.options.reasoning
        self._silent = call.services.summary.reasoning == "off" or wanted in {"off", "raw"}
        model = call.services.summary_model
        self._model = model and model.under(self._span)
        self._prompt: PromptSummarizer | None = None
        self._reasoning: ReasoningSummarizer | None = None

    def start(self) -> None:
        """Summarise the prompt, in a task of its own."""
        how, request = self._call.services.summary, self._call.request
        if not request.options.prompt_summary or how.prompt == "off":
            self._outbox.close(Phase.PROMPT_SUMMARY)
            return
        model = self._model if how.prompt == "model" else None
        self._prompt = PromptSummarizer(request.messages, self._outbox, model=model)
        self._nursery.start_soon(self._summarise_prompt, self._prompt)

    def feed(self, text: str) -> None:
        """Take reasoning as it comes; with the first of it begins the task that summarises it.

        Many answers have none, and what it takes to summarise reasoning is a fifth of a stream's memory.
        """
        if self._silent:
            return
        if self._reasoning is None:
            self._reasoning = self._reasoning_summarizer()
            self._nursery.start_soon(self._summarise_reasoning, self._reasoning)
        self._reasoning.feed(text)

    def _reasoning_summarizer(self) -> ReasoningSummarizer:
        how, request = self._call.services.summary, self._call.request
        return ReasoningSummarizer(
            self._outbox,
            interval=how.interval,
            detail=request.options.detail,
            model=self._model if how.reasoning == "model" else None,
            messages=request.messages,
        )

    def restart(self) -> None:
        """Another attempt begins, whose reasoning starts anew."""
        if self._reasoning is not None:
            self._reasoning.restart()

    def end(self) -> None:
        """The answer is here: emit what can be emitted at once, and close both phases."""
        if self._prompt is not None:
            self._prompt.stop_waiting()
        if self._reasoning is not None:
            self._reasoning.end()
        else:
            self._outbox.close(Phase.REASONING_SUMMARY)

    async def _summarise_prompt(self, summarizer: PromptSummarizer) -> None:
        with step_span(self._span, "prompt_summary"):
            await self._run(summarizer)
        self._prompt = None

    async def _summarise_reasoning(self, summarizer: ReasoningSummarizer) -> None:
        with step_span(self._span, "reasoning_summary"):
            await self._run(summarizer)

    async def _run(self, summarizer: PromptSummarizer | ReasoningSummarizer) -> None:
        if self._model is None:
            await summarizer.run(self._nursery)
            return
        async with trio.open_nursery() as questions:
            await summarizer.run(questions)
            cancel_soon(questions)
