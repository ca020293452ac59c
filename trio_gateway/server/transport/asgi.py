"""Quart-Trio's connection: corrects the ends that it leaves loose.

* The request's nursery has one task, in which Quart runs; its stream's tasks are started there too. Where the
  server is ours, it reports itself that the client has left, and cancels them.
* Other servers may report ``http.disconnect`` from inside the last ``send``; Quart-Trio takes it for the
  client's leaving and cancels that ``send``, and with it the server's own tidying up. Here that report means
  nothing once the last part of the answer has been handed over.
* Quart keeps a body in memory whether a view wants it or not, newer versions one of any size. Here
  ``request.body`` is an :class:`~.incoming.IncomingBody`, and Quart gets nothing of it. A
  connection closes after an answer that has not waited for the whole of it.
* A client that waits for ``100 Continue`` gets it when the view asks for the body, unless the length it has
  announced is refused anyway.
* A body that is whole is handed over in one message.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import trio
from hypercorn.typing import LifespanStartupFailedEvent
from quart.utils import encode_headers
from quart.wrappers.response import DataBody, Response, ResponseBody
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGILifespan

from .incoming import IncomingBody
from .request_stream import STREAM, RequestStream

if TYPE_CHECKING:
    from types import TracebackType

    from hypercorn.typing import (
        ASGIReceiveCallable,
        ASGISendCallable,
        ASGISendEvent,
        HTTPResponseStartEvent,
    )
    from quart.typing import ResponseTypes
    from quart.wrappers import Request

__all__ = [
    "BODY",
    "CLEANUP",
    "CONTEXT",
    "NURSERY",
    "HTTPConnection",
    "Lifespan",
    "ResponseWriter",
    "StreamedBody",
]

CLEANUP: Final = "gateway.cleanup"
"""Key of the ASGI scope: the callables that :class:`HTTPConnection` calls when the request is over."""

BODY: Final = "gateway.body"
"""Key of the ASGI scope, to the :class:`ResponseWriter` of the answer."""


NURSERY: Final = "gateway.nursery"
"""Key of the ASGI scope, to the request's nursery: what runs there ends with the answer or its client."""


CONTEXT: Final = "gateway.context"
"""Key of the ASGI scope, to the context without Quart's variables. A task that is started in another one
keeps the request and all that belongs to it for as long as it runs."""


class ResponseWriter(Protocol):
    """What writes the body of a streamed answer."""

    def framed(self, data: bytes) -> bytes:
        """*data* as it stands on the wire."""

    def send_nowait(self, data: bytes) -> int:
        """Give framed bytes to the socket as far as it has room; how many left."""

    async def send_rest(self, data: bytes) -> None:
        """Send framed bytes that did not leave, and wait until they have."""

    async def send_head(self) -> None:
        """Send the head of the answer where nothing of its body is there yet."""


class StreamedBody(ResponseBody):
    """Body that writes itself to the client, under deadlines of its own."""

    @abstractmethod
    async def deliver(self) -> None:
        """Write all of it."""

    async def __aenter__(self) -> StreamedBody:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """What writes it ends with the request's nursery."""

    def __aiter__(self) -> StreamedBody:
        return self

    async def __anext__(self) -> bytes:
        await self.deliver()
        raise StopAsyncIteration


class HTTPConnection(TrioASGIHTTPConnection):
    """One request and its answer: set it as the application's ``asgi_http_class``.

    What must happen at the end of each request, even when the client leaves after the
    view has returned and before the body has begun, goes as a callable without arguments into the list
    ``request.scope.setdefault(CLEANUP, [])``. Each is called once, the last one first, in the request's
    own task, after its handler has ended; one that raises does not keep the others from their turn.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        stream: RequestStream | None = self.scope.get("state", {}).get(STREAM)
        # Where another application stands between, it may read, change or hold what passes through it.
        direct = stream is not None and (receive, send) == (stream.receive, stream.send)
        server: RequestStream | _Exchange = (
            stream if stream is not None and direct else _Exchange(receive, send)
        )
        headers = dict(self.scope["headers"])
        length = headers.get(b"content-length", b"")
        self._body = server.body
        self._body.expect(
            announced=int(length) if length.isdigit() else None,
            limit=self.app.config["MAX_CONTENT_LENGTH"],
            invite=server.invite if b"expect" in headers else None,
        )
        if isinstance(server, _Exchange):
            send = server.send
        chunked = isinstance(server, RequestStream) and server.writes_chunks
        self.scope[BODY] = server if chunked else _Parts(send)  # type: ignore[typeddict-unknown-key]
        try:
            async with trio.open_nursery() as nursery:
                self.scope[NURSERY] = nursery  # type: ignore[typeddict-unknown-key]
                self.scope[CONTEXT] = copy_context()  # type: ignore[typeddict-unknown-key]
                if isinstance(server, _Exchange):
                    nursery.start_soon(server.watch, nursery.cancel_scope)
                else:
                    server.on_leaving(nursery.cancel_scope.cancel)
                await self.handle_request(nursery, self._create_request_from_scope(send), send)
        finally:
            kept = cast("dict[str, Any]", self.scope)
            with ExitStack() as stack:
                for cleanup in kept.pop(CLEANUP, []):
                    stack.callback(cleanup)
            for key in (BODY, CONTEXT, NURSERY):  # they hold the scope, or what holds it
                kept.pop(key, None)

    def _create_request_from_scope(self, send: ASGISendCallable) -> Request:
        request = super()._create_request_from_scope(send)
        request.body = self._body  # type: ignore[assignment]  # it does what Quart asks of a body
        return request

    async def handle_request(  # type: ignore[override]  # as the base does
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        response = await self.app.handle_request(request)
        del request  # with its headers it would be kept for a whole stream
        body = response.response if isinstance(response, Response) else None
        if isinstance(body, StreamedBody):
            await send(_start_of(response))
            del response
            await body.deliver()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif isinstance(body, DataBody):
            async with body as parts:
                data = b"".join([part async for part in parts])
            await send(_start_of(response))
            await send({"type": "http.response.body", "body": data, "more_body": False})
        else:
            with trio.move_on_after(self.app.config["RESPONSE_TIMEOUT"]):
                await self._send_response(send, response)
        nursery.cancel_scope.cancel()

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        # Newer Quart raises here when the client has left already; there is nobody to be told.
        if not getattr(self, "_disconnected", False):
            await super()._send_response(send, response)


def _start_of(response: ResponseTypes) -> HTTPResponseStartEvent:
    fields = encode_headers(response.headers)
    return {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": fields,
        "trailers": False,
    }


class _Parts:
    """Writer of a body that is handed to the server, which frames it."""

    def __init__(self, send: ASGISendCallable) -> None:
        self._send = send

    @staticmethod
    def framed(data: bytes) -> bytes:
        """*data* as it is."""
        return data

    def send_nowait(self, data: bytes) -> int:
        """Nothing leaves without waiting."""
        return 0

    async def send_rest(self, data: bytes) -> None:
        """Send bytes of the body, after which more may follow."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def send_head(self) -> None:
        """Send nothing of the body: the server may send the head then."""
        await self.send_rest(b"")


class _Exchange:
    """The two callables of one request, between a server that is not ours and Quart."""

    def __init__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        self._receive = receive
        self._send = send
        self._answered = False
        self.body = IncomingBody()

    async def invite(self) -> None:
        """Leave it to the server when a client that waits for ``100 Continue`` gets it."""

    async def watch(self, request: trio.CancelScope) -> None:
        """Feed the body; cancel *request* when the client leaves before it has its answer."""
        while (message := await self._receive())["type"] == "http.request":
            await self.body.wait_for_room()
            self.body.feed(message.get("body", b""))
            if not message.get("more_body", False):
                self.body.end()
        if not self._answered:
            request.cancel()

    async def send(self, message: ASGISendEvent) -> None:
        """Pass on a part of the answer."""
        if message["type"] == "http.response.start":
            self.body.close()  # what is left of it must not stand before the news that the client is gone
            if message["status"] == 413:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif message["type"] == "http.response.body":
            self._answered = not message.get("more_body", False)
        await self._send(message)


class Lifespan(TrioASGILifespan):
    """The application's life, which begins under trio or not at all: set it as ``asgi_lifespan_class``."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if trio.lowlevel.in_trio_task():
            await super().__call__(receive, send)
            return
        await receive()
        message = "trio_gateway needs hypercorn's trio worker: hypercorn -k trio trio_gateway:app"
        await send(LifespanStartupFailedEvent(type="lifespan.startup.failed", message=message))
