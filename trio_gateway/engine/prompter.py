"""Says what was asked, at once; or, where a model is to say it, when it has, or when the answer is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
import trio

from ..core.events import PromptSummary
from ..core.summary.prompt import LONGEST, QUOTED_WHOLE, prompt_steps, prompt_text
from .slices import in_slices
from .summary_model import Question, hang_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.events import Batch
    from .summary_model import SummaryModel

__all__ = ["Prompter"]

log = structlog.get_logger("trio_gateway.summary")


class Prompter:
    """The prompt summary of one answer. Without *messages* it says nothing; short prompts it quotes."""

    def __init__(
        self, messages: Sequence[Mapping[str, Any]] | None, *, model: SummaryModel | None = None
    ) -> None:
        self._messages = messages
        self._model = model
        self._question = Question()

    def hurry(self) -> None:
        """The answer is here: wait for the model no longer."""
        self._question.drop()

    async def run(self, prompt_send: trio.MemorySendChannel[Batch]) -> None:
        """Say it; owns and closes *prompt_send*, which ends the phase."""
        async with trio.open_nursery() as nursery:
            with prompt_send:
                if self._messages is not None:
                    try:
                        line = await self._line(self._messages, nursery)
                        self._messages = None  # a large request is not kept for the rest of its answer
                    except Exception:
                        # A bug in the summary. The answer matters more: the client merely misses this phase.
                        log.exception("summary_failed")
                    else:
                        prompt_send.send_nowait([PromptSummary(line)])
            hang_up(nursery)

    async def _line(self, messages: Sequence[Mapping[str, Any]], nursery: trio.Nursery) -> str:
        extractive = await in_slices(prompt_steps(messages)) or ""
        if self._model is None or len(text := prompt_text(messages)) <= QUOTED_WHOLE:
            return extractive
        self._question = self._model.ask(nursery, "prompt", text, LONGEST)
        await self._question.settled()
        return self._question.line or extractive
