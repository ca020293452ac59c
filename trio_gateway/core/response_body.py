"""Response bodies: takes an upstream's body out of its framing, in bounded steps.

Everything that one read brings is given on as one piece, however many chunks it came in. Chunk extensions
and trailers are dropped; both have limits, as an upstream could send them for ever without a byte of body.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

from .response_head import MAX_FIELDS, MAX_HEAD

if TYPE_CHECKING:
    from .response_head import ResponseHead

__all__ = ["BodyError", "BodyReader"]

_MAX_SIZE_LINE: Final = 4096
"""Bytes of a line that opens a chunk, with its extensions."""
_CHUNKS: Final = 300
"""Chunks taken apart at a time: 1 ms of work where each holds one byte."""
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\r\n]*+)?")


class BodyError(ValueError):
    """The framing of a body is broken; the message is a sentence for the log."""


class _State(Enum):
    """What the next bytes are."""

    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class BodyReader:
    """Reads the body that follows *head*."""

    __slots__ = (
        *("_buffer", "_chunked", "_left", "_start", "_state", "_trailer_bytes", "_trailer_lines"),
        "unfinished",
    )

    def __init__(self, head: ResponseHead) -> None:
        self._chunked = head.chunked
        self._buffer = bytearray()
        self._start = 0  # where in the buffer the next step begins
        self._left = head.length  # bytes of the body, or of the chunk, that have not come
        self._trailer_bytes = self._trailer_lines = 0
        self._state = _State.DATA
        if head.chunked:
            self._state = _State.SIZE
        elif head.length == 0:
            self._state = _State.DONE
        self.unfinished = False
        """Data that was fed is left for the next call, which may feed nothing."""

    @property
    def done(self) -> bool:
        """The body has ended. One without a length ends with the connection only."""
        return self._state is _State.DONE

    @property
    def surplus(self) -> bool:
        """Something came after the end: the connection must not be used again."""
        return self.done and len(self._buffer) > self._start

    def feed(self, data: bytes) -> bytes:
        """Take what one read gave; the bytes of the body in it, empty where there are none.

        Of very many chunks only so many are taken at a time: see :attr:`unfinished`.

        Raises:
            BodyError: the framing is broken.
        """
        if self._left is None and self._state is _State.DATA:
            return data
        self._buffer += data
        parts: list[bytes] = []
        steps = 3 * _CHUNKS  # a chunk takes three
        while steps and not self.done and self._step(parts):
            steps -= 1
        self.unfinished = not steps
        del self._buffer[: self._start]
        self._start = 0
        return b"".join(parts)

    def _step(self, parts: list[bytes]) -> bool:
        """Take the next element of the framing; False where it has not come yet."""
        match self._state:
            case _State.SIZE:
                return self._size()
            case _State.DATA:
                return self._data(parts)
            case _State.DATA_END:
                return self._data_end()
            case _:
                return self._trailer_line()

    def _size(self) -> bool:
        line = self._line(_MAX_SIZE_LINE)
        if line is None:
            return False
        size = _SIZE_LINE.fullmatch(line)
        if size is None:
            raise BodyError("A chunk of the upstream's answer has no size.")
        self._left = int(size[1], 16)
        self._state = _State.DATA if self._left else _State.TRAILER
        return True

    def _data(self, parts: list[bytes]) -> bool:
        left = cast("int", self._left)  # None is the case of ``feed``
        data = bytes(self._buffer[self._start : self._start + left])
        if not data:
            return False
        parts.append(data)
        self._start += len(data)
        self._left = left - len(data)
        if not self._left:
            self._state = _State.DATA_END if self._chunked else _State.DONE
        return True

    def _data_end(self) -> bool:
        end = self._buffer[self._start : self._start + 2]
        if not b"\r\n".startswith(end):
            raise BodyError("A chunk of the upstream's answer is longer than its size.")
        if len(end) < 2:  # carriage return and line feed
            return False
        self._start += 2
        self._state = _State.SIZE
        return True

    def _trailer_line(self) -> bool:
        line = self._line(MAX_HEAD)
        if line is None:
            return False
        self._trailer_bytes += len(line)
        self._trailer_lines += 1
        if self._trailer_bytes > MAX_HEAD or self._trailer_lines > MAX_FIELDS:
            raise BodyError("The upstream's answer has trailers without end.")
        if not line:
            self._state = _State.DONE
        return True

    def _line(self, limit: int) -> bytes | None:
        """The next line, which ends in CRLF and has at most *limit* bytes; None: it has not come yet."""
        end = self._buffer.find(b"\r\n", self._start, self._start + limit)
        if end < 0:
            if len(self._buffer) - self._start >= limit:
                raise BodyError("The framing of the upstream's answer has a line that is too long.")
            return None
        line = bytes(self._buffer[self._start : end])
        self._start = end + 2
        return line
