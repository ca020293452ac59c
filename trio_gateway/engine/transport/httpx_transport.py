"""httpx's face of the client: an ``httpx.AsyncBaseTransport`` that keeps one client an origin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import httpx

from ...core.upstream_api.http_framing import InvalidRequestError
from .client import Http1Client
from .connect import make_ssl_context
from .origin import Origin
from .pool import PoolLimits, PoolStatistics

if TYPE_CHECKING:
    import ssl

    from .response import Response
    from .round_trip import Request

__all__ = ["TrioTransport"]

# Written by the client, as it has the whole body.
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_PORTS: Final = {"http": 80, "https": 443}


class TrioTransport(httpx.AsyncBaseTransport):
    """Transport for ``httpx.AsyncClient``, on Trio, HTTP/1.1 only.

    Of the extension ``timeout`` only ``connect`` is kept. A request's body is read into memory before it is
    sent. A response's ``extensions["retried"]`` is :attr:`.response.Response.retried`. Connections are kept
    for each origin that is asked, so redirects should be off.
    """

    def __init__(
        self, *, ssl_context: ssl.SSLContext | None = None, limits: PoolLimits | None = None
    ) -> None:
        self._context = ssl_context
        self._limits = limits or PoolLimits()
        self._clients: dict[Origin, Http1Client] = {}

    @property
    def statistics(self) -> PoolStatistics:
        """The numbers of all origins together."""
        numbers = [client.statistics for client in self._clients.values()]
        return PoolStatistics(
            opened=sum(each.opened for each in numbers),
            reused=sum(each.reused for each in numbers),
            stale=sum(each.stale for each in numbers),
            active=sum(each.active for each in numbers),
            idle=sum(each.idle for each in numbers),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*; the body of the response is read from its stream."""
        client = self._client_of(request.url)
        seconds = request.extensions.get("timeout", {}).get("connect")
        response = await client.open(
            await _prepare(client, request), math.inf if seconds is None else seconds
        )
        return httpx.Response(
            response.status,
            headers=list(response.fields),
            stream=_Body(response),
            extensions={
                "http_version": b"HTTP/1.%d" % response.head.minor,
                "reason_phrase": response.head.reason,
                "retried": response.retried,
            },
        )

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        for client in self._clients.values():
            client.close()

    def _client_of(self, url: httpx.URL) -> Http1Client:
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol("only http:// and https:// are spoken")
        host = url.raw_host.decode("ascii")
        origin = Origin(host, url.port or _PORTS[url.scheme], url.scheme == "https")
        if origin not in self._clients:
            if origin.secure and self._context is None:
                self._context = make_ssl_context()
            self._clients[origin] = Http1Client(origin, ssl_context=self._context, limits=self._limits)
        return self._clients[origin]


class _Body(httpx.AsyncByteStream):
    """Body of a response: an iterator, as a generator would have to be closed apart."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._response.receive()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._response.close()


async def _prepare(client: Http1Client, request: httpx.Request) -> Request:
    fields = [(name, value) for name, value in request.headers.raw if name.lower() not in _FRAMING]
    body = await request.aread()
    try:
        return client.prepare(request.method.encode("ascii"), request.url.raw_path, fields, (body,))
    except (InvalidRequestError, UnicodeEncodeError) as error:
        raise httpx.LocalProtocolError("the request is not valid in HTTP") from error
