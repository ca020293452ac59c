"""JSON writer for large values: makes pieces of UTF-8, and pauses between them.

The standard library's encoder writes a string of 32 MiB in one call into C, which takes 65 ms and holds the
interpreter's lock meanwhile. Here no call has more than a piece to do.
"""

from __future__ import annotations

from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any, Final

from .strict import dumps, no_pause

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["encode_pieces"]

_CUT: Final = 64 * 1024
"""Characters of a string that are written in one call."""
_PIECE: Final = 512 * 1024
"""Characters of a piece: when as many have gathered they are encoded. Smaller pieces would lie in the heap of
the C library, which gives them back to the system late."""


def encode_pieces(value: object, *, pause: Callable[[], None] = no_pause) -> list[bytes]:
    """*value* as UTF-8 pieces, which joined are what :func:`~trio_gateway.core.json.strict.dumps` writes.

    *pause* is called after each value.

    Raises:
        ValueError: *value* has NaN or an infinity in it.
    """
    writer = _Writer(pause)
    writer.write(value)
    writer.flush()
    return writer.pieces


class _Writer:
    """Gathers text until it is enough for a piece."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self.pieces: list[bytes] = []
        self._pause = pause
        self._texts: list[str] = []
        self._length = 0

    def write(self, value: Any) -> None:  # noqa: ANN401
        """Add a value, at a depth that has been checked."""
        match value:
            case str() if len(value) > _CUT:
                self._long(value)
            case str():
                self._add(quote(value))
            case dict() if value:
                self._object(value)
            case list() if value:
                self._list(value)
            case _:
                self._add(dumps(value))
        self._pause()

    def flush(self) -> None:
        """Make a piece of what has gathered."""
        self.pieces.append("".join(self._texts).encode())
        self._texts.clear()
        self._length = 0

    def _object(self, members: dict[str, Any]) -> None:
        separator = "{"
        for key, value in members.items():
            self._add(separator)
            self.write(key)
            self._add(": ")
            self.write(value)
            separator = ", "
        self._add("}")

    def _list(self, items: list[Any]) -> None:
        separator = "["
        for item in items:
            self._add(separator)
            self.write(item)
            separator = ", "
        self._add("]")

    def _long(self, text: str) -> None:
        self._add('"')
        for start in range(0, len(text), _CUT):
            self._add(quote(text[start : start + _CUT])[1:-1])
            self._pause()
        self._add('"')

    def _add(self, text: str) -> None:
        self._texts.append(text)
        self._length += len(text)
        if self._length >= _PIECE:
            self.flush()
