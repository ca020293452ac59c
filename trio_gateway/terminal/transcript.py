"""The conversation so far, and the request made of it.

It knows JSON, but no file and no network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from .received import decode

__all__ = ["Content", "Transcript", "text_of"]

Content: TypeAlias = str | list[dict[str, Any]]
"""A message's content: text, or a list of parts as the API has them, text among them."""
Turn: TypeAlias = dict[Literal["role", "content"], Content]


class Saved(msgspec.Struct):
    """What ``/load`` takes: as much of a request's body as ``/save`` writes."""

    messages: list[Turn]
    model: str = ""


def text_of(content: Content) -> str:
    """The text of *content*, without its images."""
    if isinstance(content, str):
        return content
    return "\n\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


@dataclass(slots=True)
class Transcript:
    """Transcript: the system message and the turns so far, final outputs only."""

    model: str
    system: str | None
    turns: list[Turn] = field(default_factory=list)
    _unanswered: Content | None = None

    @property
    def body(self) -> dict[str, Any]:
        """A request's body as far as the conversation goes; what ``/save`` writes."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {"model": self.model, "messages": [*system, *self.turns]}

    @property
    def question(self) -> Content | None:
        """What was asked last, whether or not there was an answer."""
        if self._unanswered is not None:
            return self._unanswered
        return next(
            (turn.get("content", "") for turn in reversed(self.turns) if turn.get("role") == "user"), None
        )

    @property
    def answer(self) -> str:
        """The last answer; empty where there is none."""
        last = next((turn for turn in reversed(self.turns) if turn.get("role") == "assistant"), None)
        return text_of(last.get("content", "")) if last else ""

    def request(self, prompt: Content, *, stream: bool) -> dict[str, Any]:
        """The request that asks *prompt* after all that went before."""
        self._unanswered = prompt
        body = self.body
        body["messages"].append({"role": "user", "content": prompt})
        return body | {"stream": stream} | ({"stream_options": {"include_usage": True}} if stream else {})

    def keep(self, prompt: Content, content: str) -> None:
        """Add a turn, if there was an answer at all."""
        if content:
            self.turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": content}]
            self._unanswered = None

    def retract(self) -> None:
        """Forget the last question and its answer: it is going to be asked anew."""
        if self._unanswered is None:
            while self.turns and self.turns.pop().get("role") != "user":
                pass
        self._unanswered = None

    def clear(self) -> None:
        """Forget all turns; the system message stays."""
        self.turns.clear()
        self._unanswered = None

    def load(self, saved: bytes) -> None:
        """Put what was saved in the place of the conversation so far.

        Raises:
            AnswerFormError: it is no conversation.
        """
        body = decode(saved, Saved)
        self.clear()
        self.turns, self.model = body.messages, body.model or self.model
        has_system = bool(self.turns) and self.turns[0].get("role") == "system"
        self.system = text_of(self.turns.pop(0).get("content", "")) if has_system else None
