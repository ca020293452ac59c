"""What was said so far, and the request that says it.

It knows JSON, but no file and no network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from .received import decode

__all__ = ["Transcript"]


class Saved(msgspec.Struct):
    """What ``/load`` takes: as much of a request's body as ``/save`` writes."""

    messages: list[dict[Literal["role", "content"], str]]
    model: str = ""


@dataclass(slots=True)
class Transcript:
    """The system message and the turns so far, final outputs only."""

    model: str
    system: str | None
    turns: list[dict[Literal["role", "content"], str]] = field(default_factory=list)

    @property
    def body(self) -> dict[str, Any]:
        """A request's body as far as the conversation goes; what ``/save`` writes."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {"model": self.model, "messages": [*system, *self.turns]}

    def request(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """The request that asks *prompt* after all that went before."""
        body = self.body
        body["messages"].append({"role": "user", "content": prompt})
        return body | {"stream": stream} | ({"stream_options": {"include_usage": True}} if stream else {})

    def keep(self, prompt: str, content: str) -> None:
        """Add a turn, if there was an answer at all."""
        if content:
            self.turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": content}]

    def load(self, saved: bytes) -> None:
        """Put what was saved in the place of what was said so far.

        Raises:
            AnswerFormError: it is no conversation.
        """
        body = decode(saved, Saved)
        self.turns, self.model = body.messages, body.model or self.model
        has_system = bool(self.turns) and self.turns[0].get("role") == "system"
        self.system = self.turns.pop(0).get("content") if has_system else None
