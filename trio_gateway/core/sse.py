"""Server-sent events: bytes in, events out.

Theory of operation. The decoder follows the WHATWG event-stream rules on bytes: a stream is lines,
ended by CR, LF or CRLF; a line is a field (``name: value``, one space after the colon dropped) or a
comment; an empty line dispatches the event its fields have built up. Three things wait between two
chunks: the beginning of an unfinished line, the event under construction, and whether the last chunk
ended in a CR (then a leading LF belongs to it). A byte-order mark can only stand in the first line,
and UTF-8 is decoded an event at a time: neither needs care when a chunk cuts it in two.

Beyond the standard:

- what waits is bounded: an unfinished line and the event under construction together;
- a field named ``error`` (older llama.cpp servers report faults so) is an event of that type at once;
- :meth:`SSEDecoder.finish` hands over the event the end of the stream has cut off.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["DONE", "LineTooLongError", "SSEDecoder", "SSEEvent"]

DONE: Final = "[DONE]"
"""Data of the event that ends an OpenAI stream."""

_BOM: Final = b"\xef\xbb\xbf"
_REPLACEMENT: Final = "\ufffd"


class LineTooLongError(ValueError):
    """A line, or the data of one event, is longer than the decoder takes."""


class SSEEvent(Struct, frozen=True, gc=False):
    """One dispatched event."""

    event: str = "message"
    """Its type."""
    data: str = ""
    """Its data lines, joined by newlines."""


class SSEDecoder:
    r"""Decodes one stream; any cutting of the same bytes gives the same events.

    >>> decoder = SSEDecoder()
    >>> decoder.feed(b"data: one\n\ndata: t"), decoder.feed(b"wo\n\n")
    ([SSEEvent(event='message', data='one')], [SSEEvent(event='message', data='two')])
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_error", "_line", "_max", "_name", "replaced")

    def __init__(self, *, max_line: int = 1_048_576) -> None:
        self._max = max_line
        self._line = bytearray()  # the unfinished line
        self._data: bytearray | None = None  # None: no data line yet, which is not the same as empty data
        self._name = b""
        self._at_start = True
        self._after_cr = False
        self._error: LineTooLongError | None = None
        self.replaced = 0
        """Ill-formed UTF-8 sequences that became U+FFFD so far."""

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
                    self._data = bytearray(line[6:])  # nearly every line there is, hence not by _field
                elif line:
                    self._field(line, events)
                else:
                    self._dispatch(events)
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

    def _split(self, chunk: bytes) -> tuple[list[bytes], bytes]:
        """The lines that *chunk* completes, and the beginning of the next one."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        lines = chunk.splitlines()  # bytes split at CR, LF and CRLF only
        rest = b""
        if chunk.endswith(b"\r"):
            self._after_cr = True
        elif lines and not chunk.endswith(b"\n"):
            rest = lines.pop()
        if lines:
            if self._line:
                lines[0] = bytes(self._line + lines[0])
                self._line.clear()
            if self._at_start:
                self._at_start = False
                self._check(len(lines[0]))
                lines[0] = lines[0].removeprefix(_BOM)
        return lines, rest

    def _field(self, line: bytes, events: list[SSEEvent]) -> None:
        self._check(len(line))
        name, _, value = line.partition(b":")
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
                events.append(SSEEvent("error", self._text(value)))
            case _:
                pass  # comments have an empty name; id, retry and unknown fields mean nothing here

    def _dispatch(self, events: list[SSEEvent]) -> None:
        if self._data is not None:
            name = self._text(self._name) if self._name else "message"
            events.append(SSEEvent(name, self._text(self._data)))
            self._data = None
        self._name = b""

    def _hold(self, rest: bytes) -> None:
        if rest:
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
