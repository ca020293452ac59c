"""Quart-Trio's connection: corrects the ends that it leaves loose.

* Hypercorn reports ``http.disconnect`` from inside the last ``send``; Quart-Trio takes it for the
  client's leaving and cancels that ``send``, and with it hypercorn's own tidying up: an idle
  keep-alive connection then never closes, and SIGTERM waits for it. Here that report is held back
  once the last part of the answer has been handed over.
* Quart keeps a body in memory whether a view wants it or not, newer versions one of any size. Here
  ``request.body`` is an :class:`~.incoming.IncomingBody`, and Quart gets nothing of it. A
  connection closes after an answer that has not waited for the whole of it.
* A client that waits for ``100 Continue`` gets it when the view asks for the body, unless the length it has
  announced is refused anyway.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol, cast

import trio
from hypercorn.typing import LifespanStartupFailedEvent
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGILifespan

from .http1 import BODY_WRITER, INVITE
from .incoming import IncomingBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypercorn.typing import (
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
    )
    from quart.typing import ResponseTypes
    from quart.wrappers import Request

__all__ = ["BODY", "CLEANUP", "HTTPConnection", "Lifespan", "ResponseWriter"]

CLEANUP: Final = "gateway.cleanup"
"""Key of the ASGI scope: the callables that :class:`HTTPConnection` calls when the request is over."""

BODY: Final = "gateway.body"
"""Key of the ASGI scope, to the :class:`ResponseWriter` of the answer."""


class ResponseWriter(Protocol):
    """What writes the body of a streamed answer."""

    def framed(self, data: bytes) -> bytes:
        """*data* as it stands on the wire."""

    def send_nowait(self, data: bytes) -> int:
        """Give framed bytes to the socket as far as it has room; how many left."""

    async def send_rest(self, data: bytes) -> None:
        """Send framed bytes that did not leave, and wait until they have."""


class HTTPConnection(TrioASGIHTTPConnection):
    """One request and its answer: set it as the application's ``asgi_http_class``.

    What must happen at the end of each request, even when the client leaves after the
    view has returned and before the body has begun, goes as a callable without arguments into the list
    ``request.scope.setdefault(CLEANUP, [])``. Each is called once, the last one first, in the request's
    own task, after its handler has ended; one that raises does not keep the others from their turn.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        headers = dict(self.scope["headers"])
        length = headers.get(b"content-length", b"")
        self._body = IncomingBody(
            announced=int(length) if length.isdigit() else None,
            limit=self.app.config["MAX_CONTENT_LENGTH"],
            invite=self.scope.get("state", {}).get(INVITE) if b"expect" in headers else None,
        )
        exchange = _Exchange(receive, send, self._body)
        writer = self.scope.get("state", {}).get(BODY_WRITER)
        chunked = writer is not None and self.scope["http_version"] == "1.1"
        self.scope[BODY] = writer if chunked else exchange  # type: ignore[typeddict-unknown-key]
        try:
            await super().__call__(exchange.receive, exchange.send)
        finally:
            with ExitStack() as stack:
                for cleanup in cast("dict[str, list[Callable[[], object]]]", self.scope).pop(CLEANUP, []):
                    stack.callback(cleanup)

    def _create_request_from_scope(self, send: ASGISendCallable) -> Request:
        request = super()._create_request_from_scope(send)
        request.body = self._body  # type: ignore[assignment]  # it does what Quart asks of a body
        return request

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        # Newer Quart raises here when the client has left already; there is nobody to be told.
        if not getattr(self, "_disconnected", False):
            await super()._send_response(send, response)


class _Exchange:
    """The two callables of one request, between hypercorn and Quart."""

    def __init__(self, receive: ASGIReceiveCallable, send: ASGISendCallable, body: IncomingBody) -> None:
        self._receive = receive
        self._send = send
        self._body = body
        self._answered = False

    async def receive(self) -> ASGIReceiveEvent:
        while True:
            message = await self._receive()
            if message["type"] == "http.request":
                await self._body.feed(message)
            elif self._answered:
                await trio.sleep_forever()  # until the handler has returned from its last send
            else:
                return message

    @staticmethod
    def framed(data: bytes) -> bytes:
        """*data* as it is: the server frames it."""
        return data

    def send_nowait(self, data: bytes) -> int:
        """Nothing leaves without waiting: under TLS, and where a body is not sent in chunks."""
        return 0

    async def send_rest(self, data: bytes) -> None:
        """Send bytes of the body, after which more may follow."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._body.close()  # what is left of it must not stand before the news that the client is gone
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
