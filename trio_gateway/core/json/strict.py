"""Strict JSON: refuses what one reader takes and the next takes differently.

Python's own parser takes duplicate keys, ``NaN`` and numbers that overflow, lets lone surrogates
through until they are written again, and overflows its stack on deep input. Here all of that is an
error with its place, or is mended where the caller asks for it.

How: the usual document goes once through the C scanner with hooks that raise. Only after one of them
has raised is it read again with hooks that leave a :class:`_Flaw` in the value instead, and the value is
walked to find where. Depth is counted beforehand, so the scanner never recurses further than allowed. Of a
large document the long strings are cut out beforehand, and put in again by the walk.

All of it is linear. A call into C takes 20 ms at most where the document's values have been counted by
:mod:`~trio_gateway.core.json.scan`; between such calls *pause* is called, so that a worker thread can let
the event loop run.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder, JSONEncoder
from typing import TYPE_CHECKING, Any, Final, NoReturn

from msgspec import Struct

from .cut import Cut, CutError, cut_strings
from .scan import TooDeepError, scan_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["StrictJSONError", "dumps", "no_pause", "parse"]

_MAX_DIGITS: Final = 100
"""Digits of the longest integer taken; Python needs quadratic time for them."""
_MAX_FLOAT: Final = 1000
"""Characters of the longest other number taken."""
_CUT_OVER: Final = 2 * 1024 * 1024
"""Bytes that the C scanner reads in one call, whatever strings they hold: 7 ms where all of it is escapes."""
_WHITESPACE: Final = " \t\r\n"

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_INNER_SURROGATE = re.compile(r"(?![\ud800-\udbff]\Z|(?<!.)[\udc00-\udfff])[\ud800-\udfff]", re.DOTALL)


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
    is_no_number: bool = False
    """It was ``NaN``, an infinity written out, or as large as one."""


class _FlawFoundError(Exception):
    """Raised by the hooks of the first reading."""


def no_pause() -> None:
    """Make no pause: the pause of a caller that may take the time."""


def parse(
    text: str | bytes | bytearray,
    *,
    max_depth: int = 64,
    lenient_under: Collection[str] = (),
    mend_surrogates: bool = False,
    keep_halves: bool = False,
    pause: Callable[[], None] = no_pause,
) -> Any:  # noqa: ANN401 -- what the text says is the caller's to check
    """The value of one JSON text. A *text* that is ``str`` already must have come from a UTF-8 decoder.

    *max_depth* bounds the nesting of objects and lists. Anywhere below a key *lenient_under*, ``NaN``, the
    infinities and what is as large are read as None (some servers write log probabilities so).
    *mend_surrogates* reads lone surrogates as U+FFFD instead of refusing them; a text over 2 MiB is always
    read so. *keep_halves*: not those at the end or the beginning of a string value, where they may be half of
    a pair. *pause* is called often: after each object, and after each piece of work that takes about as long.

    Raises:
        StrictJSONError: anything else.
    """
    document = _opened(text, pause)
    if document.text.count("[") + document.text.count("{") > max_depth:
        _check_depth(document.text, max_depth, pause)
    pause()
    decoders = (_STRICT, _FLAWED) if pause is no_pause else _pausing(pause)
    try:
        value = _scan(decoders[0], document)
    except _FlawFoundError:
        value = _scan(decoders[1], document)
    else:
        pause()
        # An escape is most often half of a pair, which the scanner has joined.
        if document.cut is None and not _SURROGATE_ESCAPE.search(document.text):
            return value
    mender = _Mender(lenient_under, mend_surrogates, keep_halves, document.cut, pause)
    return mender.whole(value)


def dumps(value: object) -> str:
    """*value* on one line, UTF-8 unescaped, with a space after ``:`` and ``,``."""
    return _ENCODER.encode(value)


_ENCODER = JSONEncoder(ensure_ascii=False, allow_nan=False)


class _Document(Struct, frozen=True):
    """A text that is ready for the C scanner."""

    text: str
    cut: Cut | None
    """What has been cut out of it; None: nothing."""

    def spot(self, position: int) -> str:
        """Where in the original text that is which stands at *position*."""
        if self.cut is None:
            return f"character {position}"
        stripped = len(self.cut.text) - len(self.cut.text.lstrip(_WHITESPACE.encode()))
        return f"byte {self.cut.place(stripped + len(self.text[:position].encode()))}"


def _opened(text: str | bytes | bytearray, pause: Callable[[], None]) -> _Document:
    cut = None
    if len(text) > _CUT_OVER:
        try:
            cut = cut_strings(text.encode() if isinstance(text, str) else text, pause)
        except CutError as error:
            raise StrictJSONError(str(error)) from None
        text = cut.text
        pause()
    if not isinstance(text, str):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            place = error.start if cut is None else cut.place(error.start)
            raise StrictJSONError(f"invalid UTF-8 at byte {place}") from None
        pause()
    if text.startswith("\ufeff"):
        raise StrictJSONError("a byte-order mark at its start")
    return _Document(text.strip(_WHITESPACE), cut)


def _check_depth(text: str, max_depth: int, pause: Callable[[], None]) -> None:
    try:
        # No text has more values than characters, so only its levels are bounded here.
        for _ in scan_slices(text.encode(), max_values=len(text) + 1, max_depth=max_depth):
            pause()
    except TooDeepError as error:
        raise StrictJSONError(str(error)) from None


def _scan(decoder: JSONDecoder, document: _Document) -> Any:  # noqa: ANN401
    try:
        value, end = decoder.raw_decode(document.text)
    except JSONDecodeError as error:
        raise StrictJSONError(f"invalid JSON ({error.msg} at {document.spot(error.pos)})") from None
    if end != len(document.text):
        raise StrictJSONError(f"invalid JSON (more after its end at {document.spot(end)})")
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
    if len(digits) > _MAX_FLOAT:
        raise _FlawFoundError
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
    if len(digits) > _MAX_FLOAT:
        return _Flaw(f"a number of {len(digits)} characters")
    try:
        return _float(digits)
    except _FlawFoundError:
        return _Flaw("a number that is too large", is_no_number=True)


def _flawed_constant(name: str) -> _Flaw:
    return _Flaw(name, is_no_number=True)


_STRICT = JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant)
_FLAWED = JSONDecoder(
    object_pairs_hook=_flawed_object,
    parse_int=_flawed_int,
    parse_float=_flawed_float,
    parse_constant=_flawed_constant,
)


def _pausing(pause: Callable[[], None]) -> tuple[JSONDecoder, JSONDecoder]:
    """The strict and the flawed decoder, which pause at whatever a hook is called for."""

    def paused(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(argument: Any) -> Any:  # noqa: ANN401
            pause()
            return hook(argument)

        return call

    def decoder(*hooks: Callable[[Any], Any]) -> JSONDecoder:
        pairs, integer, number, constant = map(paused, hooks)
        return JSONDecoder(
            object_pairs_hook=pairs, parse_int=integer, parse_float=number, parse_constant=constant
        )

    strict = decoder(_object, _int, _float, _constant)
    return strict, decoder(_flawed_object, _flawed_int, _flawed_float, _flawed_constant)


class _RefusedError(Exception):
    """A flaw that may not be mended. Its path is added from the inside outwards."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.path = list(path)


class _Mender(Struct, frozen=True):
    """Walk over a value: mends it and puts in what was cut out.

    It raises at the first flaw that may not be mended.
    """

    lenient_under: Collection[str]
    mend_surrogates: bool
    keep_halves: bool
    cut: Cut | None
    pause: Callable[[], None]

    def whole(self, value: Any) -> Any:  # noqa: ANN401
        """The mended *value* of a document.

        Raises:
            StrictJSONError: it has a flaw.
        """
        try:
            return self._mend(value, lenient=False)
        except _RefusedError as refused:
            raise StrictJSONError(refused.message, _spelled(refused.path[::-1])) from None

    def _mend(self, value: Any, *, lenient: bool) -> Any:  # noqa: ANN401
        match value:
            case str():
                return self._text(value, _INNER_SURROGATE if self.keep_halves else _LONE_SURROGATE)
            case list():
                return self._list(value, lenient=lenient)
            case dict():
                return self._object(value, lenient=lenient)
            case _Flaw(is_no_number=True) if lenient:
                return None
            case _Flaw(message=message, key=key):
                raise _RefusedError(message, *(() if key is None else (self._key(key),)))
            case _:
                return value

    def _list(self, items: list[Any], *, lenient: bool) -> list[Any]:
        mended: list[Any] = []
        try:
            for item in items:
                self.pause()
                mended.append(self._mend(item, lenient=lenient))  # its length is the path
        except _RefusedError as refused:
            refused.path.append(len(mended))
            raise
        return mended

    def _object(self, members: dict[str, Any], *, lenient: bool) -> dict[str, Any]:
        mended: dict[str, Any] = {}
        for key, item in members.items():
            self.pause()
            name = self._key(key)
            if name in mended:  # it differed in a surrogate, or was cut out twice
                raise _RefusedError("a duplicate key", name)
            try:
                mended[name] = self._mend(item, lenient=lenient or name in self.lenient_under)
            except _RefusedError as refused:
                refused.path.append(name)
                raise
        return mended

    def _key(self, key: str) -> str:
        try:
            return self._text(key)
        except _RefusedError as refused:
            refused.path.append(key)
            raise

    def _text(self, text: str, lone: re.Pattern[str] = _LONE_SURROGATE) -> str:
        if self.cut is not None and text.startswith("\0"):
            return self.cut.value(text)
        if text.isascii():
            return text
        if self.mend_surrogates or self.cut is not None:
            return lone.sub("\ufffd", text)
        if _LONE_SURROGATE.search(text):
            raise _RefusedError("a lone surrogate")
        return text


def _spelled(path: list[str | int]) -> str:
    """``("messages", 2, "content")`` as ``messages[2].content``, long keys cut, as the client gets it."""
    spelled = ""
    for step in path:
        if isinstance(step, int):
            spelled += f"[{step}]"
        elif step[:64].isidentifier():
            spelled += f".{step[:64]}" if spelled else step[:64]
        else:
            spelled += f"[{JSONEncoder().encode(step[:64])}]"
    return spelled
