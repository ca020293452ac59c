"""What the gateway says, read: wire structs, and the answer they add up to.

Pure: events or bytes in, pieces to show out. It knows no socket, no stream and no terminal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from ..core.client_api import PREFIXES
from ..core.phases import Phase, PhaseOrder, PhaseOrderError
from ..core.sse import DONE, SSEEvent
from ..core.text.control_characters import escape_controls
from ..core.text.token_estimate import text_weight, tokens_of

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "Answer",
    "AnswerFormError",
    "Frame",
    "Piece",
    "decode",
    "to_json",
    "unpack",
]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

T = TypeVar("T")


class AnswerFormError(Exception):
    """The server sent what the format ``phases`` does not allow."""


class Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: Any = None

    @property
    def text(self) -> str:
        return self.content or self.refusal or ""

    @property
    def raw(self) -> str:
        """The reasoning itself, where it was asked for."""
        return self.reasoning_content if isinstance(self.reasoning_content, str) else ""


class Choice(msgspec.Struct):
    delta: Message = msgspec.field(default_factory=Message)
    message: Message = msgspec.field(default_factory=Message)
    finish_reason: str | None = None


class Frame(msgspec.Struct):
    """Any JSON of the gateway: chunk, phase change, error or whole answer."""

    phase: Phase | None = None
    choices: list[Choice] = []
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    phases: dict[Phase, str | None] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to show.

    *opens*: it is the first of its phase; a phase may open with no text yet.
    """

    phase: Phase
    text: str
    opens: bool


@dataclass(slots=True)
class Answer:
    """One answer as far as it has come.

    Feed it events; it gives back what there is to show.
    """

    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False
    _texts: dict[Phase, list[str]] = field(default_factory=lambda: {phase: [] for phase in Phase})
    _weight: int = 0
    _order: PhaseOrder = field(default_factory=PhaseOrder)

    def feed(self, event: SSEEvent) -> Piece | None:
        """Take the next event of a stream.

        Raises:
            AnswerFormError: it is not JSON of the gateway, or its phase is out of order.
        """
        if self.done or event.data == DONE:
            self.done = True
            return None
        frame = self._settle(event.data)
        text = "".join(choice.delta.text for choice in frame.choices)
        raw = "".join(choice.delta.raw for choice in frame.choices)
        self._weight += text_weight(raw + text if frame.phase is Phase.FINAL_OUTPUT else raw)
        if frame.phase is None:
            if text:
                raise AnswerFormError("text outside of a phase: is this the gateway, not a model's server?")
            return None
        try:
            opens = self._order.accept(frame.phase)
        except PhaseOrderError as exc:
            raise AnswerFormError(str(exc)) from exc
        if event.event == "phase" and not opens:
            raise AnswerFormError(f"phase {frame.phase} came twice")
        return self._piece(frame.phase, text, opens=opens)

    def take_whole(self, body: bytes) -> list[Piece]:
        """Take an answer that was not streamed.

        Raises:
            AnswerFormError: it is not JSON of the gateway.
        """
        frame = self._settle(body)
        self.done = True
        texts = {phase: PREFIXES[phase] + text for phase, text in frame.phases.items() if text}
        texts[Phase.FINAL_OUTPUT] = "".join(choice.message.text for choice in frame.choices)
        return [self._piece(phase, texts[phase], opens=True) for phase in Phase if texts.get(phase)]

    def fail(self, code: str, message: str) -> None:
        """Note a failure found on this side. The first error stands: what follows is its consequence."""
        self.error = self.error or {"message": message, "type": "client_error", "param": None, "code": code}

    @property
    def content(self) -> str:
        """The final output, exactly."""
        return "".join(self._texts[Phase.FINAL_OUTPUT])

    @property
    def tokens(self) -> int:
        """About how many tokens of reasoning and output have come so far."""
        return tokens_of(self._weight)

    @property
    def exit_code(self) -> int:
        if self.error is None:
            return OK
        return INTERRUPTED if self.error.get("code") == "interrupted" else FAILED

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: summaries without their prefixes, null what did not come."""
        return {
            "prompt_summary": self._summary(Phase.PROMPT_SUMMARY),
            "reasoning_summary": self._summary(Phase.REASONING_SUMMARY),
            "content": self.content,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "error": self.error,
        }

    def _settle(self, data: str | bytes) -> Frame:
        frame = decode(data, Frame)
        self.error = self.error or frame.error
        self.usage = frame.usage or self.usage
        for choice in frame.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason
        return frame

    def _piece(self, phase: Phase, text: str, *, opens: bool) -> Piece:
        self._texts[phase].append(text)
        return Piece(phase, text, opens)

    def _summary(self, phase: Phase) -> str | None:
        return "".join(self._texts[phase]).removeprefix(PREFIXES[phase]).strip() or None


class Envelope(msgspec.Struct):
    """A WebSocket message: an event, and its data as it stands in a stream."""

    event: str
    data: msgspec.Raw


def unpack(message: bytes) -> SSEEvent:
    envelope = decode(message, Envelope)
    data = bytes(envelope.data).decode()
    return SSEEvent(envelope.event, DONE if data == f'"{DONE}"' else data)


def decode(data: str | bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise AnswerFormError(f"this is not an answer of the gateway: {exc}") from exc


def to_json(value: object, *, indent: int | None = None) -> bytes:
    """*value* as JSON, its control characters escaped: a saved conversation may be shown on a terminal."""
    text = escape_controls(json.dumps(value, ensure_ascii=False, indent=indent))
    # "replace": bytes of the command line that are not UTF-8 are lone surrogates here.
    return text.encode("utf-8", "replace")
