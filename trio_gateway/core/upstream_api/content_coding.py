"""Content codings: decompresses an upstream's body in bounded pieces, with a limit on the ratio.

``identity``, ``gzip`` and ``deflate`` are read, one of them and once; every other coding, and every list of
codings, is refused. The caller feeds what one read gave, then takes pieces until there is none, and lets
other tasks run in between: 64 KiB of zeros, compressed twice, would be 60 GB.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PIECE", "ContentCodingError", "ContentDecoder"]

PIECE: Final = 64 * 1024
"""Bytes of decompressed data given at a time: about 0.3 ms of work."""
_MAX_RATIO: Final = 100
"""Decompressed bytes allowed per byte received. Real JSON stays under 20; a bomb is at 1,000."""
_FREE: Final = 1024 * 1024
"""Decompressed bytes that are always allowed, so that a short, repetitive answer is no bomb."""


class ContentCodingError(ValueError):
    """The body cannot be decompressed; the message may be shown to clients."""


class _Inflater(Protocol):
    """What is used of zlib's decompressors."""

    @property
    def eof(self) -> bool: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class ContentDecoder:
    """Decompresses one body.

    >>> decoder = ContentDecoder("deflate")
    >>> b"".join(decoder.pieces(zlib.compress(b"data: 1")))
    b'data: 1'
    """

    __slots__ = ("_coding", "_inflater", "_received", "_sent", "_start", "is_identity")

    def __init__(self, coding: str) -> None:
        """Decode *coding*, the value of a ``Content-Encoding`` field, empty where there is none.

        Raises:
            ContentCodingError: it is none of the three, or a list.
        """
        self._coding = coding.strip().lower() or "identity"
        self.is_identity = self._coding == "identity"
        """The body is not compressed."""
        self._inflater: _Inflater | None = None
        self._start = b""  # the first byte of a deflated body, which alone does not tell its form
        self._received = 0
        self._sent = 0
        if self._coding == "gzip":
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif self._coding not in {"identity", "deflate"}:
            raise ContentCodingError("The upstream used a content encoding that was not asked for.")

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode *data*, the next bytes of the body: pieces of at most 64 KiB, none of them empty.

        What follows the end of the compressed stream is ignored.

        Raises:
            ContentCodingError: the data is not compressed as the coding says, or far too well.
        """
        self._received += len(data)
        if self._coding == "identity":
            yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))
            return
        if self._inflater is None:
            data = self._start + data
            if len(data) < 2:  # zlib's header has two
                self._start = data
                return
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if _has_header(data) else -zlib.MAX_WBITS)
        yield from self._inflated(self._inflater, data)

    def _inflated(self, inflater: _Inflater, data: bytes) -> Iterator[bytes]:
        while not inflater.eof:  # after it zlib would collect whatever comes
            try:
                piece = inflater.decompress(data, PIECE)
            except zlib.error as error:
                raise ContentCodingError("The upstream sent a body that cannot be decompressed.") from error
            if not piece:
                return
            self._sent += len(piece)
            if self._sent > max(_FREE, _MAX_RATIO * self._received):
                raise ContentCodingError("The upstream sent a body that inflates too far.")
            yield piece
            data = inflater.unconsumed_tail


def _has_header(data: bytes) -> bool:
    """Whether deflated data begins with the header of RFC 1950, as it should; some servers leave it out."""
    return data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
