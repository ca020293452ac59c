"""JSON without its traps: what one reader takes and the next one takes differently is refused.

Python's own parser takes duplicate keys, ``NaN`` and numbers that overflow, lets lone surrogates
through until they are written again, and overflows its stack on deep input. Here all of that is an
error with its place, or is mended where the caller says so.

How: the usual document goes once through the C scanner with hooks that raise. Only after one of them
has raised is it read again with hooks that leave a :class:`_Flaw` in the value instead, and the value is
walked to find where. Depth is counted beforehand, so the scanner never recurses further than allowed.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder, JSONEncoder
from typing import Any, Final, NoReturn

from msgspec import Struct

__all__ = ["StrictJSONError", "dumps", "parse"]

_MAX_DIGITS: Final = 100
"""Digits of the longest integer taken; Python needs quadratic time for them."""
_WHITESPACE: Final = " \t\r\n"

# Strings, then what opens and what closes. Possessive, so that one long string costs one pass and no stack.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[{])|([\]}])', re.DOTALL)
_Path = tuple[str | int, ...]
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class StrictJSONError(ValueError):
    """Not JSON, or refused. ``message`` is what was found, ``path`` where, as in ``messages[2].content``."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class _Flaw(Struct, frozen=True):
    """Stands in a value for something that is refused."""

    message: str
    key: str | None = None
    """The doubled key, where that is what is wrong with the object in this place."""
    is_constant: bool = False
    """It was ``NaN`` or an infinity written out."""


class _FlawFoundError(Exception):
    """Raised by the hooks of the first reading."""


def parse(
    text: str | bytes, *, max_depth: int = 64, lenient_under: str | None = None, mend_surrogates: bool = False
) -> Any:  # noqa: ANN401 -- what the text says is the caller's to check
    """The value of one JSON text. A *text* that is ``str`` already must have come from a UTF-8 decoder.

    *max_depth* bounds the nesting of objects and lists. Anywhere below a key *lenient_under*, ``NaN`` and the
    infinities are read as None (some servers write log probabilities so). *mend_surrogates* reads lone
    surrogates as U+FFFD instead of refusing them.

    Raises:
        StrictJSONError: anything else.
    """
    text = _decoded(text)
    if text.count("[") + text.count("{") > max_depth and _is_deeper(text, max_depth):
        raise StrictJSONError(f"more than {max_depth} levels of nesting")
    try:
        value = _scan(_STRICT, text)
    except _FlawFoundError:
        value = _scan(_FLAWED, text)
    else:
        if not _SURROGATE_ESCAPE.search(text):  # most often half of a pair, which the scanner has joined
            return value
    return _Mender(lenient_under, mend_surrogates).mend(value)


def dumps(value: object) -> str:
    """*value* on one line, UTF-8 unescaped, with a space after ``:`` and ``,``."""
    return _ENCODER.encode(value)


_ENCODER = JSONEncoder(ensure_ascii=False, allow_nan=False)


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise StrictJSONError(f"invalid UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise StrictJSONError("a byte-order mark at its start")
    return text.strip(_WHITESPACE)


def _is_deeper(text: str, max_depth: int) -> bool:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        if token.lastindex == 1:
            depth += 1
            if depth > max_depth:
                return True
        elif token.lastindex == 2:
            depth -= 1
    return False


def _scan(decoder: JSONDecoder, text: str) -> Any:  # noqa: ANN401
    try:
        value, end = decoder.raw_decode(text)
    except JSONDecodeError as error:
        raise StrictJSONError(f"invalid JSON ({error.msg} at character {error.pos})") from None
    if end != len(text):
        raise StrictJSONError(f"invalid JSON (more after its end at character {end})")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _FlawFoundError
    return members


def _int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise _FlawFoundError
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _FlawFoundError
    return number


def _constant(name: str) -> NoReturn:
    raise _FlawFoundError


def _flawed_object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Flaw:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            return _Flaw("a duplicate key", key)
        members[key] = value
    return members


def _flawed_int(digits: str) -> int | _Flaw:
    return _Flaw(f"an integer of {len(digits)} digits") if len(digits) > _MAX_DIGITS else int(digits)


def _flawed_float(digits: str) -> float | _Flaw:
    try:
        return _float(digits)
    except _FlawFoundError:
        return _Flaw("a number that is too large")


def _flawed_constant(name: str) -> _Flaw:
    return _Flaw(name, is_constant=True)


_STRICT = JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant)
_FLAWED = JSONDecoder(
    object_pairs_hook=_flawed_object,
    parse_int=_flawed_int,
    parse_float=_flawed_float,
    parse_constant=_flawed_constant,
)


class _Mender(Struct, frozen=True):
    """Walks a value, mends what may be mended and raises at the first flaw that may not."""

    lenient_under: str | None
    mend_surrogates: bool

    def mend(self, value: Any, path: _Path = (), *, lenient: bool = False) -> Any:  # noqa: ANN401
        match value:
            case str():
                return self._text(value, path)
            case list():
                return [self.mend(item, (*path, place), lenient=lenient) for place, item in enumerate(value)]
            case dict():
                return {
                    self._text(key, (*path, key)): self.mend(
                        item, (*path, key), lenient=lenient or key == self.lenient_under
                    )
                    for key, item in value.items()
                }
            case _Flaw(is_constant=True) if lenient:
                return None
            case _Flaw():
                raise StrictJSONError(
                    value.message, _spelled(path if value.key is None else (*path, value.key))
                )
            case _:
                return value

    def _text(self, text: str, path: _Path) -> str:
        if text.isascii():
            return text
        if self.mend_surrogates:
            return _LONE_SURROGATE.sub("\ufffd", text)
        if _LONE_SURROGATE.search(text):
            raise StrictJSONError("a lone surrogate", _spelled(path))
        return text


def _spelled(path: _Path) -> str:
    """``("messages", 2, "content")`` as ``messages[2].content``, long keys cut, as the client is told it."""
    spelled = ""
    for step in path:
        if isinstance(step, int):
            spelled += f"[{step}]"
        elif step[:64].isidentifier():
            spelled += f".{step[:64]}" if spelled else step[:64]
        else:
            spelled += f"[{JSONEncoder().encode(step[:64])}]"
    return spelled
