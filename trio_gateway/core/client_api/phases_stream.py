"""Phases format: opens each phase with an event of that name."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Any

from .encoder import Choice, Encoder, choice_of
from .frames import PARAGRAPH, PREFIXES, Frame

if TYPE_CHECKING:
    from ..events import Failure
    from ..phases import Phase

__all__ = ["PhasesEncoder"]


class PhasesEncoder(Encoder):
    """Summaries are content: a client that joins all content shows three paragraphs."""

    _phase_has_text = False

    def _open(self, frames: list[Frame], phase: Phase) -> None:
        before = self._order.current
        if not self._order.accept(phase):
            return
        if before is not None and self._phase_has_text:
            frames.append(self._chunk([choice_of(0, {"content": PARAGRAPH})], phase=before))
        frames.append(("phase", dumps({"phase": phase})))
        self._phase_has_text = False

    def _say(
        self,
        frames: list[Frame],
        phase: Phase,
        index: int,
        delta: dict[str, Any],
        logprobs: object | None = None,
    ) -> None:
        self._open(frames, phase)
        if not self._role_sent:
            self._role_sent = True
            delta = {"role": "assistant", **delta}
        frames.append(self._chunk([choice_of(index, delta, logprobs=logprobs)], phase=phase))

    def _summary(self, frames: list[Frame], phase: Phase, line: str) -> None:
        self._open(frames, phase)
        text = "\n" + line if self._phase_has_text else PREFIXES[phase] + line
        self._phase_has_text = True
        self._say(frames, phase, 0, {"content": text})

    def _end(self, frames: list[Frame], choices: list[Choice], **more: object) -> None:
        frames.append(self._chunk(choices, **more))

    def _fail(self, frames: list[Frame], failure: Failure) -> None:
        frames.append(("error", dumps(self._failure(failure), ensure_ascii=False)))
