"""JSON cutter: reads long strings in bounded pieces, apart from the rest.

The decoder of the standard library reads a string in one call, which holds the interpreter's lock: for 32 MiB
of escapes 60 ms. So the long strings of a large text are cut out and read here, piece by piece; a short
placeholder stands in their stead, and the rest is for the decoder. A placeholder begins with U+0000. A string
that begins so by itself is cut out however short it is, so that no text can forge one.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]  # the C function, where there is one
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Cut", "CutError", "cut_strings"]

_PIECE: Final = 256 * 1024
"""Bytes read in one call, and of the longest string without escapes that is left in the text."""
_LEFT_WITH_ESCAPES: Final = 64
"""Bytes of the longest string with escapes that is left: an escape costs the decoder as much as 20 bytes."""

# A run of a string: characters, and escapes that are whole.
_RUN: Final = re.compile(rb'(?:[^"\\]++|\\(?:u[0-9a-fA-F]{4}|[^u]))*+', re.DOTALL)
_LONGEST_ESCAPE: Final = 6
_NUL: Final = b"\\u0000"
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HIGH: Final = ("\ud800", "\udbff")
_LOW: Final = ("\udc00", "\udfff")


class CutError(ValueError):
    """A string is not JSON; the message names what is wrong, and the byte."""


class Cut(Struct, frozen=True):
    """A text whose long strings are cut out."""

    text: bytearray
    """The text with placeholders."""
    strings: list[str]
    """The values of the strings that were cut out, lone surrogates in them as U+FFFD."""
    places: array[int]
    """Byte in ``text`` behind each placeholder."""
    missing: array[int]
    """Bytes that are missing before each of these places. An array, as the garbage collector would look at
    each of 100,000 tuples, and hold the interpreter's lock meanwhile."""

    def value(self, placeholder: str) -> str:
        """The string that *placeholder*, as the decoder reads it, stands for."""
        return self.strings[int(placeholder[1:])]

    def place(self, position: int) -> int:
        """The byte in the original text that is at *position* in ``text``."""
        before = bisect_right(self.places, position)
        return position + (self.missing[before - 1] if before else 0)


def cut_strings(data: bytes | bytearray, pause: Callable[[], None]) -> Cut:
    """Cut the long strings out of the JSON text *data*. *pause* is called after each bounded piece of work.

    Raises:
        CutError: a long string is not JSON, or not UTF-8.
    """
    text = bytearray()
    strings: list[str] = []
    places, missing = array("q"), array("q")
    kept = start = 0
    with memoryview(data) as view:
        while (opening := data.find(b'"', start)) >= 0:
            start = _end_if_short(data, opening + 1)
            if not start:
                value, start = _read(data, opening + 1, pause)
                text += view[kept:opening]
                text += b'"%b%d"' % (_NUL, len(strings))
                strings.append(value)
                places.append(len(text))
                missing.append(start - len(text))
                kept = start
            pause()
        text += view[kept:]
    return Cut(text, strings, places, missing)


def _end_if_short(data: bytes | bytearray, start: int) -> int:
    """The place behind the string whose first byte is at *start*; 0 where it is to be cut out."""
    end = _end_of_run(data, start)
    if data[end : end + 1] != b'"' or data.startswith(_NUL, start):
        return 0
    if end - start > _LEFT_WITH_ESCAPES and data.find(b"\\", start, end) >= 0:
        return 0
    return end + 1


def _end_of_run(data: bytes | bytearray, start: int) -> int:
    found = _RUN.match(data, start, start + _PIECE)
    return found.end() if found else start  # it always matches, if nothing


def _read(data: bytes | bytearray, start: int, pause: Callable[[], None]) -> tuple[str, int]:
    """The value of the string whose first byte is at *start*, and the place behind its closing quote."""
    pieces: list[str] = []
    high = ""  # half of a surrogate pair whose other half may open the next piece
    while True:
        end = _end_of_piece(data, start)
        piece = high + _decoded(data, start, end)
        high = piece[-1:] if _HIGH[0] <= piece[-1:] <= _HIGH[1] else ""
        pieces.append(_mended(piece[: len(piece) - len(high)]))
        start = end
        if data[end : end + 1] == b'"':
            pieces.append("\ufffd" if high else "")
            return "".join(pieces), end + 1
        pause()


def _end_of_piece(data: bytes | bytearray, start: int) -> int:
    """Where the piece that begins at *start* ends: at the closing quote, else between characters."""
    limit = start + _PIECE
    end = _end_of_run(data, start)
    if data[end : end + 1] == b'"':
        return end
    if end >= len(data):
        raise CutError(f"invalid JSON (unterminated string at byte {end})")
    if end == limit:
        while end > start and data[end] & 0xC0 == 0x80:  # in the middle of a character
            end -= 1
    elif limit - end >= _LONGEST_ESCAPE or limit >= len(data):
        raise CutError(f"invalid JSON (invalid escape at byte {end})")
    if end == start:
        raise CutError(f"invalid UTF-8 at byte {start}")
    return end


def _decoded(data: bytes | bytearray, start: int, end: int) -> str:
    try:
        text = data[start:end].decode()
        value: str = scanstring(text + '"', 0)[0]
    except UnicodeDecodeError as error:
        raise CutError(f"invalid UTF-8 at byte {start + error.start}") from None
    except JSONDecodeError as error:
        place = start + len(text[: error.pos].encode())
        raise CutError(
            f"invalid JSON ({error.msg.removesuffix(' at').rstrip(': ')} at byte {place})"
        ) from None
    return value


def _mended(piece: str) -> str:
    if len(piece) > 1 and _LOW[0] <= piece[1] <= _LOW[1] and _HIGH[0] <= piece[0] <= _HIGH[1]:
        piece = (piece[0] + piece[1]).encode("utf-16", "surrogatepass").decode("utf-16") + piece[2:]
    return piece if piece.isascii() else _LONE_SURROGATE.sub("\ufffd", piece)
