"""Server-sent events: bytes in, events out.

Theory of operation. The decoder follows the WHATWG event-stream rules on bytes: a stream is lines,
ended by CR, LF or CRLF; a line is a field (``name: value``, one space after the colon dropped) or a
comment; an empty line dispatches the event its fields have built up. Three things wait between two
chunks: the beginning of an unfinished line, the event under construction, and whether the last chunk
ended in a CR (then a leading LF belongs to it). A byte-order mark can only stand in the first line,
and UTF-8 is decoded an event at a time: neither needs care when a chunk cuts it in two.

Beyond the standard:

- what waits is bounded: an unfinished line and the event under construction together;
- comments are counted: an upstream that sends them is alive;
- data of a large event may be left undecoded, as decoding it takes long;
- a field named ``error`` (older llama.cpp servers report faults so) is an event of that type at once;
- :meth:`SSEDecoder.finish` hands over the event the end of the stream has cut off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["DONE", "LineTooLongError", "SSEDecoder", "SSEEvent", "cut_lines"]

DONE: Final = "[DONE]"
"""Data of the event that ends an OpenAI stream."""

_BOM: Final = b"\xef\xbb\xbf"
_REPLACEMENT: Final = "\ufffd"

_MAX_LINES: Final = 128
"""Lines of a piece, which are 64 events: 2 ms of work where they hold reasoning, less for anything else."""
_MAX_SIZE: Final = 16 * 1024
"""Bytes of a piece, unless one line is longer: 0.6 ms of work. Another request has some twenty turns of the
event loop until its answer, and waits for a piece in each."""
_LINES = re.compile(rb"(?:[^\r\n]*+[\r\n]){%d}" % _MAX_LINES)
_ENDS: Final = (b"\n", b"\r")


def cut_lines(data: bytes) -> Iterable[bytes]:
    """Cut what one read gave into pieces of bounded work: at most 128 lines and 16 KiB each, none empty.

    Only a piece that is one line may be larger.
    """
    if 0 < len(data) <= _MAX_SIZE and data.count(b"\n") + data.count(b"\r") < _MAX_LINES:
        return (data,)  # as most reads are: no generator for one token
    return _cut_lines(data)


def _cut_lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        lines = _LINES.match(data, start)
        end = len(data) if lines is None else lines.end()
        if end - start > _MAX_SIZE:
            end = _end_of_line(data, start, end)
        yield data[start:end]
        start = end


def _end_of_line(data: bytes, start: int, end: int) -> int:
    """Where the last line ends of those within the size of a piece; else where the first line ends."""
    limit = start + _MAX_SIZE
    last = max(data.rfind(each, start, limit) for each in _ENDS)
    if last >= 0:
        return last + 1
    return min((at + 1 for each in _ENDS if (at := data.find(each, limit, end)) >= 0), default=end)


class LineTooLongError(ValueError):
    """A line, or the data of one event, is longer than the decoder takes."""


class SSEEvent(Struct, frozen=True, gc=False):
    """One dispatched event."""

    event: str = "message"
    """Its type."""
    data: str = ""
    """Its data lines, joined by newlines."""
    raw: bytes | bytearray = b""
    """The same before it is decoded as UTF-8, where that is left to others; then ``data`` is empty."""


class SSEDecoder:
    r"""Decodes one stream; any cutting of the same bytes gives the same events.

    >>> decoder = SSEDecoder()
    >>> decoder.feed(b"data: one\n\ndata: t"), decoder.feed(b"wo\n\n")
    ([SSEEvent(event='message', data='one')], [SSEEvent(event='message', data='two')])
    """

    __slots__ = (
        *("_after_cr", "_at_start", "_data", "_error", "_line", "_max", "_name", "_raw_over"),
        *("comments", "replaced"),
    )

    def __init__(self, *, max_line: int = 16_777_216, raw_over: int | None = None) -> None:
        """Take events of up to *max_line* bytes; data of more than *raw_over* bytes is left undecoded."""
        self._max = max_line
        self._raw_over = max_line if raw_over is None else raw_over
        self._line = bytearray()  # the unfinished line
        self._data: bytearray | None = None  # None: no data line yet, which is not the same as empty data
        self._name = b""
        self._at_start = True
        self._after_cr = False
        self._error: LineTooLongError | None = None
        self.replaced = 0
        """Ill-formed UTF-8 sequences that became U+FFFD so far."""
        self.comments = 0
        """Comments so far."""

    @property
    def waiting(self) -> int:
        """Bytes of the unfinished line and the event under construction."""
        return len(self._line) + len(self._data or b"") + len(self._name)

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Take what the socket gave; return the events it completes.

        Raises:
            LineTooLongError: more than ``max_line`` bytes without an event's end. Events that came before
                are returned first: then the next call raises.
        """
        if self._error is not None:
            raise self._error
        events: list[SSEEvent] = []
        try:
            lines, rest = self._split(chunk)
            for line in lines:
                if line[:6] == b"data: " and self._data is None and len(line) + len(self._name) <= self._max:
                    # Nearly every line there is, hence not by _field. A long one is not copied.
                    self._data = line if isinstance(line, bytearray) else bytearray(line)
                    del self._data[:6]
                elif line:
                    self._field(line, events)
                else:
                    self._dispatch(events)
            if rest:
                self._hold(rest)
        except LineTooLongError as error:
            self._error = error
            if not events:
                raise
        return events

    def finish(self) -> list[SSEEvent]:
        """The end of the stream: return what it cut off before its empty line, usually nothing.

        The standard drops such an event, as it may be a part only. The caller does the same unless it is
        evidently whole and final: :data:`DONE`, or a chunk that parses and bears a ``finish_reason``.

        Raises:
            LineTooLongError: as ``feed`` would have.
        """
        return self.feed(b"\n\n")  # ends the unfinished line, if there is one, and then the event

    def _split(self, chunk: bytes) -> tuple[list[bytes | bytearray], bytes]:
        """The lines that *chunk* completes, and the beginning of the next one."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        lines: list[bytes | bytearray] = [*chunk.splitlines()]  # bytes split at CR, LF and CRLF only
        rest = b""
        if chunk.endswith(b"\r"):
            self._after_cr = True
        elif lines and not chunk.endswith(b"\n"):
            rest = bytes(lines.pop())
        if lines:
            if self._line:
                self._line += lines[0]
                lines[0], self._line = self._line, bytearray()
            if self._at_start:
                self._at_start = False
                self._check(len(lines[0]))
                if lines[0].startswith(_BOM):
                    lines[0] = lines[0][len(_BOM) :]
        return lines, rest

    def _field(self, line: bytes | bytearray, events: list[SSEEvent]) -> None:
        self._check(len(line))
        name, _, value = bytes(line).partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                if self._data is None:
                    self._data = bytearray(value)
                else:  # one buffer, not a list: many short lines must not weigh more than their bytes
                    self._data += b"\n" + value
            case b"event":
                self._name = value
            case b"error" if value:
                events.append(self._event("error", bytearray(value)))
            case b"":
                self.comments += 1
            case _:
                pass  # id, retry and unknown fields mean nothing here

    def _dispatch(self, events: list[SSEEvent]) -> None:
        if self._data is not None:
            name = self._text(self._name) if self._name else "message"
            events.append(self._event(name, self._data))
            self._data = None
        self._name = b""

    def _event(self, name: str, data: bytearray) -> SSEEvent:
        if len(data) > self._raw_over:
            return SSEEvent(name, raw=data)
        return SSEEvent(name, self._text(data))

    def _hold(self, rest: bytes) -> None:
        self._check(len(self._line) + len(rest))
        self._line += rest

    def _check(self, length: int) -> None:
        """Raise if a line of that length is too much on top of the event that waits."""
        if length + len(self._data or b"") + len(self._name) > self._max:
            raise LineTooLongError(f"a line or an event's data is longer than {self._max} bytes")

    def _text(self, raw: bytes | bytearray) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:  # not UTF-8: the client sees U+FFFD in its place
            text = raw.decode(errors="replace")
            self.replaced += text.count(_REPLACEMENT) - raw.count(_REPLACEMENT.encode())
            return text
