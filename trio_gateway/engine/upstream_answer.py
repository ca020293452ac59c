"""Upstream answer: the body of a response, and the failure that takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from ..core.errors import clean_text
from ..core.upstream_api.content_coding import ContentCodingError, ContentDecoder
from ..core.upstream_api.faults import Fault, fault_of_transport
from .transport import TransportFaultError
from .transport_wording import fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..core.upstream_api.chunks import InbandError
    from .transport import Response
    from .transport.proxied import ProxiedResponse

__all__ = ["UpstreamAnswer", "UpstreamFailure", "accepted"]

# Characters of a media type that an error shows.
_MAX_MEDIA_TYPE: Final = 80


class UpstreamFailure(Exception):  # noqa: N818  (it is the failure of an upstream, not an error of ours)
    """An attempt failed; ``fault`` is what that means.

    ``report`` is the upstream's own, if there is one. It may hold a key and is never shown.
    """

    def __init__(self, fault: Fault, report: InbandError | None = None) -> None:
        super().__init__(fault.error.message)
        self.fault = fault
        self.report = report

    @classmethod
    def of(cls, code: str, message: str, *, cause: str = "") -> UpstreamFailure:
        """A fault of the connection or of the stream's form; *cause*: in a few words."""
        return cls(fault_of_transport(code, message, cause=cause))

    def redacted(self, secrets: Sequence[str]) -> UpstreamFailure:
        """The same failure, its error without *secrets*."""
        return UpstreamFailure(self.fault.redacted(secrets), self.report)


class UpstreamAnswer:
    """The body of a response, decompressed a piece at a time."""

    def __init__(self, response: Response | ProxiedResponse) -> None:
        self._response = response
        head = dict(response.fields)
        codings = [value for name, value in response.fields if name == b"content-encoding"]
        try:
            self._decoder = ContentDecoder(b", ".join(codings).decode("latin-1"))
        except ContentCodingError as error:
            raise _named(error) from error
        self._pieces: Iterator[bytes] = iter(())
        self.media_type = head.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        self.streamed = self.media_type != "application/json"
        """Server-sent events, or one JSON object (some servers ignore ``stream``)."""
        self.is_empty = response.status == 204 or head.get(b"content-length") == b"0"
        """There is no body."""

    async def receive(self) -> bytes:
        """The next bytes of the body, as they come, at most 64 KiB of decompressed ones; empty at its end.

        Raises:
            UpstreamFailure: the connection, the framing or the compression is broken.
        """
        try:
            if piece := next(self._pieces, b""):
                await trio.lowlevel.checkpoint()  # other tasks run between any two pieces of one read
                return piece
            while data := await self._response.receive():
                if self._decoder.is_identity:
                    return data
                self._pieces = self._decoder.pieces(data)
                if piece := next(self._pieces, b""):
                    return piece
        except (TransportFaultError, ContentCodingError) as error:
            raise _named(error) from error
        return b""

    async def read(self, limit: int) -> bytes:
        """The beginning of the body: at least *limit* bytes, and little more, where there are so many."""
        body = bytearray()
        while len(body) < limit and (piece := await self.receive()):
            body += piece
        return bytes(body)


def accepted(response: Response | ProxiedResponse) -> UpstreamAnswer:
    """The body of an accepted answer, once its head promises something that can be read.

    Raises:
        UpstreamFailure: it does not.
    """
    answer = UpstreamAnswer(response)
    if answer.is_empty:
        raise UpstreamFailure.of("empty", "The upstream sent no body.")
    # A missing type is let pass: what is no event stream fails as one soon enough.
    if answer.media_type not in {"", "text/event-stream", "application/json"}:
        media_type = clean_text(answer.media_type, _MAX_MEDIA_TYPE)
        message = f"The upstream answered with {media_type}, which is neither events nor JSON."
        raise UpstreamFailure.of("bad_content_type", message)
    response.drop_fields()
    return answer


def _named(error: TransportFaultError | ContentCodingError) -> UpstreamFailure:
    """A failure of the transport by the gateway's name for it. Its own text stays inside."""
    if isinstance(error, TransportFaultError):
        return UpstreamFailure(fault_of(error.fault))
    return UpstreamFailure.of("bad_content_encoding", str(error))
