"""Chunks: read events and refusals of an upstream as values.

Servers agree on the frame (``choices[].delta``) and differ in everything around it: reasoning has five
names, an error three shapes, and some answer a request for a stream with one whole ``chat.completion``.
The differences end here. An event is parsed once a token, so the ordinary shape has a short way through.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from ..budgets.weight import weigh
from ..errors import clean_text
from ..json.scan import JSONScanError, scan_slices
from ..json.slices import SlicedParser
from ..json.strict import StrictJSONError, dumps, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..sse import SSEEvent

__all__ = [
    "LENIENT_UNDER",
    "MAX_DEPTH",
    "ChoiceDelta",
    "ChoiceError",
    "Chunk",
    "InbandError",
    "LargeEvent",
    "ProtocolError",
    "cut_chunk",
    "describe_error_event",
    "describe_http_error",
    "parse_chunk",
    "read_event",
]

MAX_DEPTH: Final = 128
"""Levels of an event's lists and objects."""
LENIENT_UNDER: Final = "logprobs"
"""Below this key ``NaN`` is read as None: some servers write log probabilities so."""
_REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_USAGE: Final = "usage"
_NOT_EXTRA: Final = frozenset({"role", "content", *_REASONING_FIELDS})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})

_MAX_MESSAGE: Final = 4096
"""Characters kept of an error's message: more than a client is shown, so that whoever shortens it can find
keys in it first."""
_MAX_NAME: Final = 128
_MAX_ERROR: Final = 64 * 1024
"""Characters, or weight, of an error that are looked at."""
_MAX_CHOICES: Final = 128
"""Choices in one event. A request asks for 8 at most; some servers send an event for several tokens."""
_MAX_PARTS: Final = 10_000
"""Parts of a content or reasoning list, nested ones included."""
_PIECE: Final = 8 * 1024
"""Characters of text that are read at a time."""

_STATUS_FIELDS: Final = ("status", "status_code", "http_status_code", "code")

Json = dict[str, Any]


class ProtocolError(ValueError):
    """The data is no chunk of any known shape."""


class ChoiceError(ProtocolError):
    """More choices came than the client has asked for."""


class ChoiceDelta(Struct, frozen=True):
    """What one chunk adds to one choice."""

    index: int = 0
    text: str = ""
    """Content, reasoning that stands in its text included."""
    reasoning: str = ""
    """Reasoning from a field of its own."""
    extra: Json = {}
    """All else that belongs to the answer (tool calls, a refusal), as it came. Empty values are left out."""
    logprobs: object | None = None
    finish_reason: str | None = None


class Chunk(Struct, frozen=True):
    """One event of a stream, or a whole answer in one object."""

    choices: list[ChoiceDelta]
    usage: Json | None = None


class InbandError(Struct, frozen=True):
    """An error as the upstream told it."""

    message: str
    """On one line, without control characters; it may be long and may hold a key: clean it again with the
    keys at hand before it is shown."""
    code: str | None = None
    """Its name for the error. A number is read as a status instead."""
    type: str | None = None
    param: str | None = None
    status: int | None = None
    """The HTTP status it stands for, if the upstream says."""


def parse_chunk(data: str) -> Chunk | InbandError:
    """Read the data of one event (not ``[DONE]``).

    Raises:
        ProtocolError: it is not strict JSON (but ``NaN`` passes as None in ``logprobs`` and ``usage``), or
            has no known shape.
    """
    try:
        value = _parsed(data)
    except StrictJSONError as error:
        raise ProtocolError(f"{error.path or 'chunk'}: {error.message}") from None
    return _chunk(value)


def _chunk(value: object) -> Chunk | InbandError:
    if type(value) is not dict:
        raise ProtocolError("chunk: not an object")
    if value.get("error") or value.get("object") == "error":
        return _told(value, "no reason given")
    usage = value.get("usage")
    choices = value.get("choices") or []
    if type(choices) is not list:
        raise ProtocolError("choices: not a list")
    if len(choices) > _MAX_CHOICES:
        raise ChoiceError(f"choices: more than {_MAX_CHOICES}")
    return Chunk(
        [_choice(choice, place) for place, choice in enumerate(choices)],
        usage if type(usage) is dict else None,
    )


def _parsed(data: str) -> Any:  # noqa: ANN401  (as ``parse``)
    try:
        return parse(data, max_depth=MAX_DEPTH, lenient_under=LENIENT_UNDER, mend_surrogates=True)
    except StrictJSONError as error:
        if not error.path.startswith("usage."):
            raise
    # A count that is no number is not counted; it spoils nothing of the answer around it.
    return parse(data, max_depth=MAX_DEPTH, lenient_under=_USAGE, mend_surrogates=True)


def cut_chunk(chunk: Chunk) -> Iterable[Chunk]:
    """*chunk*, or several that amount to the same, none of which has more than 8 Ki characters of text.

    Splitting and summarising a text takes its time, and other tasks can run between two chunks only.
    """
    for delta in chunk.choices:
        if len(delta.text) + len(delta.reasoning) > _PIECE:
            return _cut(chunk)
    return (chunk,)  # nearly every time, hence no generator


def _cut(chunk: Chunk) -> Iterator[Chunk]:
    for delta in chunk.choices:
        yield from (Chunk([part]) for part in _cut_delta(delta))
    yield Chunk([], chunk.usage)


def _cut_delta(delta: ChoiceDelta) -> Iterator[ChoiceDelta]:
    index, text, logprobs = delta.index, delta.text, delta.logprobs
    for start in range(0, len(delta.reasoning), _PIECE):
        yield ChoiceDelta(index, reasoning=delta.reasoning[start : start + _PIECE])
        if not text:
            logprobs = None  # they are those of the reasoning
    for start in range(0, len(text), _PIECE):
        yield ChoiceDelta(index, text[start : start + _PIECE], logprobs=logprobs)
        logprobs = None  # with the beginning of their text, as if it were whole
    yield ChoiceDelta(index, extra=delta.extra, logprobs=logprobs, finish_reason=delta.finish_reason)


def describe_http_error(status: int, body: bytes) -> InbandError:
    """The error in a refusal's *body*: an object, or a line of text. Of a page nothing is told on."""
    told = _described(body.decode(errors="replace"), f"status {status}")
    return InbandError(told.message, told.code, told.type, told.param, status)


def read_event(event: SSEEvent) -> Chunk | InbandError | None:
    """What an event of a stream says; None for one of the upstream's own kind, which is none of ours, and for
    an empty one.

    Raises:
        ProtocolError: it is no chunk.
    """
    if event.event not in {"message", "error"} or not event.data.strip():
        return None
    return describe_error_event(event.data) if event.event == "error" else parse_chunk(event.data)


class LargeEvent:
    """A large event, read in slices: exhaust :meth:`slices`, then take ``chunk``, as of ``read_event``.

    *event* is one whose data the decoder has left undecoded.
    """

    def __init__(self, event: SSEEvent) -> None:
        self._event = event
        self.chunk: Chunk | InbandError | None = None
        self.replaced = 0
        """Ill-formed UTF-8 sequences that became U+FFFD."""

    def slices(self) -> Iterator[None]:
        """Read the event; yield after each slice of bounded work.

        Raises:
            ProtocolError: it is no chunk, or has more values than may be parsed.
        """
        data = self._event.raw
        match self._event.event:
            case "message":
                parser = SlicedParser(data, max_depth=MAX_DEPTH, lenient_under={LENIENT_UNDER, _USAGE})
                try:
                    yield from scan_slices(data, max_depth=MAX_DEPTH)
                    yield from parser.slices()
                except (JSONScanError, StrictJSONError) as error:
                    raise ProtocolError(f"chunk: {error}") from None
                self.replaced = parser.replaced
                self.chunk = _chunk(parser.value)
            case "error":
                self.chunk = describe_error_event(data[:_MAX_ERROR].decode(errors="replace"))
            case _:
                pass


def describe_error_event(data: str) -> InbandError:
    """The error in the data of an event named ``error``, which may be an object or a line of text."""
    return _described(data, "an error without a message")


def _described(text: str, unsaid: str) -> InbandError:
    text = text.strip()
    try:
        value = parse(text, max_depth=MAX_DEPTH, mend_surrogates=True)
    except StrictJSONError:  # a proxy's page or a plain line: the client gets the line, or that there is none
        value = None if text.startswith("<") else text
    if type(value) is list and value:
        value = value[0]  # some servers put the object in a list
    return _told(value if type(value) is dict else {"error": value}, unsaid)


def _choice(choice: object, place: int) -> ChoiceDelta:
    if type(choice) is not dict:
        raise ProtocolError(f"choices[{place}]: not an object")
    index, reason = choice.get("index"), choice.get("finish_reason") or None
    if index is None:
        index = place
    if type(index) is not int or index < 0:
        raise ProtocolError(f"choices[{place}].index: not a number from 0 on")
    if not (reason is None or type(reason) is str):
        raise ProtocolError(f"choices[{place}].finish_reason: not a string")
    delta = choice.get("delta")
    if delta is None:
        delta = _numbered(choice.get("message"))
    delta = delta or {}
    if type(delta) is not dict:
        raise ProtocolError(f"choices[{place}].delta: not an object")
    text, reasoning, extra = _delta(delta, place)
    return ChoiceDelta(index, text, reasoning, extra, choice.get("logprobs"), reason)


def _delta(delta: Json, place: int) -> tuple[str, str, Json]:
    """Text, reasoning and all else."""
    content, thoughts = delta.get("content"), ""
    if type(content) is str and len(delta) == 1:
        return content, "", {}
    if type(content) is list:
        content, thoughts = _parts(content)
    if not (content is None or type(content) is str):
        raise ProtocolError(f"choices[{place}].delta.content: not a string or a list of parts")
    extra = {key: value for key, value in delta.items() if key not in _NOT_EXTRA and value not in _NOTHING}
    return content or "", _reasoning(delta) or thoughts, extra


def _numbered(message: object) -> object:
    """A whole message as a delta: the tool calls of a delta are numbered, and each of these is one call."""
    if type(message) is not dict or type(message.get("tool_calls")) is not list:
        return message
    calls = [
        {**call, "index": place} if type(call) is dict else call
        for place, call in enumerate(message["tool_calls"])
    ]
    return {**message, "tool_calls": calls}


def _reasoning(delta: Json) -> str:
    """The first field that says something: some servers send the same text under two names."""
    for field in _REASONING_FIELDS:
        if text := _text_of(delta.get(field)):
            return text
    return ""


def _parts(content: list[object]) -> tuple[str, str]:
    """Text and thoughts of a content list."""
    parts = [part for part in content if type(part) is dict]
    thoughts = _text_of([part.get("thinking") for part in parts if part.get("type") == "thinking"])
    text = _text_of([part.get("text") for part in parts if part.get("type") != "thinking"])
    return text, thoughts


def _text_of(value: object) -> str:
    """A string, or the strings in a list of them and of objects with ``text`` or ``summary``, in their order.

    Raises:
        ProtocolError: the list has more parts than are looked at.
    """
    if type(value) is str:
        return value
    texts: list[str] = []
    waiting, seen = [value], 0
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            item = item.get("text") or item.get("summary")
        if type(item) is str:
            texts.append(item)
        elif type(item) is list:
            seen += len(item)
            if seen > _MAX_PARTS:
                raise ProtocolError(f"choices: a text of more than {_MAX_PARTS} parts")
            waiting += reversed(item)
    return "".join(texts)


def _told(value: Json, unsaid: str) -> InbandError:
    """The error in one of the shapes ``{"error": {…}}``, ``{"error": "…"}`` and ``{"message": …}``."""
    error = value.get("error")
    told = {**value, **error} if type(error) is dict else {**value, "message": error or value.get("message")}
    message = next((told[key] for key in ("message", "msg", "detail") if told.get(key)), unsaid)
    if type(message) is not str:
        is_shown = type(message) is not bool and weigh(message, limit=_MAX_ERROR) <= _MAX_ERROR
        message = dumps(message) if is_shown else unsaid
    return InbandError(
        clean_text(message[:_MAX_ERROR], _MAX_MESSAGE) or unsaid,
        _name(told.get("code")),
        _name(told.get("type") or told.get("error_type")),
        _name(told.get("param")),
        next(filter(None, (_status(told.get(key)) for key in _STATUS_FIELDS)), None),
    )


def _name(value: object) -> str | None:
    if type(value) is not str or value.isdigit():
        return None
    return clean_text(value[:_MAX_ERROR], _MAX_NAME) or None


def _status(value: object) -> int | None:
    """An HTTP status as a number or a string; of five digits (40301 and the like) the first three are one."""
    if type(value) not in {int, str} or not re.fullmatch(r"[45]\d\d(?:\d\d)?", str(value), re.ASCII):
        return None
    return int(str(value)[:3])
