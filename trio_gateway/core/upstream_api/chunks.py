"""Chunks: read events and refusals of an upstream as values.

Servers agree on the frame (``choices[].delta``) and differ in everything around it: reasoning has five
names, an error three shapes, and some answer a request for a stream with one whole ``chat.completion``.
The differences end here. An event is parsed once a token, so the ordinary shape has a short way through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from ..json.scan import JSONScanError, scan_slices
from ..json.slices import SlicedParser
from ..json.strict import StrictJSONError, parse
from .delta_fields import CHUNK_ATTRIBUTES, NOTHING, Aside, PartsError, read_delta
from .half_pairs import calls_with_halves, has_halves
from .inband_errors import MAX_ERROR, InbandError, describe_error_event, describe_http_error, error_in

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
LENIENT_UNDER: Final = frozenset({"logprobs", "prompt_logprobs", "usage"})
"""Below these keys what is no number is read as None: some servers write log probabilities so, and a count
that is none spoils nothing of the answer around it."""
_NO_REASONS: Final = ("", "null")
"""What some servers write for a finish reason while there is none."""

_MAX_CHOICES: Final = 128
"""Choices in one event. A request asks for 8 at most; some servers send an event for several tokens."""
_PIECE: Final = 8 * 1024
"""Characters of text that are read at a time."""

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
    """Output besides text (tool calls, a refusal), as it came. Empty values are left out."""
    logprobs: object | None = None
    finish_reason: str | None = None
    aside: Aside | None = None
    """What else stands in the delta."""
    is_thought: bool = False
    """The upstream says that the text is a thought."""
    is_cut: bool = False
    """Text, reasoning or the arguments of a tool call may end or begin with half of a surrogate pair."""

    @property
    def speaks(self) -> bool:
        """It adds something to the answer, or ends it."""
        aside = self.aside
        thinks = aside is not None and bool(aside.sealed or aside.thoughts)
        return bool(self.text or self.reasoning or self.extra or self.finish_reason or thinks)


class Chunk(Struct, frozen=True):
    """One event of a stream, or a whole answer in one object."""

    choices: list[ChoiceDelta]
    usage: Json | None = None
    attributes: Json | None = None
    """Facts about the answer that stand beside the choices."""

    @property
    def speaks(self) -> bool:
        """It adds something to the answer, or ends it: a role alone does not, nor do facts about it."""
        return any(delta.speaks for delta in self.choices)


def parse_chunk(data: str) -> Chunk | InbandError:
    """Read the data of one event (not ``[DONE]``).

    Raises:
        ProtocolError: it is not strict JSON (but for numbers below ``LENIENT_UNDER``), or has no known shape.
    """
    try:
        chunk = _chunk(_parsed(data))
    except StrictJSONError as error:
        raise ProtocolError(f"{error.path or 'chunk'}: {error.message}") from None
    if has_halves(data) and isinstance(chunk, Chunk):
        return _with_halves(chunk, cast("Chunk", _chunk(_parsed(data, keep_halves=True))))
    return chunk


def _parsed(data: str, *, keep_halves: bool = False) -> object:
    return parse(
        data,
        max_depth=MAX_DEPTH,
        lenient_under=LENIENT_UNDER,
        mend_surrogates=True,
        keep_halves=keep_halves,
    )


def _with_halves(mended: Chunk, halved: Chunk) -> Chunk:
    """*mended* with the texts of *halved*, which are joined with those of the next chunk."""
    choices = [
        replace(
            delta,
            text=other.text,
            reasoning=other.reasoning,
            extra=_extra_with_halves(delta.extra, other.extra),
            is_cut=True,
        )
        for delta, other in zip(mended.choices, halved.choices, strict=True)
    ]
    return replace(mended, choices=choices)


def _extra_with_halves(mended: Json, halved: Json) -> Json:
    if "tool_calls" not in mended:
        return mended
    return {**mended, "tool_calls": calls_with_halves(mended["tool_calls"], halved["tool_calls"])}


def _chunk(value: object) -> Chunk | InbandError:
    if (error := error_in(value)) is not None:
        return error
    if type(value) is not dict:
        raise ProtocolError("chunk: not an object")
    usage = value.get("usage")
    choices = value.get("choices") or []
    if type(choices) is not list:
        raise ProtocolError("choices: not a list")
    if len(choices) > _MAX_CHOICES:
        raise ChoiceError(f"choices: more than {_MAX_CHOICES}")
    return Chunk(
        [_choice(choice, place) for place, choice in enumerate(choices)],
        usage if type(usage) is dict else None,
        _attributes(value),
    )


def _attributes(value: Json) -> Json | None:
    if CHUNK_ATTRIBUTES.isdisjoint(value):
        return None
    return {key: value[key] for key in value if key in CHUNK_ATTRIBUTES and value[key] not in NOTHING} or None


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
    yield Chunk([], chunk.usage, chunk.attributes)


def _cut_delta(delta: ChoiceDelta) -> Iterator[ChoiceDelta]:
    index, text, logprobs = delta.index, delta.text, delta.logprobs
    for start in range(0, len(delta.reasoning), _PIECE):
        yield ChoiceDelta(index, reasoning=delta.reasoning[start : start + _PIECE], is_cut=delta.is_cut)
        if not text:
            logprobs = None  # they are those of the reasoning
    is_thought, is_cut = delta.is_thought, delta.is_cut
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        yield ChoiceDelta(index, piece, logprobs=logprobs, is_thought=is_thought, is_cut=is_cut)
        logprobs = None  # with the beginning of their text, as if it were whole
    yield ChoiceDelta(
        index,
        extra=delta.extra,
        logprobs=logprobs,
        finish_reason=delta.finish_reason,
        aside=delta.aside,
        is_thought=is_thought,
        is_cut=is_cut,
    )


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
                parser = SlicedParser(data, max_depth=MAX_DEPTH, lenient_under=LENIENT_UNDER)
                try:
                    yield from scan_slices(data, max_depth=MAX_DEPTH)
                    yield from parser.slices()
                except (JSONScanError, StrictJSONError) as error:
                    raise ProtocolError(f"chunk: {error}") from None
                self.replaced = parser.replaced
                self.chunk = _chunk(parser.value)
            case "error":
                self.chunk = describe_error_event(data[:MAX_ERROR].decode(errors="replace"))
            case _:
                pass


def _choice(choice: object, place: int) -> ChoiceDelta:
    if type(choice) is not dict:
        raise ProtocolError(f"choices[{place}]: not an object")
    index, reason = choice.get("index"), choice.get("finish_reason")
    if reason in _NO_REASONS:
        reason = None
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
    logprobs, content = choice.get("logprobs"), delta.get("content")
    if type(content) is str and len(delta) == 1:
        return ChoiceDelta(index, content, logprobs=logprobs, finish_reason=reason)
    try:
        fields = read_delta(delta)
    except PartsError as error:
        raise ProtocolError(f"choices[{place}].delta: {error}") from None
    return ChoiceDelta(
        index,
        fields.text,
        fields.reasoning,
        fields.output,
        logprobs,
        reason,
        fields.aside,
        fields.is_thought,
    )


def _numbered(message: object) -> object:
    """A whole message as a delta: the tool calls of a delta are numbered, and each of these is one call."""
    if type(message) is not dict or type(message.get("tool_calls")) is not list:
        return message
    calls = [
        {**call, "index": place} if type(call) is dict else call
        for place, call in enumerate(message["tool_calls"])
    ]
    return {**message, "tool_calls": calls}
