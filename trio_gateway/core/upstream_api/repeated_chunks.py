"""Recogniser of stream events that repeat an earlier one but for their text.

An upstream writes almost every event of a stream with the same bytes around one changing string::

    {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"…"}}]}

Parsing such an event strictly takes about 10 µs, comparing it with an earlier one less than one. The
recogniser keeps what stands before and after the text of an event that was parsed strictly. An event that
begins and ends with the same characters, and has nothing but the inside of one JSON string between them, has
the same structure: the checks for duplicate keys, numbers and depth hold for it as they did for the first
one."""

from __future__ import annotations

from json import JSONDecoder
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from .chunks import ChoiceDelta, Chunk

if TYPE_CHECKING:
    from ..sse import SSEEvent

__all__ = ["RepeatedChunks"]

_MOST_SHAPES: Final = 4
"""Shapes kept for one stream: one for reasoning and one for output, of each of a few choices."""
_LONGEST_SHAPE: Final = 4096
"""Characters around the text; events with more in them are parsed each time."""
_TEXT_KEYS: Final = ("content", "reasoning_content", "reasoning")
_STRICT: Final = JSONDecoder()
_SURROGATE_ESCAPES: Final = ("\\ud", "\\uD")


class _Shape(Struct, frozen=True):
    """Characters around the text of an event, and the choice it adds to."""

    before: str
    after: str
    index: int
    is_reasoning: bool


class RepeatedChunks:
    """The shapes of one stream's events.

    Feed it every event, and every chunk that was parsed from one.
    """

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []

    def recognise(self, event: SSEEvent) -> Chunk | None:
        """The chunk in *event* if it repeats an earlier one but for its text; None: it must be parsed."""
        data = event.data
        for shape in self._shapes:
            if data.startswith(shape.before) and data.endswith(shape.after) and event.event == "message":
                text = _inside(data, len(shape.before), len(data) - len(shape.after))
                if text:
                    return Chunk([_delta(shape, text)])
        return None

    def learn(self, event: SSEEvent, chunk: Chunk) -> None:
        """Remember the shape of *event*, which was parsed strictly as *chunk*, if it may come again."""
        shape = _shape_of(event, chunk)
        if shape is not None and shape not in self._shapes:
            self._shapes = [shape, *self._shapes[: _MOST_SHAPES - 1]]


def _delta(shape: _Shape, text: str) -> ChoiceDelta:
    if shape.is_reasoning:
        return ChoiceDelta(shape.index, reasoning=text)
    return ChoiceDelta(shape.index, text)


def _inside(data: str, start: int, end: int) -> str:
    """The text of the JSON string whose inside is ``data[start:end]``; empty where that is no such inside."""
    raw = data[start:end] if end > start else ""
    if "\\" not in raw:
        return raw if '"' not in raw and raw.isprintable() else ""
    if any(escape in raw for escape in _SURROGATE_ESCAPES):
        return ""  # half of a pair, perhaps, which the strict parser replaces
    try:
        text, stop = _STRICT.raw_decode(f'"{raw}"')
    except ValueError:  # a control character or an unknown escape, which the strict parser refuses
        return ""
    return str(text) if stop == len(raw) + 2 else ""


def _shape_of(event: SSEEvent, chunk: Chunk) -> _Shape | None:
    """The shape of an event that holds one piece of text and nothing else."""
    if event.event != "message" or chunk.usage is not None or len(chunk.choices) != 1:
        return None
    (choice,) = chunk.choices
    text = choice.text or choice.reasoning
    if choice != ChoiceDelta(choice.index, choice.text, choice.reasoning) or not text:
        return None
    if choice.text and choice.reasoning:
        return None
    data = event.data
    for key in _TEXT_KEYS if choice.reasoning else _TEXT_KEYS[:1]:
        at = data.find(f'"{key}"')
        # A key that stands twice may be another object's. A quote inside a string would be escaped, so what
        # is found is a key or a value of its own.
        if at < 0 or data.find(f'"{key}"', at + 1) >= 0:
            continue
        start = data.find('"', at + len(key) + 2) + 1
        if data[at + len(key) + 2 : start - 1].strip() != ":":
            continue
        found, stop = _STRICT.raw_decode(data, start - 1)
        if found == text and len(data) - (stop - start) <= _LONGEST_SHAPE:
            return _Shape(data[:start], data[stop - 1 :], choice.index, bool(choice.reasoning))
    return None
