"""One client's connection over streams in memory, to an ASGI application."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from trio_gateway.server.transport.connection import ClientConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hypercorn.typing import ASGIFramework

__all__ = ["connected", "read_all"]


@asynccontextmanager
async def connected(
    app: ASGIFramework,
    *,
    worker: Callable[[trio.CancelScope], object] = bool,
    context: WorkerContext | None = None,
    getpeername: Callable[[], str] = str,
    write_timeout: float = 20.0,
    **settings: object,
) -> AsyncIterator[tuple[trio.StapledStream[Any, Any], trio.Event]]:
    """A client's stream, each of its bytes taken when the server reads it; and the connection's end.

    *worker* is shown the scope of all connections.
    """
    client, stream = trio.testing.lockstep_stream_pair()
    stream.socket = SimpleNamespace(  # type: ignore[attr-defined]
        family=socket.AF_UNIX, getpeername=getpeername, getsockname=str
    )
    config = Config.from_mapping({"errorlog": None, "include_server_header": False, **settings})
    connection = ClientConnection(
        ASGIWrapper(app),
        config,
        context or WorkerContext(None),
        {},
        stream,  # type: ignore[arg-type]
        write_timeout=write_timeout,
    )
    ended = trio.Event()

    async def run() -> None:
        await connection.run()
        ended.set()

    async with trio.open_nursery() as nursery:
        worker(nursery.cancel_scope)
        nursery.start_soon(run)
        yield client, ended
        nursery.cancel_scope.cancel()


async def read_all(client: trio.StapledStream[Any, Any]) -> bytes:
    got = b""
    while data := await client.receive_some():
        got += data
    return got
