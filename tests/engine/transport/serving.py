"""Server of raw bytes on loopback, with counts of what a client leaves open."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from tests.support import until
from trio_gateway.engine.transport import Http1Client, Origin

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from trio_gateway.core.upstream_api.http_framing import Fields
    from trio_gateway.engine.transport import PoolLimits

__all__ = ["FIELDS", "Peer", "Script", "Server", "answers", "fetch", "open_client", "open_server", "sockets"]

FIELDS: Fields = [(b"Accept", b"*/*")]


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: Server, stream: trio.abc.Stream, number: int) -> None:
        self.server = server
        self.stream = stream
        self.number = number
        """From 0, in the order in which connections were accepted."""

    async def read_request(self) -> bytes:
        """One request, its body included; nothing at the end of the connection."""
        request = b""
        while data := await self.stream.receive_some(65536):
            request += data
            head, found, body = request.partition(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
            if found and len(body) >= length:
                self.server.requests.append(request)
                return request
        return b""

    async def wait_for_end(self) -> None:
        """Until the client has closed the connection; what it sends is dropped."""
        while await self.stream.receive_some(65536):
            pass


Script: TypeAlias = Callable[[Peer], Awaitable[None]]


class Server:
    """A server and its counts."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.accepted = 0
        self.open = 0
        self.requests: list[bytes] = []

    def origin(self, *, secure: bool = False, host: str = "127.0.0.1") -> Origin:
        return Origin(host, self.port, secure)


@asynccontextmanager
async def open_server(
    script: Script, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Serve *script*, a call a connection, which is closed when the script returns."""

    async def serve(tcp: trio.SocketStream) -> None:
        stream: trio.abc.Stream = tcp
        if context is not None:
            stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        server.accepted += 1
        server.open += 1
        try:
            await script(Peer(server, stream, server.accepted - 1))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client hung up
        finally:
            server.open -= 1
            await trio.aclose_forcefully(tcp)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host=host))
        server = Server(listener.socket.getsockname()[1])
        yield server
        nursery.cancel_scope.cancel()


def answers(*raw: bytes) -> Script:
    """A script that sends one of *raw* to each request of a connection, and then waits for the client."""

    async def script(peer: Peer) -> None:
        for answer in raw:
            if not await peer.read_request():
                return
            await peer.stream.send_all(answer)
        await peer.wait_for_end()

    return script


@asynccontextmanager
async def open_client(
    server: Server, *, context: ssl.SSLContext | None = None, limits: PoolLimits | None = None
) -> AsyncIterator[Http1Client]:
    """A client of *server*; when it is closed, every connection must be."""
    client = Http1Client(server.origin(secure=context is not None), ssl_context=context, limits=limits)
    try:
        yield client
    finally:
        client.close()
        with trio.CancelScope(shield=True):
            await until(lambda: server.open == 0)
    assert (client.statistics.active, client.statistics.idle) == (0, 0)


async def fetch(client: Http1Client, body: bytes = b"{}", method: bytes = b"POST") -> tuple[int, bytes]:
    """Status and body of one request."""
    async with client.request(method, b"/", FIELDS, body) as response:
        received = b""
        while chunk := await response.receive():
            received += chunk
        return response.status, received


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
        except FileNotFoundError:  # the folder's own
            continue
    return count
