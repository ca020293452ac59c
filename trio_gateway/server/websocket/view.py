"""Chat completions over a WebSocket: the stream that SSE carries, a text frame an event.

``{"event": "phase" | "message" | "error", "data": …}``, where the data is what the SSE event's is, byte for
byte. What is refused by status over HTTP is an error frame and ``[DONE]`` here, and the socket stays; only
what is wrong with the upgrade itself is refused with a status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from quart.asgi import ASGIWebsocketConnection
from quart_trio.asgi import TrioASGIWebsocketConnection

from ...core.access.shown_key import key_protocols, shown_key
from ...core.errors import RequestError, error_for
from ..chat_http import header_format
from ..origins import may_speak
from ..transport.rfc6455 import MAILBOX, SEND_TEXTS
from .session import Conversation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
    from quart.wrappers import Websocket

    from ...core.client_api import WireFormat
    from ...engine.clients import Client
    from ...engine.gateway import Gateway
    from .mailbox import Mailbox
    from .session import SocketWire

__all__ = ["WebSocketConnection", "talk"]

_WIRE: Final = "gateway.wire"
"""Key of the ASGI scope, to the socket's :class:`~trio_gateway.server.websocket.session.SocketWire`."""


class _Wire:
    """The messages of a socket, without Quart and hypercorn's queue in between.

    Quart's own queue takes an empty binary message for None, ends in one exception or another depending on
    its version, and is a second place where messages wait.
    """

    def __init__(self, mailbox: Mailbox, send_texts: Callable[[Iterable[str]], Awaitable[None]]) -> None:
        self.mailbox = mailbox
        self._send_texts = send_texts

    async def send(self, texts: Iterable[str]) -> None:
        await self._send_texts(texts)


class WebSocketConnection(TrioASGIWebsocketConnection):
    """One socket, from its upgrade on: set it as the application's ``asgi_websocket_class``.

    The view has the socket's messages to itself, and must receive them (see :func:`talk`).
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await receive()  # that there is a connection, which the scope has said
        state = cast("dict[str, Any]", self.scope["state"])
        wire = _Wire(state[MAILBOX], state[SEND_TEXTS])
        self.scope[_WIRE] = wire  # type: ignore[typeddict-unknown-key]
        websocket = self._create_websocket_from_scope(send)
        try:
            await ASGIWebsocketConnection.handle_websocket(self, websocket, send)
        finally:
            del self.scope[_WIRE]  # type: ignore[typeddict-item]  # it holds the socket, which holds the scope


async def talk(
    gateway: Gateway,
    websocket: Websocket,
    *,
    client: Client,
    request_id: str,
    draining: Callable[[], Awaitable[None]],
    path_format: WireFormat | None = None,
) -> None:
    """Answer the requests of one WebSocket, which *client* has opened, until either side ends it.

    *draining* returns when the gateway begins to stop. *path_format*: the format that the path stands for.

    Raises:
        RequestError: the upgrade is refused.
    """
    fixed_format = path_format or header_format(websocket.headers)
    _check_origin(websocket, gateway.config.server.cors_origins)
    headers = {"X-Request-Id": request_id}
    if fixed_format is not None:  # else each request may choose
        headers["X-Stream-Format"] = fixed_format.name
    subprotocol = next(iter(key_protocols(websocket.requested_subprotocols)), None)
    await websocket.accept(headers, subprotocol)
    conversation = Conversation(
        gateway,
        cast("dict[str, SocketWire]", websocket.scope)[_WIRE],
        client,
        peer=_peer(websocket),
        socket_id=request_id,
        fixed_format=fixed_format,
        authorization=_authorization(websocket),
        traceparent=websocket.headers.get("traceparent"),
    )
    end = await conversation.run(draining)
    if end is not None:
        await websocket.close(end.code, end.reason)


def _peer(websocket: Websocket) -> str | None:
    peer = websocket.scope.get("client")
    return None if peer is None else peer[0]


def _authorization(websocket: Websocket) -> str | None:
    """What the client shows of itself, as the value of ``Authorization``."""
    authorization = websocket.headers.get("Authorization")
    if authorization is not None:
        return authorization
    shown = shown_key([], websocket.requested_subprotocols)
    return None if shown is None else f"Bearer {shown}"


def _check_origin(websocket: Websocket, allowed: tuple[str, ...]) -> None:
    host = websocket.headers.get("Host")
    for origin in websocket.headers.getlist("Origin"):
        if not may_speak(origin, host=host, allowed=allowed):
            raise RequestError(error_for("forbidden", "Pages of this origin may not use the gateway."))
