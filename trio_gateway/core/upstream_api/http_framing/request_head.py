"""Heads of requests: encodes them, and refuses what would break out of its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from .abnf import END_OF_LINE, TEXT, TOKEN
from .violations import InvalidRequestError

__all__ = ["Fields", "encode_request_head"]

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names and values of header fields, in their order."""

_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_HEAD: Final = re.compile(
    TOKEN + rb" [\x21-\x7e]++ HTTP/1\.1\r\n(?:" + TOKEN + rb": " + TEXT + rb"\r\n)*+\r\n"
)


def encode_request_head(method: bytes, target: bytes, fields: Fields, length: int) -> bytes:
    """Encode the head of a request whose body has *length* bytes.

    The body's length is written here, so *fields* must not contain any framing of their own.

    >>> encode_request_head(b"GET", b"/v1/models", [(b"Host", b"a")], 0)
    b'GET /v1/models HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'

    Raises:
        InvalidRequestError: a part is no token or holds a line break, or a field frames the body.
    """
    lines = [method + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in fields]
    if length or method in _WITH_BODY:
        lines.append(b"Content-Length: %d" % length)
    head = END_OF_LINE.join((*lines, b"", b""))
    # The grammar alone would let a value bring another line with it, if that line is a field.
    if not _HEAD.fullmatch(head) or head.count(END_OF_LINE) != len(lines) + 1:
        raise InvalidRequestError("the method, the target or a field of the request is not valid in HTTP")
    if any(name.lower() in _FRAMING for name, _ in fields):
        raise InvalidRequestError("the fields of a request must not frame its body; that is done here")
    return head
