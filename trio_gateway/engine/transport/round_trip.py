"""One request and the head of its response, over one connection."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from ...core.upstream_api.http_framing import FramingError, HeadReader
from .failures import (
    BROKEN,
    ConnectFaultError,
    PeerProtocolError,
    ReadFaultError,
    TransportFault,
    TransportFaultError,
    WriteFaultError,
    tls_fault,
)

if TYPE_CHECKING:
    from ...core.upstream_api.http_framing import ResponseHead
    from .tcp import Wire

__all__ = ["Request", "RoundTrip"]

# Bytes that the send buffer of a new connection takes whole (Linux starts with 16 KiB and more), so that a
# server which does not read cannot keep the one task that would read its answer.
_SMALL: Final = 16_384
# From this status on, a server that answers early does not want the rest of the body.
_REFUSALS: Final = 300


class Request(Struct, frozen=True):
    """A request as it is written."""

    method: bytes
    head: bytes
    pieces: tuple[bytes, ...] = ()
    """The body, in pieces that are written one after another."""


class RoundTrip:
    """Writes a request and reads the head of its response.

    A server may answer before it has read all of the request, with 413 for instance, and close. So a large
    request is written by a task of its own, and a failure to write is no failure until there is no answer.
    """

    __slots__ = ("_reader", "_request", "_wire", "sent")

    def __init__(self, wire: Wire, request: Request) -> None:
        self._wire = wire
        self._request = request
        self._reader = HeadReader()
        self.sent = False
        """Whether the request was written to its end."""

    @property
    def answered(self) -> bool:
        """Whether anything of a response has come."""
        return self._reader.started

    @property
    def rest(self) -> bytes:
        """What came behind the head."""
        return self._reader.rest

    async def run(self) -> ResponseHead:
        """Return the head of the final response.

        Raises:
            TransportFaultError: there is none.
        """
        request = self._request
        if len(request.head) + sum(map(len, request.pieces)) > _SMALL:
            return await self._write_while_reading()
        await self._write(b"".join((request.head, *request.pieces)))
        return await self._read_head()

    async def _write(self, *parts: bytes) -> None:
        with suppress(*BROKEN):  # the answer may have come before that, so the reader decides
            for part in parts:
                await self._wire.send_all(part)
            self.sent = True

    async def _write_while_reading(self) -> ResponseHead:
        outcome: ResponseHead | TransportFaultError
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, self._request.head, *self._request.pieces)
            try:
                outcome = await self._read_head()
            except TransportFaultError as error:
                outcome = error  # not through the nursery, which would wrap it
            if isinstance(outcome, TransportFaultError) or outcome.status >= _REFUSALS:
                nursery.cancel_scope.cancel()
        if isinstance(outcome, TransportFaultError):
            raise outcome
        return outcome

    async def _read_head(self) -> ResponseHead:
        head = None
        while head is None:
            try:
                data = await self._wire.receive()
            except BROKEN as error:
                raise self._lost(error) from error
            if not data:
                raise self._lost(None)
            try:
                head = self._reader.feed(data)
            except FramingError as error:
                raise PeerProtocolError(TransportFault.VIOLATION, str(error)) from error
        return head

    def _lost(self, error: Exception | None) -> TransportFaultError:
        """The fault of a connection that broke by *error*, or ended, before there was a response."""
        if isinstance(error, ssl.SSLError):  # TLS 1.3 asks for a client's certificate behind the handshake
            return ConnectFaultError(tls_fault(error))
        if not self.sent:
            return WriteFaultError(TransportFault.WRITE)
        if error is not None:
            return ReadFaultError(TransportFault.RESET)
        return PeerProtocolError(TransportFault.DISCONNECTED)
