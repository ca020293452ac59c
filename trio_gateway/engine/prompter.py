"""Says what was asked, at once; or, where a model is to say it, when it has, or when the answer is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from ..core.events import PromptSummary
from ..core.prompt_summary import LONGEST, QUOTED_WHOLE, prompt_text, summarize_prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.events import Batch
    from .summary_model import SummaryModel

__all__ = ["Prompter"]


class Prompter:
    """The prompt summary of one answer. Without *messages* it says nothing; short prompts it quotes."""

    def __init__(
        self, messages: Sequence[Mapping[str, Any]] | None, *, model: SummaryModel | None = None
    ) -> None:
        self._messages = messages
        self._model = model
        self._asking = trio.CancelScope()

    def hurry(self) -> None:
        """The answer is here: wait for the model no longer."""
        self._asking.cancel()

    async def run(self, prompt_send: trio.MemorySendChannel[Batch]) -> None:
        """Say it; owns and closes *prompt_send*, which ends the phase."""
        with prompt_send:
            if self._messages is not None:
                await prompt_send.send([PromptSummary(await self._line(self._messages))])

    async def _line(self, messages: Sequence[Mapping[str, Any]]) -> str:
        text = prompt_text(messages)
        said: str | None = None
        if self._model is not None and len(text) > QUOTED_WHOLE:
            with self._asking:
                said = await self._model.line("prompt", text, width=LONGEST)
        return said if said is not None else summarize_prompt(messages)
