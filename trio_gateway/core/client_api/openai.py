"""OpenAI format: writes chunks that any client of that API reads.

Summaries stand where clients look for reasoning, under both names in use for it. One key more, which they
ignore, says which phase a chunk belongs to.
"""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Any

from ..phases import Phase
from .encoder import Choice, Encoder, choice_of
from .frames import PARAGRAPH, PREFIXES, Frame

if TYPE_CHECKING:
    from ..events import Failure

__all__ = ["OpenAIEncoder"]


class OpenAIEncoder(Encoder):
    """Content is the final output alone, and ``reasoning_content`` exact where the reasoning is shown."""

    _summarised: Phase | None = None

    def _say(
        self,
        frames: list[Frame],
        phase: Phase,
        index: int,
        delta: dict[str, Any],
        logprobs: object | None = None,
    ) -> None:
        self._begin(frames, phase)
        frames.append(self._chunk([choice_of(index, delta, logprobs=logprobs)], phase=phase))

    def _summary(self, frames: list[Frame], phase: Phase, line: str) -> None:
        text = "\n" + line
        if phase is not self._summarised:
            if self._summarised is not None:
                # The reasoning itself may have opened the next phase already.
                self._tell(frames, self._order.current or phase, PARAGRAPH)
            self._summarised = phase
            text = PREFIXES[phase] + line
        self._tell(frames, phase, text)

    def _tell(self, frames: list[Frame], phase: Phase, text: str) -> None:
        texts = (
            {"reasoning": text} if self._show_reasoning else {"reasoning_content": text, "reasoning": text}
        )
        self._say(frames, phase, 0, texts)

    def _end(self, frames: list[Frame], choices: list[Choice], **more: object) -> None:
        self._begin(frames, Phase.FINAL_OUTPUT)
        frames.append(self._chunk(choices, **more, phase=Phase.FINAL_OUTPUT))

    def _fail(self, frames: list[Frame], failure: Failure) -> None:
        phase = self._order.late(failure.phase)
        self._begin(frames, phase)
        fields = {**self._failure(failure), "phase": phase}
        frames.append(("message", dumps(fields, ensure_ascii=False)))

    def _begin(self, frames: list[Frame], phase: Phase) -> None:
        """*phase* goes on, or opens; the role comes before everything else."""
        self._order.accept(phase)
        if not self._role_sent:
            self._role_sent = True
            role = {"role": "assistant", "content": ""}
            frames.append(self._chunk([choice_of(0, role)], phase=phase))
