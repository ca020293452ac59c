"""Heads of responses: a strict, incremental parser that also skips informational responses.

Theory of operation. A head ends at the first empty line. Until that has come, the bytes are held, up to a
limit, and refused as soon as they cannot become a head any more: a server of another protocol, or that
ends its lines with a bare LF, must not have to run into a timeout. The whole head is then parsed by two
regular expressions: one for the status line, one that finds every field. The number of fields found must be
the number of lines there are; a line that is no field (folded, without a colon, with a blank in its name)
makes the two differ.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from .abnf import END_OF_LINE, TEXT, TOKEN
from .violations import FramingError

if TYPE_CHECKING:
    from .request_head import Fields

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_INFORMATIONAL", "HeadReader", "ResponseHead"]

MAX_HEAD: Final = 65_536
"""Bytes of one head, its empty line included: many times what any chain of proxies adds."""

MAX_FIELDS: Final = 1_000
"""Fields of one head, and of the trailers of one body."""

MAX_INFORMATIONAL: Final = 16
"""Informational responses (100, 102, 103) before the final one."""

_HEAD_END: Final = b"\r\n\r\n"
_PROTOCOL: Final = b"HTTP/1."
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# A status line may lack its reason, and the blank before it too: some servers leave them out.
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (" + TEXT + rb"))?\r\n")
_FIELD: Final = re.compile(rb"^(" + TOKEN + rb"):[ \t]*+(" + TEXT + rb")\r\n", re.MULTILINE)
_NO_STATUS_LINE: Final = "the response does not begin with a status line of HTTP/1.0 or HTTP/1.1"
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL: Final = 200


class ResponseHead(Struct, frozen=True):
    """The head of a final response."""

    status: int
    """From 200 to 999."""
    reason: bytes
    minor: int
    """Of the version: 0 or 1."""
    fields: Fields
    """Names in lower case, values without the blanks around them, in the order in which they came."""

    def find(self, name: bytes) -> bytes | None:
        """The value of the first field of that name (in lower case)."""
        return next((value for each, value in self.fields if each == name), None)

    def find_all(self, name: bytes) -> list[bytes]:
        """The values of every field of that name (in lower case)."""
        return [value for each, value in self.fields if each == name]


class HeadReader:
    r"""Reads one final response head out of the bytes of a connection.

    >>> reader = HeadReader()
    >>> reader.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20"), reader.feed(b"4 Empty\r\n\r\nrest")
    (None, ResponseHead(status=204, reason=b'Empty', minor=1, fields=[]))
    >>> reader.rest
    b'rest'
    """

    __slots__ = ("_informational", "_scanned", "rest", "started")

    def __init__(self) -> None:
        self._scanned = 0  # bytes of `rest` that have been searched for the head's end
        self._informational = 0
        self.rest = b""
        """What is held of an unfinished head; once that is whole, what came behind it."""
        self.started = False
        """Whether anything has come at all."""

    def feed(self, data: bytes) -> ResponseHead | None:
        """Take what the socket gave; return the final head once it is whole.

        Raises:
            FramingError: this is no response, or more than the limits allow.
        """
        self.started = True
        held = self.rest + data
        while (end := held.find(_HEAD_END, max(0, self._scanned - 3))) >= 0:
            head = _parse(held[: end + 2])
            held = held[end + 4 :]
            self._scanned = 0
            if head.status >= _FIRST_FINAL:
                self.rest = held
                return head
            self._skip(head.status)
        self._hold(held)
        return None

    def _skip(self, status: int) -> None:
        self._informational += 1
        if status == _SWITCHING_PROTOCOLS:
            raise FramingError("the response switches protocols, which was not asked for")
        if self._informational > MAX_INFORMATIONAL:
            raise FramingError(f"more than {MAX_INFORMATIONAL} informational responses")

    def _hold(self, held: bytes) -> None:
        if not held.startswith(_PROTOCOL[: len(held)]):
            raise FramingError(_NO_STATUS_LINE)
        if _BARE_LF.search(held, self._scanned):
            raise FramingError("a line of the head ends with a bare LF")
        if len(held) >= MAX_HEAD:  # its end is still to come
            raise FramingError(f"the head is longer than {MAX_HEAD} bytes")
        self._scanned = len(held)
        self.rest = held


def _parse(head: bytes) -> ResponseHead:
    """Parse the lines of a *head*, the empty one left out."""
    lines = head.count(END_OF_LINE)
    if len(head) + 2 > MAX_HEAD:
        raise FramingError(f"the head is longer than {MAX_HEAD} bytes")
    if head.count(b"\n") != lines:
        raise FramingError("a line of the head ends with a bare LF")
    if lines - 1 > MAX_FIELDS:
        raise FramingError(f"the head has more than {MAX_FIELDS} fields")
    status_line = _STATUS_LINE.match(head)
    if status_line is None:
        raise FramingError(_NO_STATUS_LINE)
    minor, status, reason = status_line.groups(b"")
    fields = _FIELD.findall(head, status_line.end())
    if len(fields) != lines - 1:
        raise FramingError(_why_not_fields(head))
    named = [(name.lower(), value.rstrip(b" \t")) for name, value in fields]
    return ResponseHead(int(status), reason, int(minor), named)


def _why_not_fields(head: bytes) -> str:
    if b"\r\n " in head or b"\r\n\t" in head:
        return "a field of the head is folded over several lines"
    return "a line of the head is not a field: a name, a colon and a value"
