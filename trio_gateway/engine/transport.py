"""Transport of upstream requests: httpcore's pool, over connections whose answers are checked and re-framed.

What comes from a socket goes through the readers of :mod:`..core.response_head` and
:mod:`..core.response_body` before httpcore and h11 see it. They get one head, without the interim answers
before it, and the body with one chunk a read, without extensions and trailers: otherwise an upstream that
sends one byte a chunk costs ten thousand events a read, with no chance for other tasks to run in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import trio

from ..core.response_body import BodyError, BodyReader
from ..core.response_head import HeadError, HeadReader

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable

__all__ = ["AnswerRefusedError", "Transport"]

# Connections kept open while idle, and for how many seconds.
_MAX_IDLE = 64
_IDLE_TIME = 5.0


class AnswerRefusedError(httpcore.RemoteProtocolError):
    """The head or the framing of an answer is refused; the message is a sentence for clients."""


class Transport(httpx.AsyncBaseTransport):
    """Sends requests over pooled connections; raises httpcore's exceptions.

    *ssl_context*: for ``https``; None: httpcore's own, made when it is first needed.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        # No limit of connections: httpcore loses a slot whenever a request is cancelled while it waits for
        # one (httpcore #1093).
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE_TIME,
            network_backend=_Network(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*; the response's body is read from its stream."""
        response = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response.stream))

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """The stream of a response's body, as httpx wants it."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 -- httpcore's types leave out that it can be closed
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Network(httpcore.AsyncNetworkBackend):
    """Opens connections through Trio."""

    def __init__(self) -> None:
        self._backend = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Connection(
            await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        )

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Connection(httpcore.AsyncNetworkStream):
    """A connection that hands on answers in a plain form, and nothing that follows them."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head = HeadReader()
        self._body: BodyReader | None = None
        self._chunked = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            if self._body is not None and self._body.unfinished:
                received = b""
                await trio.lowlevel.checkpoint()
            elif not (received := await self._stream.read(max_bytes, timeout)):
                return b""
            try:
                if data := self._plain(received):
                    return data
            except (HeadError, BodyError) as error:
                raise AnswerRefusedError(str(error)) from error

    def _plain(self, received: bytes) -> bytes:
        """What *received* adds to the answer, re-framed; empty where that is nothing yet."""
        start = b""
        if self._body is None:
            head = self._head.feed(received)
            if head is None:
                return b""
            self._body, self._chunked = BodyReader(head), head.chunked
            start, received = head.raw, self._head.rest
        data = self._body.feed(received)
        if self._chunked:
            end = b"0\r\n\r\n" if self._body.done else b""
            data = b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end
        return start + data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._body is not None:  # the next request
            self._head, self._body = HeadReader(), None
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Connection(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 -- as httpcore declares it
        if info == "is_readable" and self._body is not None and self._body.surplus:
            return True  # httpcore takes an idle connection with something to read for a dead one
        return self._stream.get_extra_info(info)
