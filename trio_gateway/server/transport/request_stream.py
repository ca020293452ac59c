"""Stream of one HTTP request: hands it to the application and writes the answer.

It takes the place of hypercorn's class of that purpose. What it does otherwise:

* The request is one task. The body's parts are put into an :class:`~.incoming.IncomingBody`, and the
  application is called when the client has left; hypercorn and Quart-Trio have a queue and a task for each.
* The head of the answer leaves together with what follows it, an answer in one piece in one write.
* An application may write the chunks of a body itself, past ASGI, hypercorn and h11, which cost 30 µs for
  each. h11 frames the head before and the end after them; a chunk between changes nothing in its state.
* Where the answer comes before the whole of the request, the connection ends behind it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

import h11
import trio
from hypercorn.protocol.events import Body, EndBody, Event, Request, StreamClosed
from hypercorn.typing import ConnectionState
from hypercorn.utils import UnexpectedMessageError, build_and_validate_headers, suppress_body

from .incoming import IncomingBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hypercorn.protocol.h11 import H11Protocol
    from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, HTTPScope

__all__ = ["STREAM", "ClientSocket", "RequestStream"]

STREAM: Final = "gateway.stream"
"""Key of the ASGI scope's ``state``, to the request's :class:`RequestStream`."""

_STREAM_ID: Final = 1
_CLOSE: Final = (b"connection", b"close")


class ClientSocket(Protocol):
    """What a stream needs of the connection to its client."""

    def send_nowait(self, data: bytes) -> int:
        """Give *data* to the kernel as far as it takes it at once; the number of bytes that left."""

    async def send_rest(self, data: bytes) -> None:
        """Write *data* whole, within the deadline of a write."""

    async def meanwhile(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Await *wait*, with an eye on the socket."""


class RequestStream:
    """One request of an HTTP/1.1 connection, and its answer."""

    def __init__(self, protocol: H11Protocol, connection: h11.Connection, socket: ClientSocket) -> None:
        self._protocol = protocol
        self._connection = connection
        self._socket = socket
        self._started_at = time.time()
        self._scope: HTTPScope
        self._status: int | None = None  # of the answer, once it has begun
        self._logged_fields: list[tuple[bytes, bytes]] = []
        self._head = b""  # of the answer, until something follows it
        self._answered = False
        self._read_whole = False
        self._over: trio.Event | None = None  # for an application that receives by ASGI
        self._leaving: list[Callable[[], object]] = []
        self.body = IncomingBody()
        """The body of the request."""
        self.closed = False
        """Nothing more is exchanged with the client."""

    def begin(self, request: Request) -> None:
        """Start the application's task for *request*."""
        protocol = self._protocol
        path, _, query = request.raw_path.partition(b"?")
        self._scope = {
            "type": "http",
            "http_version": request.http_version,
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": request.method,
            "scheme": "https" if protocol.ssl else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": protocol.config.root_path,
            "headers": request.headers,
            "client": protocol.client,
            "server": protocol.server,
            "state": ConnectionState({**request.state, STREAM: self}),
            "extensions": {},
        }
        protocol.task_group.spawn(self._run)

    async def handle(self, event: Event) -> None:
        """Take what the protocol has of the client: parts of the body, its end, the end of the connection."""
        match event:
            case Body():
                if not self.body.has_room:
                    await self._socket.meanwhile(self.body.wait_for_room)
                self.body.feed(bytes(event.data))
            case EndBody():
                self.body.end()
            case StreamClosed() if not self.closed:
                self.closed = True
                if self._over is not None:
                    self._over.set()
                    self.body.close()
                if not self._answered:
                    await self._log(None)
                    for leave in self._leaving:
                        leave()

    def on_leaving(self, call: Callable[[], object]) -> None:
        """Have *call* called when the client leaves before it has its answer; at once where it has left."""
        self._leaving.append(call)
        if self.closed:
            call()

    async def invite(self) -> None:
        """Ask a client that waits for ``100 Continue`` to send its body, if there is one that waits."""
        if self._connection.client_is_waiting_for_100_continue:
            await self._write(self._encoded(h11.InformationalResponse(status_code=100, headers=[])))

    async def refuse(self, status: int) -> None:
        """Answer with *status* and nothing else, and end the connection."""
        await self._answer_nothing(status)
        self.closed = True

    async def _run(self) -> None:
        try:
            await self._serve()
            if not self.closed:
                await self._end()
        finally:
            self._scope["state"].clear()  # it holds this object, which would keep itself
            self._leaving.clear()

    async def _serve(self) -> None:
        protocol = self._protocol
        try:
            await protocol.app(
                self._scope, self.receive, self.send, trio.to_thread.run_sync, trio.from_thread.run
            )
        except Exception:  # trio gives cancellation, alone or in a group, another base
            await protocol.config.log.exception("Error in ASGI Framework")

    async def _end(self) -> None:
        """End the connection after an application that has not answered, or not to the end."""
        if self._status is None:
            await self._answer_nothing(500)
        if not self.closed:
            await self._recycle()

    async def _answer_nothing(self, status: int) -> None:
        self._start(status, [(b"content-length", b"0"), _CLOSE])
        await self._write(self._taken_head() + self._encoded(h11.EndOfMessage()))
        self._answered = True

    # What ASGI asks of a server.

    async def receive(self) -> ASGIReceiveEvent:
        """The next part of the body; then, when it comes to that, that the client has left or its answer."""
        if self._over is None:
            self._over = trio.Event()
        if not (self._read_whole or self.closed):
            await self.invite()
            part = await self.body.next()
            self._read_whole = self.body.is_over
            if not self.closed and self._status is None:
                return {"type": "http.request", "body": part or b"", "more_body": not self._read_whole}
        if not self.closed:
            await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: ASGISendEvent) -> None:
        """Write a part of the answer. Its head is held until something follows."""
        if self.closed:
            await trio.lowlevel.checkpoint()  # where a handler that only ever sends is cancelled
        elif message["type"] == "http.response.start" and self._status is None:
            self._start(int(message["status"]), build_and_validate_headers(message.get("headers", [])))
        elif message["type"] == "http.response.body" and self._status is not None:
            await self._send_body(
                self._status, bytes(message.get("body", b"")), more=message.get("more_body", False)
            )
        else:
            raise UnexpectedMessageError(None, message["type"])  # type: ignore[arg-type]  # it is shown only

    async def _send_body(self, status: int, data: bytes, *, more: bool) -> None:
        if suppress_body(self._scope["method"], status):
            data = b""
        out = self._taken_head() + (self._encoded(h11.Data(data=data)) if data else b"")
        if more:
            await self._write(out)
            await trio.lowlevel.checkpoint()  # while there is room, nothing else gives others their turn
            return
        out += self._encoded(h11.EndOfMessage())
        self._answered = True
        await self._write(out)
        await self._log(status)
        await self._recycle()

    # What writes the chunks of a streamed answer.

    @property
    def writes_chunks(self) -> bool:
        """Whether a body may be written by chunks, with the next three methods."""
        return self._scope["http_version"] == "1.1" and self._scope["method"] != "HEAD"

    def framed(self, data: bytes) -> bytes:
        """*data*, which is not empty, as one chunk, behind the head if that has not left."""
        if self._head:
            return b"%b%x\r\n%b\r\n" % (self._taken_head(), len(data), data)
        return b"%x\r\n%b\r\n" % (len(data), data)

    def send_nowait(self, data: bytes) -> int:
        """Give framed bytes to the socket as far as it has room; returns how many left."""
        return self._socket.send_nowait(data)

    async def send_rest(self, data: bytes) -> None:
        """Send framed bytes that did not leave, and wait until they have."""
        await self._socket.send_rest(data)

    async def send_head(self) -> None:
        """Send the head of the answer, if it is held still."""
        if self._head:
            await self._write(self._taken_head())

    def _start(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Make the head of the answer."""
        protocol = self._protocol
        self._status = status
        if protocol.config.accesslog is not None:  # else they are not kept for the whole answer
            self._logged_fields = fields
        self.body.close()  # what is left of it must not stand before the news that the client has left
        fields += protocol.config.response_headers("h11")
        if (
            status == 413
            or self._connection.their_state is h11.SEND_BODY
            or protocol.keep_alive_requests >= protocol.config.keep_alive_max_requests
        ):
            fields = [*(field for field in fields if field[0].lower() != _CLOSE[0]), _CLOSE]
        self._head = self._encoded(h11.Response(status_code=status, headers=fields))

    def _taken_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _encoded(self, event: h11.Event) -> bytes:
        try:
            return self._connection.send(event) or b""
        except h11.LocalProtocolError:
            if self._connection.their_state is not h11.ERROR:
                raise
            return b""  # the client has broken the protocol, and has been answered by what found it

    async def _write(self, data: bytes) -> None:
        if rest := data[self._socket.send_nowait(data) :]:
            await self._socket.send_rest(rest)

    async def _log(self, status: int | None) -> None:
        """Write the line of hypercorn's access log, if it has one; None: the client left unanswered."""
        response = None if status is None else {"status": status, "headers": self._logged_fields}
        seconds = time.time() - self._started_at
        await self._protocol.config.log.access(self._scope, response, seconds)  # type: ignore[arg-type]

    async def _recycle(self) -> None:
        """Let the next request of the connection follow."""
        await self._protocol.stream_send(StreamClosed(stream_id=_STREAM_ID))
