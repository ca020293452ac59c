"""Chunked bodies: a decoder that returns everything one read holds as one piece.

Theory of operation. A chunk is a line with its size, that many bytes, and an empty line's end; a chunk of
size 0 ends the body, and trailer fields may follow it up to an empty line. The decoder is a state machine:
the state names what comes next, and a table names the step that takes it. A step returns how far it got; one
that gets nowhere waits for more bytes, and these alone are held between two calls. They are always the
beginning of a line, hence bounded. The step for sizes also takes whole chunks, one after another, because
that is what nearly every read consists of.

Extensions of chunks and trailer fields are checked and ignored. What a server may spend on them is bounded,
so that it cannot keep the gateway busy with bytes that are not part of the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import IntEnum, auto
from typing import Final, TypeAlias

from .abnf import END_OF_LINE, TEXT, TOKEN
from .response_head import MAX_FIELDS, MAX_HEAD
from .violations import FramingError, IncompleteBodyError

__all__ = ["MAX_EXCESS", "MAX_LINE", "ChunkedDecoder"]

MAX_LINE: Final = 4096
"""Bytes of one line of the framing, its end included: a chunk's size with its extensions, or a trailer field.

An unfinished line is looked at again with each read, so this bounds the work on one that comes bytewise.
"""

MAX_EXCESS: Final = 16_384
"""Bytes of such lines, over one body, beyond twice their chunk's size.

Lines of up to ``_PLAIN_LINE`` bytes are free. The rule is that of Go's net/http (CVE-2023-39326).
"""

_PLAIN_LINE: Final = 18  # sixteen digits and the line's end: no room for an extension worth the name

_EXTENSIONS: Final = rb"[ \t]*+(?:;[^\x00\n\x0b\x0c\r]*+)?"
_SIZE_LINE: Final = re.compile(rb"([0-9a-fA-F]{1,16}+)" + _EXTENSIONS + rb"\r\n")
_SIZE_LINE_CUT: Final = re.compile(rb"[0-9a-fA-F]{1,16}+" + _EXTENSIONS + rb"\r?+")
_TRAILER: Final = re.compile(TOKEN + rb":" + TEXT + rb"\r\n")
_TRAILER_CUT: Final = re.compile(TOKEN + rb"(?::" + TEXT + rb"\r?+)?|\r")


class _State(IntEnum):  # whose members hash without a call in Python
    """What is expected next."""

    SIZE = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILER = auto()


class ChunkedDecoder:
    r"""Decoder of one chunked body: any cutting of the same bytes gives the same result.

    >>> decoder = ChunkedDecoder()
    >>> decoder.feed(b"2\r\nab\r\n1\r\nc\r\n3\r\nd"), decoder.done
    (b'abcd', False)
    >>> decoder.feed(b"ef\r\n0\r\n\r\n"), decoder.done
    (b'ef', True)
    """

    __slots__ = (
        "_excess",
        "_held",
        "_left",
        "_state",
        "_trailers",
        "_trailers_size",
        "done",
        "error",
        "excess",
    )

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._held = b""  # the beginning of an unfinished line
        self._left = 0  # bytes of the present chunk that are still to come
        self._excess = 0
        self._trailers = self._trailers_size = 0
        self.done = self.excess = False
        self.error: FramingError | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the payload of all chunks in *data*, joined.

        Raises:
            FramingError: the framing is broken and nothing of the body came before the fault.
        """
        if self.error is not None:
            raise self.error
        payload: list[bytes] = []
        try:
            self._advance(self._held + data, payload)
        except FramingError as error:
            self.error = error
            if not payload:
                raise
        return b"".join(payload)

    def finish(self) -> bytes:
        """Return nothing, as the end of a connection adds nothing to a chunked body.

        Raises:
            IncompleteBodyError: the last chunk has not come.
        """
        if not self.done:
            raise IncompleteBodyError("the last chunk of the body is missing")
        return b""

    def _advance(self, data: bytes, payload: list[bytes]) -> None:
        position, end = 0, len(data)
        while position < end and not self.done:
            reached = _STEPS[self._state](self, data, position, payload)
            if reached == position:
                break
            position = reached
        self.excess = self.excess or (self.done and position < end)
        self._held = data[position:]

    def _take_chunks(self, data: bytes, position: int, payload: list[bytes]) -> int:
        while line := _SIZE_LINE.match(data, position):
            size, start = int(line[1], 16), line.end()
            if start - position > _PLAIN_LINE:
                self._charge(start - position, size)
            end = start + size
            if not size:
                self._state = _State.TRAILER
                return start
            if data[end : end + 2] != END_OF_LINE:  # not whole, or broken
                self._left, self._state = size, _State.DATA
                return start
            payload.append(data[start:end])
            position = end + 2
            if position == len(data):
                return position
        _check_cut(_SIZE_LINE_CUT, data, position)
        return position

    def _charge(self, line: int, size: int) -> None:
        self._excess += max(0, line - _PLAIN_LINE - 2 * size)
        if line > MAX_LINE or self._excess > MAX_EXCESS:
            raise FramingError("the extensions of the chunks are too long")

    def _take_data(self, data: bytes, position: int, payload: list[bytes]) -> int:
        piece = data[position : position + self._left]
        payload.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._state = _State.END_OF_DATA
        return position + len(piece)

    def _take_end_of_data(self, data: bytes, position: int, _payload: list[bytes]) -> int:
        found = data[position : position + 2]
        if found == END_OF_LINE:
            self._state = _State.SIZE
            return position + 2
        if found != b"\r":
            raise FramingError("a chunk is longer than its size")
        return position

    def _take_trailer(self, data: bytes, position: int, _payload: list[bytes]) -> int:
        if data.startswith(END_OF_LINE, position):
            self.done = True
            return position + 2
        line = _TRAILER.match(data, position)
        if line is None:
            _check_cut(_TRAILER_CUT, data, position)
            return position
        size = line.end() - position
        self._trailers += 1
        self._trailers_size += size
        if size > MAX_LINE or self._trailers > MAX_FIELDS or self._trailers_size > MAX_HEAD:
            raise FramingError("the trailer fields of the body are too long")
        return line.end()


_Step: TypeAlias = Callable[[ChunkedDecoder, bytes, int, list[bytes]], int]
_STEPS: Final[Mapping[_State, _Step]] = {
    _State.SIZE: ChunkedDecoder._take_chunks,
    _State.DATA: ChunkedDecoder._take_data,
    _State.END_OF_DATA: ChunkedDecoder._take_end_of_data,
    _State.TRAILER: ChunkedDecoder._take_trailer,
}


def _check_cut(beginning: re.Pattern[bytes], data: bytes, position: int) -> None:
    """Refuse what waits at *position* if it cannot become a line of the allowed length."""
    waiting = len(data) - position
    if waiting and not beginning.fullmatch(data, position):
        raise FramingError("a line of the chunked framing is malformed")
    if waiting >= MAX_LINE:  # its end is still to come
        raise FramingError("a line of the chunked framing is too long")
