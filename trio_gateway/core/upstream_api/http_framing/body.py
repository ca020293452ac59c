"""Bodies of responses: how a body is framed, and the decoders of its three framings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from .chunked import ChunkedDecoder
from .violations import FramingError, IncompleteBodyError

if TYPE_CHECKING:
    from .response_head import ResponseHead

__all__ = ["BodyDecoder", "CloseDecoder", "Framing", "LengthDecoder", "frame_body"]

_LENGTH: Final = re.compile(rb"[0-9]{1,19}+")
# RFC 9112, section 6.3: these have no body whatever their fields are.
_BODILESS: Final = frozenset({204, 304})


class BodyDecoder(Protocol):
    """Decoder of one body: bytes of the connection in, bytes of the body out."""

    done: bool
    """Whether the body is complete."""
    excess: bool
    """Whether bytes came behind the end of the body: then the connection must not be used again."""
    error: FramingError | None
    """What is wrong with the bytes behind those that ``feed`` returned last."""

    def feed(self, data: bytes) -> bytes:
        """Take what the socket gave; return what it holds of the body, all in one piece.

        Raises:
            FramingError: the framing is broken. What came before the fault is returned first; then
                ``error`` is set, and the next call raises it.
        """

    def finish(self) -> bytes:
        """Take the end of the connection; return nothing.

        Raises:
            IncompleteBodyError: the body was not complete.
        """


class Framing(Struct, frozen=True):
    """How one response's body is read, and what becomes of the connection after it."""

    decoder: BodyDecoder
    keep_alive: bool
    """Whether the server keeps the connection open when the body is complete."""


class LengthDecoder:
    """Decoder of a body whose length in bytes is known."""

    __slots__ = ("_left", "done", "error", "excess")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = not length
        self.excess = False
        self.error: FramingError | None = None

    def feed(self, data: bytes) -> bytes:
        """See :class:`BodyDecoder`; this framing cannot break."""
        payload = data[: self._left]
        self._left -= len(payload)
        self.done = not self._left
        self.excess = self.excess or len(data) > len(payload)
        return payload

    def finish(self) -> bytes:
        """See :class:`BodyDecoder`."""
        if self._left:
            raise IncompleteBodyError(f"{self._left} bytes of the body are missing")
        return b""


class CloseDecoder:
    """Decoder of a body that ends with its connection."""

    __slots__ = ("done", "error", "excess")

    def __init__(self) -> None:
        self.done = self.excess = False
        self.error: FramingError | None = None

    def feed(self, data: bytes) -> bytes:
        """See :class:`BodyDecoder`; this framing cannot break."""
        return data

    def finish(self) -> bytes:
        """See :class:`BodyDecoder`; this is how such a body ends."""
        self.done = True
        return b""


def frame_body(head: ResponseHead, method: bytes) -> Framing:
    """Decide how the body behind *head*, the response to *method*, is framed (RFC 9112, section 6.3).

    Refused are both framings at once, a length that is given twice (even where both are equal: one of them
    was added by a chain that does not know the other), and every transfer coding but a single ``chunked``.

    Raises:
        FramingError: the head frames its body in none of the accepted ways.
    """
    codings = head.find_all(b"transfer-encoding")
    lengths = head.find_all(b"content-length")
    if codings and lengths:
        raise FramingError("the body is framed twice: by its length and by a transfer coding")
    decoder = _chunked(codings) if codings else _by_length(lengths)
    if method == b"HEAD" or head.status in _BODILESS:
        decoder = LengthDecoder(0)
    return Framing(decoder, _is_kept_alive(head) and not isinstance(decoder, CloseDecoder))


def _chunked(codings: list[bytes]) -> BodyDecoder:
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise FramingError("the body has another transfer coding than a single `chunked`")
    return ChunkedDecoder()


def _by_length(lengths: list[bytes]) -> BodyDecoder:
    if not lengths:
        return CloseDecoder()
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise FramingError("the length of the body is not one decimal number")
    return LengthDecoder(int(lengths[0]))


def _is_kept_alive(head: ResponseHead) -> bool:
    """Whether the server keeps the connection; one of HTTP/1.0 is never kept."""
    options = b",".join(head.find_all(b"connection")).lower().split(b",")
    return head.minor == 1 and b"close" not in [option.strip() for option in options]
