"""Client of one origin: makes requests over pooled connections, without objects of httpx."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...core.upstream_api.http_framing import Framing, FramingError, encode_request_head, frame_body
from .connect import make_ssl_context, open_wire
from .failures import PeerProtocolError, TransportFault, TransportFaultError
from .pool import Pool, PoolLimits
from .response import Response
from .round_trip import Request, RoundTrip

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from ...core.upstream_api.http_framing import Fields
    from .origin import Origin
    from .pool import Connection, PoolStatistics

__all__ = ["Http1Client"]


class _StaleConnectionError(Exception):
    """A pooled connection that the server closed before any byte of a response."""


class Http1Client:
    """Requests to one origin::

        async with client.request(b"POST", b"/v1/chat/completions", fields, body) as response:
            while chunk := await response.receive():
                ...

    Of the limits of time only the one for connecting is kept here; the others are the caller's scopes.
    """

    __slots__ = ("_context", "_limit_to_connect", "_origin", "_pool")

    def __init__(
        self,
        origin: Origin,
        *,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = math.inf,
        limits: PoolLimits | None = None,
    ) -> None:
        self._origin = origin
        self._limit_to_connect = connect_timeout
        self._context = (ssl_context or make_ssl_context()) if origin.secure else None
        self._pool = Pool(limits or PoolLimits())

    @property
    def statistics(self) -> PoolStatistics:
        """Connections opened, used again, found stale, in use, idle."""
        return self._pool.statistics

    def request(self, method: bytes, target: bytes, fields: Fields, body: bytes = b"") -> _OpenResponse:
        """Make a request; entered, it sends it and gives the response. Left, it closes that.

        ``Host`` is added where it is missing, and the body's length always.

        Raises:
            InvalidRequestError: a part of the request cannot be written.
        """
        return _OpenResponse(self, self.prepare(method, target, fields, (body,)))

    def prepare(
        self, method: bytes, target: bytes, fields: Fields, pieces: tuple[bytes, ...] = ()
    ) -> Request:
        """Encode a request for ``open``, its body in *pieces*; see ``request``."""
        if not any(name.lower() == b"host" for name, _ in fields):
            fields = [(b"Host", self._origin.authority), *fields]
        size = sum(map(len, pieces))
        return Request(method, encode_request_head(method, target, fields, size), pieces)

    async def send(
        self, method: bytes, target: bytes, fields: Fields, pieces: tuple[bytes, ...] = ()
    ) -> Response:
        """Send a request and return the response once its head has come. The caller closes it.

        Raises:
            TransportFaultError: as ``open``.
        """
        return await self.open(self.prepare(method, target, fields, pieces))

    async def open(self, request: Request, connect_timeout: float | None = None) -> Response:
        """Send a prepared request and return the response once its head has come. The caller closes it.

        A pooled connection that the server has closed meanwhile is no fault: where no byte of a response
        has come, the request goes once to a new connection.

        Raises:
            TransportFaultError: there is no response, or one that breaks the rules.
            trio.ClosedResourceError: the client was closed.
        """
        stale = False
        if (pooled := self._pool.take()) is not None:
            try:
                return await self._round_trip(pooled, request)
            except _StaleConnectionError:
                self._pool.stale += 1
                stale = True
        limit = self._limit_to_connect if connect_timeout is None else connect_timeout
        fresh = self._pool.add(await open_wire(self._origin, self._context, limit))
        response = await self._round_trip(fresh, request)
        response.retried = stale
        return response

    def expire(self) -> None:
        """Close the idle connections that are too old; requests do so by themselves."""
        self._pool.expire()

    def retire(self) -> None:
        """Keep no connection open from now on, but those of requests that run."""
        self._pool.retire()

    def close(self) -> None:
        """Close every connection, those in use too, and serve no request any more."""
        self._pool.close()

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        self.close()

    async def _round_trip(self, connection: Connection, request: Request) -> Response:
        trip = RoundTrip(connection.wire, request)
        try:
            head = await trip.run()
            framing = frame_body(head, request.method)
        except FramingError as error:
            connection.drop()
            raise PeerProtocolError(TransportFault.VIOLATION, str(error)) from error
        except TransportFaultError as error:
            connection.drop()
            if connection.reused and not trip.answered and not self._pool.closed:
                raise _StaleConnectionError from error
            raise
        except BaseException:
            connection.drop()
            raise
        if not trip.sent:  # the server would take the rest for another request, or the other way round
            framing = Framing(framing.decoder, keep_alive=False)
        return Response(head, framing, trip.rest, connection)


class _OpenResponse:
    """Context of one request: sends it when entered, closes its response when left."""

    __slots__ = ("_client", "_request", "_response")

    def __init__(self, client: Http1Client, request: Request) -> None:
        self._client = client
        self._request = request
        self._response: Response  # set by entering

    async def __aenter__(self) -> Response:
        self._response = await self._client.open(self._request)
        return self._response

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._response.close()
