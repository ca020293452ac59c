"""Summaries of one answer: fill its outbox while the model works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..tracing import step_span
from .prompt_summarizer import PromptSummarizer
from .reasoning_summarizer import ReasoningSummarizer
from .summary_model import cancel_soon

if TYPE_CHECKING:
    from ..call import Call
    from ..outbox import Outbox

__all__ = ["Summaries"]


class Summaries:
    """Both summaries of *call*. Every method but :meth:`run` is synchronous: the answer never waits for
    them."""

    def __init__(self, call: Call, outbox: Outbox) -> None:
        services, options = call.services, call.request.options
        how = services.summary
        self._span = call.record.span
        model = services.summary_model and services.summary_model.under(self._span)
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

    async def run(self) -> None:
        """Make both, until :meth:`end`."""
        async with trio.open_nursery() as nursery:
            with step_span(self._span, "prompt_summary"):
                await self._prompt.run(nursery)
            with step_span(self._span, "reasoning_summary"):
                await self._reasoning.run(nursery)
            cancel_soon(nursery)

    def feed(self, text: str) -> None:
        """Take reasoning as it comes."""
        self._reasoning.feed(text)

    def restart(self) -> None:
        """Another attempt begins, whose reasoning starts anew."""
        self._reasoning.restart()

    def end(self) -> None:
        """The answer is here: emit what can be emitted at once, and close both phases."""
        self._prompt.stop_waiting()
        self._reasoning.end()
