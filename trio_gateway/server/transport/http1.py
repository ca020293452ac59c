"""What passes as a request: HTTP/1.1 read strictly, over hypercorn's protocol class and h11.

h11 is lenient where RFC 9112 lets it be, and hypercorn changes protocol when a client asks for it.
Both are doors: where two readers of one byte stream disagree about its line ends, folds or framing,
a second request can be hidden in a first one, and hypercorn's HTTP/2 and WebSocket code raises on
bytes that come before their time. So:

* lines end in CRLF, header fields are not folded, in requests and in trailers alike;
* a header block has one size limit, whether it came in one read or in many (h11 looks at the size
  only while the block is incomplete);
* a request is framed by Content-Length or by chunks, never by both, and never by chunks in HTTP/1.0;
* an upgrade to WebSocket is complete and right, and nothing stands behind it until it is answered;
* a client that waits for ``100 Continue`` gets it when the application wants the body, not before: a request
  that is refused by its head alone never sends its body. (Hypercorn sends it before the application has seen
  the request.) An answer that does not wait for the body ends the connection, and announces that;
* HTTP/2 is not spoken: an offer of h2c is passed over, the preface of HTTP/2 is answered with 505.

What is refused gets a status and an error object as its body, and the connection ends.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final

import h11
import trio
from h11._receivebuffer import ReceiveBuffer
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import ASGIWebsocketState, Handshake, WSStream
from hypercorn.typing import ConnectionState
from hypercorn.utils import valid_server_name

from .request_stream import ClientSocket, RequestStream
from .rfc6455 import MAILBOX, SEND_TEXTS, StrictWebSocket

__all__ = ["StrictHTTP1"]

_LAX_LINE_END = re.compile(rb"(?<!\r)\n|\n[ \t]")
"""A line feed alone, or a line that goes on in the next one."""

_TARGET = re.compile(rb"/|\*$|[\w.:-]+$|https?://[\w.:-]+/")
"""How a request target begins: a path, ``*``, an authority (CONNECT), or a URL as proxies get it."""

_MESSAGES: Final = {
    400: "This request is not valid HTTP/1.1, or opens a WebSocket in a wrong way.",
    431: (
        "The request line and the header fields are too large: at most {:,} bytes together. "
        "Look for a long path, cookies or tokens."
    ),
    505: "This version of HTTP is not served: use HTTP/1.1.",
}
"""What the errors of this floor say, by status, given the size that a head may have."""

_WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")


class StrictHTTP1(H11Protocol):
    """hypercorn's HTTP/1.1 connection, for clean requests only.

    :meth:`handle` raises whatever the code below it raises: the caller must expect any exception.
    """

    stream: RequestStream | StrictWebSocket | None  # type: ignore[assignment]  # in place of hypercorn's

    def __init__(self, *args: Any) -> None:  # noqa: ANN401  (handed on as they are)
        super().__init__(*args)
        self.connection = self._strict = _StrictConnection(self.config.h11_max_incomplete_size)

    def connect(self, socket: ClientSocket) -> None:
        """Give streams a way to the connection itself."""
        self._socket = socket
        self.can_read = _Turn(socket)

    async def handle(self, event: Event) -> None:
        """Take bytes, or the news that the client is gone."""
        stream = self.stream
        if isinstance(event, RawData) and isinstance(stream, WSStream) and not stream.handshake.accepted:
            if stream.state is ASGIWebsocketState.HANDSHAKE:  # else a refusal is under way
                await self._refuse(400)
        else:
            await super().handle(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1.1, whatever the client prefers."""

    async def _create_stream(self, request: h11.Request) -> None:
        status = self._refusal(request)
        if status is not None:
            await self._refuse(status)
            return
        if request.method == b"GET" and _upgrades(request):
            await self._upgrade(request)
        else:
            await self._begin(request)
        if self.stream is not None and self.stream.closed:
            await self.send(Closed())  # hypercorn has refused it, and would leave the connection open

    async def _begin(self, request: h11.Request) -> None:
        """Serve a request, by a stream of our own class."""
        opening = Request(
            stream_id=STREAM_ID,
            headers=list(request.headers),
            http_version=request.http_version.decode(),
            method=request.method.decode("ascii").upper(),
            raw_path=request.target,
            state=self.connection_state,
        )
        self.stream = stream = RequestStream(self, self._strict, self._socket)
        if valid_server_name(self.config, opening):
            stream.begin(opening)
            self.keep_alive_requests += 1
            await self.context.mark_request()
        else:
            await stream.refuse(404)

    async def _upgrade(self, request: h11.Request) -> None:
        """Make the connection a WebSocket, as the base does, of our own class."""
        self.stream = StrictWebSocket(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        self.connection = H11WSConnection(self._strict)
        opening = Request(
            stream_id=STREAM_ID,
            headers=list(request.headers),
            http_version=request.http_version.decode(),
            method="GET",
            raw_path=request.target,
            state=ConnectionState(
                {
                    **self.connection_state,
                    SEND_TEXTS: self.stream.send_texts,
                    MAILBOX: self.stream.mailbox,
                }
            ),
        )
        await self.stream.handle(opening)
        await self.context.mark_request()

    def _refusal(self, request: h11.Request) -> int | None:
        """The status that *request* is refused with, if it is."""
        headers = dict(request.headers)
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
        framed = headers.keys() & {b"content-length", b"transfer-encoding"}
        if not request.http_version.startswith(b"1."):
            return 505
        if size > self.config.h11_max_incomplete_size:
            return 431
        if len(framed) == 2 or (b"transfer-encoding" in framed and request.http_version == b"1.0"):
            return 400
        if not _TARGET.match(request.target):
            return 400
        if _upgrades(request) and (framed or self.connection.trailing_data[0] or not _shakes_hands(request)):
            return 400
        return None

    async def _refuse(self, status: int) -> None:
        await self._send_error_response(status)
        await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        if isinstance(self.stream, RequestStream):
            await self._close_stream()  # it gets this answer, and its handler must not come in between
        status = HTTPStatus(400 if status_code == 501 else status_code)  # h11: 501 for unknown codings
        message = _MESSAGES.get(status, status.phrase).format(self.config.h11_max_incomplete_size)
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        body = json.dumps({"error": error}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        if getattr(self.connection, "_request_method", None) == b"HEAD":
            body = b""
        events = (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        await self.send(RawData(b"".join(self.connection.send(event) for event in events)))


def _upgrades(request: h11.Request) -> bool:
    return (b"upgrade", b"websocket") in {(name, value.lower()) for name, value in request.headers}


def _shakes_hands(request: h11.Request) -> bool:
    """Whether *request* is a whole and valid opening of a WebSocket."""
    try:
        handshake = Handshake(list(request.headers), request.http_version.decode())
    except UnicodeDecodeError:  # hypercorn takes those fields for ASCII
        return False
    return handshake.is_valid() and _WEBSOCKET_KEY.fullmatch(handshake.key or b"") is not None


class _Turn:
    """Event of the turn of a request behind another one; the client is watched meanwhile."""

    def __init__(self, socket: ClientSocket) -> None:
        self._socket = socket
        self._event: trio.Event | None = None  # while a request waits

    async def clear(self) -> None:
        self._event = trio.Event()

    async def wait(self) -> None:
        if self._event is not None:
            await self._socket.meanwhile(self._event.wait)

    async def set(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event = None

    def is_set(self) -> bool:
        return self._event is None


class _StrictConnection(h11.Connection):
    def __init__(self, max_head: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head)
        self._receive_buffer = _StrictBuffer()

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """What hypercorn looks at. The truth is in h11's ``client_is_waiting_for_100_continue``."""
        return False


class _StrictBuffer(ReceiveBuffer):
    """h11's buffer, which here does not forgive how lines end."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        raw = bytes(self)
        lines = super().maybe_extract_lines()
        if lines is not None and _LAX_LINE_END.search(raw, 0, len(raw) - len(self)):
            raise h11.LocalProtocolError("a line ends without CR, or is folded")  # h11 makes a 400 of it
        return lines
