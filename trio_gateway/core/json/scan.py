"""JSON scanner: counts the values and levels of a text in bounded slices.

It runs before the text is parsed. A JSON decoder runs to its end in one call and holds the interpreter's lock
meanwhile, so a thread does not keep 32 MiB of ``[],`` from stopping every other task for seconds. What is
expensive about such a text is its number of values, and recursion its levels; both are counted here first, in
slices between which the caller lets other tasks run, and a text that has too many is refused unparsed.

Counting needs no lexer. Escapes are deleted from a slice, then it is split at its quotes: every second part
lies outside of strings. A JSON text has one value, and one more for each comma and for each list or object
that is not empty, so commas and brackets are all that is counted. A text that is not JSON is counted by
the same rules up to the place where a parser stops at the latest.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["SCAN_OVER", "JSONScanError", "TooDeepError", "TooManyValuesError", "scan_slices"]

SCAN_OVER: Final = 64 * 1024
"""Bytes of a text that may be parsed at once, unscanned: it holds the event loop for a few milliseconds."""

_SLICE: Final = 32 * 1024
"""Bytes looked at between two checkpoints: 1 ms where every byte is a quote or a bracket, else far less."""

_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
_IGNORED: Final = b" \t\r\n"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_STEP: Final = tuple(1 if byte in _OPENING else -1 for byte in range(256))


class JSONScanError(ValueError):
    """A JSON text is refused before it is parsed. The message says what was found."""


class TooManyValuesError(JSONScanError):
    """A text has more values than allowed."""


class TooDeepError(JSONScanError):
    """A text nests lists and objects deeper than allowed."""


def scan_slices(
    data: bytes | bytearray | memoryview, *, max_values: int = 100_000, max_depth: int = 64
) -> Generator[None, None, int]:
    """Count the values and levels of the JSON text *data*; yield after each slice of bounded work.

    Returns the number of values.

    Lists, objects, strings, numbers, ``true``, ``false`` and ``null`` are values, keys of objects are not:
    ``{"a": [1, 2], "b": {}}`` has five. Levels are lists and objects that are open at the same time. That
    the text is JSON is not checked: its parser does that.

    Raises:
        TooManyValuesError: there are more than *max_values*; also for more strings than so many values and
            their keys can be.
        TooDeepError: there are more than *max_depth* levels.
    """
    tally = _Tally(max_values, max_depth)
    view = memoryview(data)
    for start in range(0, len(view), _SLICE):
        if not tally.add(bytes(view[start : start + _SLICE])):
            break  # no JSON: its parser stops here, or before
        yield
    return tally.values


class _Tally:
    """Counts of a text whose slices are added one after the other."""

    __slots__ = (
        "_depth",
        "_in_string",
        "_last",
        "_max_depth",
        "_max_values",
        "_opened",
        "_pending",
        "_quotes",
        "values",
    )

    def __init__(self, max_values: int, max_depth: int) -> None:
        self._max_values = max_values
        self._max_depth = max_depth
        self.values = 1
        self._opened = 0
        self._quotes = 0
        self._depth = 0
        self._in_string = False
        self._pending = b""  # a backslash at the end of a slice, whose character is in the next one
        self._last = b""  # the last byte outside of strings

    def add(self, piece: bytes) -> bool:
        """Count *piece*; False where more brackets close than were open."""
        outside = self._outside(self._without_escapes(piece)).translate(None, _IGNORED)
        opened = outside.count(b"[") + outside.count(b"{")
        joint = self._last + outside  # an empty list may begin in one slice and end in the next
        self._last = outside[-1:] or self._last
        self.values += outside.count(b",") + opened - joint.count(b"[]") - joint.count(b"{}")
        self._opened += opened
        self._refuse_too_many()
        return self._descend(outside, opened)

    def _refuse_too_many(self) -> None:
        # The last bracket may yet turn out to be that of an empty list.
        certain = self.values - (self._last in (b"[", b"{"))
        # Text such as [][] or "a""b" is no JSON, but must not be counted to its end either: so many values
        # have no more brackets, and no more strings than twice their number (values, and their keys).
        most = max(certain, self._opened, self._quotes // 4)
        if most > self._max_values:
            raise TooManyValuesError(f"more than {self._max_values:,} values")

    def _without_escapes(self, piece: bytes) -> bytes:
        piece = self._pending + piece
        if b"\\" not in piece:
            self._pending = b""
            return piece
        piece = piece.replace(b"\\\\", b"")
        self._pending = b"\\" if piece.endswith(b"\\") else b""
        return piece.removesuffix(b"\\").replace(b'\\"', b"")

    def _outside(self, piece: bytes) -> bytes:
        """What of *piece* lies outside of strings; each string is one quote there."""
        parts = piece.split(b'"')
        outside = parts[self._in_string :: 2]
        if self._in_string and outside:
            outside[0] = b'"' + outside[0]
        self._quotes += len(parts) - 1
        self._in_string ^= len(parts) % 2 == 0
        return b'"'.join(outside)  # a mark that something was there: ["x"] is not an empty list

    def _descend(self, outside: bytes, opened: int) -> bool:
        closed = outside.count(b"]") + outside.count(b"}")
        if self._depth + opened > self._max_depth or closed > self._depth:
            brackets = outside.translate(None, _NO_BRACKETS)
            levels = list(accumulate(map(_STEP.__getitem__, brackets), initial=self._depth))
            if max(levels) > self._max_depth:
                raise TooDeepError(f"more than {self._max_depth} levels of nesting")
            if min(levels) < 0:
                return False
        self._depth += opened - closed
        return True
