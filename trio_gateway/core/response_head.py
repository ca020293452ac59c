"""Response heads: reads an upstream's heads from bytes, and refuses those that are no safe ground for a body.

Two readers of one connection may disagree where a body ends if its head gives two lengths, or a length and
chunks, or folds a field over two lines; the rest would then be taken for the answer to another request. So
nothing of that passes, whatever HTTP allows a lenient reader. Heads are bounded as well: bytes, fields, and
interim answers (1xx) before the final one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_INTERIM", "HeadError", "HeadReader", "ResponseHead"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of one head: many times what any chain of proxies adds."""
MAX_FIELDS: Final = 1000
"""Fields of one head."""
MAX_INTERIM: Final = 16
"""Interim answers (100, 102, 103) before the final one."""
_MAX_LENGTH: Final = 15
"""Digits of a body's length: a petabyte."""

_PREFIX: Final = b"HTTP/1."
_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9][0-9])(?: [^\x00\r]*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DIGITS = re.compile(rb"[0-9]+")
_SWITCHING: Final = 101


class HeadError(ValueError):
    """A head is refused; the message is a sentence for the log."""


class ResponseHead(Struct, frozen=True):
    """The final head of one answer."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    """Names in lower case, and values, in their order."""
    raw: bytes
    """The head as it came, its empty line included."""
    chunked: bool
    """The body comes in chunks."""
    length: int | None
    """Bytes of a body that does not; None: it ends with the connection."""

    def field(self, name: bytes) -> bytes | None:
        """The values of the fields of that *name* (lower case), joined by commas; None: there is none."""
        values = [value for each, value in self.fields if each == name]
        return b", ".join(values) if values else None


class HeadReader:
    """Reads from a connection up to the end of the next final head.

    >>> HeadReader().feed(b"HTTP/1.1 100 Continue\\r\\n\\r\\nHTTP/1.1 204 No Content\\r\\n\\r\\n").status
    204
    """

    __slots__ = ("_buffer", "_interim", "_searched", "rest")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # how much of it holds no end of a head
        self._interim = 0
        self.rest = b""
        """What came after the final head: the beginning of the body."""

    def feed(self, data: bytes) -> ResponseHead | None:
        """Take what one read gave; the final head, once it is complete.

        Raises:
            HeadError: it is refused, and the connection is of no further use.
        """
        self._buffer += data
        for head in self._heads():
            if head.status >= 200:
                self.rest, self._buffer = bytes(self._buffer), bytearray()
                return head
            self._interim += 1
            if head.status == _SWITCHING or self._interim > MAX_INTERIM:
                raise HeadError("The upstream switches protocols, or sends interim answers without end.")
        return None

    def _heads(self) -> Iterator[ResponseHead]:
        """The heads that are complete, taken from the buffer one by one."""
        while True:
            if not _PREFIX.startswith(bytes(self._buffer[: len(_PREFIX)])):
                raise HeadError("The upstream does not speak HTTP/1.")
            found = _END.search(self._buffer, self._searched, MAX_HEAD)
            if found is None:
                break
            lines = bytes(self._buffer[: found.start()])
            raw = bytes(self._buffer[: found.end()])
            del self._buffer[: found.end()]
            self._searched = 0
            yield _parsed(lines, raw)
        self._searched = max(0, len(self._buffer) - 2)
        if len(self._buffer) >= MAX_HEAD:
            raise HeadError(f"The head of the upstream's answer is longer than {MAX_HEAD} bytes.")


def _parsed(text: bytes, raw: bytes) -> ResponseHead:
    first, *lines = (line.removesuffix(b"\r") for line in text.split(b"\n"))
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise HeadError("The upstream's answer has no status line.")
    if len(lines) > MAX_FIELDS:
        raise HeadError(f"The head of the upstream's answer has more than {MAX_FIELDS} fields.")
    status, fields = int(status_line[1]), tuple(map(_field, lines))
    chunked, length = _framing(status, fields)
    return ResponseHead(status, fields, raw, chunked, length)


def _field(line: bytes) -> tuple[bytes, bytes]:
    if line.startswith((b" ", b"\t")):
        raise HeadError("The head of the upstream's answer folds a field over two lines.")
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or b"\r" in value or b"\0" in value:
        raise HeadError("The head of the upstream's answer has a line that is no field.")
    return name.lower(), value.strip(b" \t")


def _framing(status: int, fields: Sequence[tuple[bytes, bytes]]) -> tuple[bool, int | None]:
    """Whether the body is chunked, and else its length."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise HeadError("The head of the upstream's answer gives the length of the body twice.")
    if codings and codings != [b"chunked"]:
        raise HeadError("The upstream's answer has a transfer coding that was not asked for.")
    if lengths and not (len(lengths[0]) <= _MAX_LENGTH and _DIGITS.fullmatch(lengths[0])):
        raise HeadError("The upstream's answer has a length that is no number.")
    if status < 200 or status in {204, 304}:  # these have no body, whatever they announce
        return False, 0
    return bool(codings), int(lengths[0]) if lengths else None
