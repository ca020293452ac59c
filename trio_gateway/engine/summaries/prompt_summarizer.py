"""Prompt summarizer: emits one line about the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from ...core.events import PromptSummary
from ...core.phases import Phase
from ...core.summary.prompt import LONGEST, QUOTED_WHOLE, prompt_steps, prompt_text
from ..sliced_work import in_slices
from .summary_model import SummaryQuestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import trio

    from ..outbox import Outbox
    from .summary_model import SummaryModel

__all__ = ["PromptSummarizer"]

log = structlog.get_logger("trio_gateway.summary")


class PromptSummarizer:
    """The prompt summary of one answer, of which *messages* are the request's."""

    def __init__(
        self,
        messages: Sequence[Mapping[str, Any]],
        outbox: Outbox,
        *,
        model: SummaryModel | None = None,
    ) -> None:
        self._messages = messages
        self._outbox = outbox
        self._model = model
        self._question = SummaryQuestion()

    def stop_waiting(self) -> None:
        """The answer is here: a model that has not answered is not waited for."""
        self._question.abandon()

    async def run(self, nursery: trio.Nursery) -> None:
        """Emit the line and close the phase. A model that writes the line is asked in *nursery*."""
        try:
            if line := await self._line(nursery):
                self._outbox.put(Phase.PROMPT_SUMMARY, [PromptSummary(line)])
        except Exception:
            # A bug in the summary. The answer matters more: the client merely misses this phase.
            log.exception("summary_failed")
        self._outbox.close(Phase.PROMPT_SUMMARY)
        await self._outbox.flush(Phase.PROMPT_SUMMARY)

    async def _line(self, nursery: trio.Nursery) -> str | None:
        messages, self._messages = self._messages, ()  # a large request is not kept for its whole answer
        extractive = await in_slices(prompt_steps(messages))
        if self._model is None or len(text := prompt_text(messages)) <= QUOTED_WHOLE:
            return extractive
        del messages
        if not self._question.is_settled:
            self._question = self._model.ask(nursery, "prompt", text, LONGEST)
        await self._question.settled()
        return self._question.line or extractive
