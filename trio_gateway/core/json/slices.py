"""JSON in slices: a parser and a writer whose work other tasks can interrupt.

The usual decoders and encoders run to their end in one call and hold the interpreter's lock meanwhile, up to
120 ms for 16 MiB, so that neither a thread nor a checkpoint helps. Here a slice takes about 1 ms. The price
is 3 µs a value, so these are for large texts only; :mod:`.strict` is for all others, and its rules hold
here.
"""

from __future__ import annotations

import re
from itertools import islice
from json.decoder import scanstring  # type: ignore[attr-defined]  # undocumented, but public by its name
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from .strict import StrictJSONError, dumps

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator

__all__ = ["Fragment", "SlicedParser", "json_parts", "list_parts", "string_parts"]

_WINDOW: Final = 32 * 1024
"""Bytes of a string decoded, or characters of one encoded, at a time; also the longest run of whitespace."""
_TOKENS: Final = 250
"""Values, keys and ends of containers that are read, or values that are written, in a slice."""
_RUN: Final = 100
"""Items of a list that are written in one call, if they are small."""
_MAX_DIGITS: Final = 100
_MAX_FLOAT: Final = 1000

_SPACE = re.compile(rb"[ \t\n\r]{0,32768}+")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,1000}+)(\.[0-9]{1,1000}+)?+([eE][-+]?[0-9]{1,1000}+)?+")
_CHARACTERS = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_WORDS: Final = ((b"true", True), (b"false", False), (b"null", None))
_CONSTANTS: Final = (b"NaN", b"Infinity", b"-Infinity")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"
_QUOTE, _COMMA, _COLON, _OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = b'",:[]{}'

_Container: TypeAlias = "list[Any] | dict[str, Any]"


class SlicedParser:
    """Parses one text. Exhaust :meth:`slices`, then take ``value``.

    *data* is UTF-8; ill-formed sequences in strings become U+FFFD, and ``replaced`` counts them. The rules
    for depth, for ``NaN`` below the keys *lenient_under* and for lone surrogates, which are mended, are those
    of :func:`.strict.parse`; beyond them more than 32 KiB of whitespace in one place are refused.
    """

    __slots__ = ("_at", "_data", "_lenient_under", "_max_depth", "_text", "replaced", "value")

    def __init__(self, data: bytes | bytearray, *, max_depth: int, lenient_under: Collection[str]) -> None:
        self._data = data
        self._at = 0
        self._text = ""  # the string that was read last
        self._max_depth = max_depth
        self._lenient_under = lenient_under
        self.value: Any = None
        self.replaced = 0

    def slices(self) -> Iterator[None]:
        """Parse the text; yield after each slice.

        Raises:
            StrictJSONError: it is no JSON, or refused.
        """
        spent = 0
        for cost in self._read():
            spent += cost
            if spent >= _TOKENS:
                spent = 0
                yield

    def _read(self) -> Iterator[int]:
        """Parse the text, yielding what each step has cost in tokens."""
        root: list[Any] = []
        containers: list[_Container] = [root]
        lenient = [False]
        while len(containers) > 1 or not root:
            container, byte = containers[-1], self._next_byte()
            if byte == (_CLOSE_LIST if type(container) is list else _CLOSE_OBJECT) and container is not root:
                self._at += 1
                containers.pop()
                lenient.pop()
                yield 1
                continue
            if container:
                self._take(_COMMA)
            key = (yield from self._key(container)) if type(container) is dict else None
            below = lenient[-1] or key in self._lenient_under
            value = yield from self._value(lenient=below)
            _attach(container, key, value)
            if type(value) is list or type(value) is dict:
                containers.append(value)
                lenient.append(below)
                if len(containers) > self._max_depth + 1:
                    raise StrictJSONError(f"more than {self._max_depth} levels of nesting")
            yield 1
        if self._next_byte() is not None:
            raise self._invalid()
        (self.value,) = root

    def _key(self, container: dict[str, Any]) -> Generator[int, None, str]:
        """Read a key of *container* and its colon."""
        self._take(_QUOTE)
        yield from self._string()
        if self._text in container:
            raise StrictJSONError("a duplicate key")
        key = self._text
        self._take(_COLON)
        yield 1
        return key

    def _value(self, *, lenient: bool) -> Generator[int, None, Any]:
        """Read a scalar, or the beginning of a container."""
        match self._next_byte():
            case 0x22:
                self._at += 1
                yield from self._string()
                return self._text
            case 0x5B:
                self._at += 1
                return []
            case 0x7B:
                self._at += 1
                return {}
            case _:
                return self._scalar(lenient=lenient)

    def _scalar(self, *, lenient: bool) -> object:
        number = _NUMBER.match(self._data, self._at)
        if number is not None:
            self._at = number.end()
            return _number(number[0], is_float=bool(number[1] or number[2]), lenient=lenient)
        for word, value in _WORDS:
            if self._data.startswith(word, self._at):
                self._at += len(word)
                return value
        for word in _CONSTANTS:
            if self._data.startswith(word, self._at):
                if not lenient:
                    raise StrictJSONError(f"{word.decode()} at byte {self._at}")
                self._at += len(word)
                return None
        raise self._invalid()

    def _string(self) -> Iterator[int]:
        """Read a string, whose opening quote has been taken, into ``_text``."""
        parts: list[str] = []
        carried = b""  # the first half of a surrogate pair, as an escape
        closed = False
        while not closed:
            end = _end(_CHARACTERS.match(self._data, self._at, self._at + _WINDOW))
            closed = self._data[end : end + 1] == b'"'
            end = end if closed else self._character_start(end)
            if end == self._at and not closed:
                raise self._invalid()
            text = self._decoded(carried + self._data[self._at : end])
            self._at = end + closed
            carried = b""
            if not closed:
                yield _TOKENS
                if "\ud800" <= text[-1] <= "\udbff":
                    carried, text = b"\\u%x" % ord(text[-1]), text[:-1]
            parts.append(text if text.isascii() else _LONE_SURROGATE.sub(_REPLACEMENT, text))
        self._text = "".join(parts)

    def _character_start(self, end: int) -> int:
        """*end*, or up to three bytes before it, so that no character is cut in two."""
        for place in range(end, max(self._at, end - 4), -1):
            if place < len(self._data) and self._data[place] & 0xC0 != 0x80:
                return place
        return end

    def _decoded(self, raw: bytes) -> str:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode(errors="replace")
            self.replaced += text.count(_REPLACEMENT) - raw.count(_REPLACEMENT.encode())
        return str(scanstring(f'"{text}"', 1)[0]) if b"\\" in raw else text

    def _next_byte(self) -> int | None:
        """The byte behind whitespace, which is skipped; None at the end."""
        self._at = _end(_SPACE.match(self._data, self._at))
        return self._data[self._at] if self._at < len(self._data) else None

    def _take(self, byte: int) -> None:
        if self._next_byte() != byte:
            raise self._invalid()
        self._at += 1

    def _invalid(self) -> StrictJSONError:
        return StrictJSONError(f"invalid JSON (at byte {self._at})")


def _end(found: re.Match[bytes] | None) -> int:
    """The end of what a pattern has found that matches everywhere, though it may be nothing."""
    return cast("re.Match[bytes]", found).end()


def _attach(container: _Container, key: str | None, value: object) -> None:
    if isinstance(container, dict):
        container[cast("str", key)] = value
    else:
        container.append(value)


def _number(digits: bytes, *, is_float: bool, lenient: bool) -> float | None:
    if is_float and len(digits) <= _MAX_FLOAT:
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            if lenient:
                return None
            raise StrictJSONError("a number that is too large")
        return number
    if is_float or len(digits) > _MAX_DIGITS:
        raise StrictJSONError(f"a number of {len(digits)} characters")
    return int(digits)


class Fragment(Protocol):
    """Stands for a JSON value that is kept in a form of its own."""

    def json_parts(self) -> Iterator[str]:
        """The JSON text of the value; each part takes a bounded amount of work."""


def json_parts(value: object) -> Iterator[str]:
    """The JSON text of *value* as :func:`.strict.dumps` writes it, in parts of bounded work.

    Anywhere in it a :class:`Fragment` may stand for a value.
    """
    waiting: list[str] = []
    size = 0
    for part in _written(value):
        waiting.append(part)
        size += len(part) + _WINDOW // _TOKENS
        if size >= _WINDOW:
            yield "".join(waiting)
            waiting.clear()
            size = 0
    yield "".join(waiting)


def string_parts(text: str) -> Iterator[str]:
    """The JSON text of a string, in parts of bounded work."""
    yield '"'
    for start in range(0, len(text), _WINDOW):
        yield encode_basestring(text[start : start + _WINDOW])[1:-1]
    yield '"'


def list_parts(items: Iterable[object]) -> Iterator[str]:
    """The JSON text of a list, in parts of bounded work; *items* are taken one by one."""
    return _joined(map(_written, items), "[]")


def _written(value: object) -> Iterator[str]:
    if _is_small(value):
        yield dumps(value)
        return
    match value:
        case str():
            yield from string_parts(value)
        case list():
            yield from _joined(_items(value), "[]")
        case dict():
            yield from _joined(_members(value), "{}")
        case _:
            yield from cast("Fragment", value).json_parts()


def _is_small(value: object) -> bool:
    """Whether *value* is written in one call."""
    left, waiting = _WINDOW, [value]
    while waiting and left > 0:
        item = waiting.pop()
        left -= _WINDOW // _TOKENS
        match item:
            case str():
                left -= len(item)
            case list():
                left -= len(item)
                waiting += item[:_TOKENS]
            case dict():
                left -= sum(map(len, islice(item, _TOKENS))) + len(item)
                waiting += islice(item.values(), _TOKENS)
            case None | int() | float():
                pass
            case _:
                return False
    return left > 0


def _items(items: list[Any]) -> Iterator[Iterator[str]]:
    for start in range(0, len(items), _RUN):
        run = items[start : start + _RUN]
        if _is_small(run):
            yield iter((dumps(run)[1:-1],))
        else:
            yield from map(_written, run)


def _members(members: dict[str, Any]) -> Iterator[Iterator[str]]:
    return map(_member, members.items())


def _member(member: tuple[str, Any]) -> Iterator[str]:
    key, value = member
    yield from _written(key)
    yield ": "
    yield from _written(value)


def _joined(parts: Iterator[Iterator[str]], brackets: str) -> Iterator[str]:
    yield brackets[0]
    separator = ""
    for part in parts:
        yield separator
        yield from part
        separator = ", "
    yield brackets[1]
