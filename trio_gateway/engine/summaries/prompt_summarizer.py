"""Prompt summarizer: emits one line about the prompt, extractive at once or written by a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from ...core.events import PromptSummary
from ...core.phases import Phase
from ...core.summary.prompt import LONGEST, QUOTED_WHOLE, prompt_text, summarize_prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import trio

    from ..outbox import Outbox
    from .summary_model import SummaryModel

__all__ = ["PromptSummarizer"]

log = structlog.get_logger("trio_gateway.summary")


class PromptSummarizer:
    """The prompt summary of one answer. Without *messages* the phase is empty; short prompts are quoted."""

    def __init__(
        self,
        messages: Sequence[Mapping[str, Any]] | None,
        outbox: Outbox,
        *,
        model: SummaryModel | None = None,
    ) -> None:
        self._messages = messages
        self._outbox = outbox
        self._model = model
        self._is_open = True
        self._extractive: str | None = None

    async def run(self, nursery: trio.Nursery) -> None:
        """Emit the line; where a model writes it, ask the model in *nursery*."""
        if self._messages is not None:
            try:
                self._extractive = summarize_prompt(self._messages)
                text = prompt_text(self._messages)
                self._messages = None  # a large request is not kept for the rest of its answer
            except Exception:
                # A bug in the summary. The answer matters more: the client merely misses this phase.
                log.exception("summary_failed")
            else:
                if self._model is not None and len(text) > QUOTED_WHOLE:
                    nursery.start_soon(self._ask, self._model, text)
                    return
        self._emit(self._extractive)
        await self._outbox.flush()

    def stop_waiting(self) -> None:
        """The answer is here: emit the extractive line if the model has not answered."""
        self._emit(self._extractive)

    async def _ask(self, model: SummaryModel, text: str) -> None:
        line = None
        try:
            line = await model.line("prompt", text, width=LONGEST)
        except Exception:
            log.exception("summary_failed")
        self._emit(line or self._extractive)
        await self._outbox.flush()

    def _emit(self, line: str | None) -> None:
        if self._is_open:
            self._is_open = False
            if line:
                self._outbox.put(Phase.PROMPT_SUMMARY, [PromptSummary(line)])
            self._outbox.close(Phase.PROMPT_SUMMARY)
