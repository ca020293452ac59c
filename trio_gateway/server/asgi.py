"""Quart-Trio's side of a request, with the ends put right that it leaves loose, on old and new versions.

* Hypercorn reports ``http.disconnect`` from inside the last ``send``; Quart-Trio takes it for the
  client's leaving and cancels that ``send``, and with it hypercorn's own tidying up: an idle
  keep-alive connection then never closes, and SIGTERM waits for it. Here that report is held back
  once the last part of the answer has been handed over.
* Newer Quart keeps a body of any size in memory until it has arrived, and looks at its size only
  then. Here nothing is passed on beyond ``MAX_CONTENT_LENGTH``, and a connection closes after the 413
  that Quart makes of it.
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from hypercorn.typing import (
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
        HTTPRequestEvent,
    )
    from quart.typing import ResponseTypes
    from quart.wrappers import Request
    from quart.wrappers.request import Body

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

    What must happen at the end of a request whatever becomes of it, even when the client leaves after the
    view has returned and before the body has begun, goes as a callable without arguments into the list
    ``request.scope.setdefault(CLEANUP, [])``. Each is called once, the last one first, in the request's
    own task, after its handler has ended; one that raises does not keep the others from their turn.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        exchange = _Exchange(receive, send, self.app.config["MAX_CONTENT_LENGTH"])
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
        invite = self.scope.get("state", {}).get(INVITE)
        if invite is not None and "Expect" in request.headers:
            request.body = _InvitedBody(request.body, invite)  # type: ignore[assignment]
        return request

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        # Newer Quart raises here when the client has left already; there is nobody to be told.
        if not getattr(self, "_disconnected", False):
            await super()._send_response(send, response)


class _InvitedBody:
    """A request's body whose client sends it when it is asked to, which is when the view awaits it."""

    def __init__(self, body: Body, invite: Callable[[], Awaitable[None]]) -> None:
        self._body = body
        self._invite = invite

    def __getattr__(self, name: str) -> object:
        return getattr(self._body, name)

    def __await__(self) -> Generator[object, object, bytes]:
        if self._body._must_raise is None:  # else it is too large by its announced length
            yield from self._invite().__await__()
        data: bytes = yield from self._body.__await__()
        return data


class _Exchange:
    """The two callables of one request, between hypercorn and Quart."""

    def __init__(self, receive: ASGIReceiveCallable, send: ASGISendCallable, max_body: int | None) -> None:
        self._receive = receive
        self._send = send
        self._room = max_body
        self._too_large = False
        self._answered = False

    async def receive(self) -> ASGIReceiveEvent:
        while True:
            message = await self._receive()
            if message["type"] == "http.request":
                if not self._too_large:
                    return self._measured(message)
            elif self._answered:
                await trio.sleep_forever()  # until the handler has returned from its last send
            else:
                return message

    def _measured(self, message: HTTPRequestEvent) -> HTTPRequestEvent:
        if self._room is not None:
            self._room -= len(message["body"])
            self._too_large = self._room < 0
        if self._too_large:
            message["more_body"] = False
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
        if message["type"] == "http.response.start" and message["status"] == 413:
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
