"""Puts a safer server under the application, by any command.

Hypercorn looks up the class that serves a connection, and its own defaults, after the application has
started. So an application can change them while it starts, under its own ``hypercorn.trio.serve`` and under
the bare command ``hypercorn -k trio`` alike, which :class:`Hardening` does. What the safer class does
otherwise stands in :mod:`trio_gateway.server.transport.connection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from hypercorn.config import Config
from hypercorn.trio import run as worker_module

from .connection import ClientConnection

if TYPE_CHECKING:
    from hypercorn.typing import AppWrapper, LifespanState, WorkerContext

__all__ = ["BACKLOG", "Hardening", "Limits"]

_PATCHED: tuple[tuple[object, str], ...] = (
    (worker_module, "TCPServer"),
    (Config, "backlog"),
    (Config, "graceful_timeout"),
    (Config, "include_server_header"),
    (Config, "alpn_protocols"),
    (Config, "websocket_max_message_size"),
    (Config, "websocket_ping_interval"),
)
BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted; Linux cuts it to net.core.somaxconn. Where there
is no room, a client tries again after a whole second: seen with hypercorn's 100, at 300 clients a second."""

_ORIGINAL = tuple(getattr(owner, name) for owner, name in _PATCHED)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server grants a client; durations in seconds."""

    write_timeout: float = 20.0
    """A client that takes nothing for this long is cut off."""
    graceful_timeout: float = 30.0
    """Time running requests get to finish after SIGTERM, unless hypercorn's own setting says otherwise."""
    max_message: int = 33_554_432
    """Largest message of a WebSocket, in bytes; likewise."""
    heartbeat: float = 15.0
    """A WebSocket gets a ping this often; likewise."""


class Hardening:
    """A safer server for the hypercorn worker that is starting in this process.

    >>> hardening = Hardening(Limits(write_timeout=20.0))
    >>> @app.before_serving
    ... async def harden():
    ...     hardening.install()
    ...     app.nursery.start_soon(end_streams_after, hardening.drain)

    Of hypercorn's settings it changes defaults, never what the user has set: the backlog, the time for a
    graceful end, no ``Server`` header, no HTTP/2 offered over TLS, the size of a WebSocket's messages and its
    pings. Workers of other kinds are not touched.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._worker: WorkerContext | None = None
        self._connected = trio.Event()

    def install(self) -> None:
        """Take effect: to be called while the lifespan starts. A second call changes nothing."""
        limits = self.limits
        _put(
            self._serve,
            BACKLOG,
            limits.graceful_timeout,
            False,
            ["http/1.1"],
            limits.max_message,
            limits.heartbeat,
        )

    def uninstall(self) -> None:
        """Put everything back, unless another worker's hardening has come after this one."""
        if vars(worker_module)["TCPServer"] == self._serve:
            _put(*_ORIGINAL)

    def is_draining(self) -> bool:
        """Whether the worker has been ordered to stop: no new connections, and running requests may finish.

        Known from the first connection on; before it there is nothing to drain.
        """
        return self._worker is not None and self._worker.terminated.is_set()

    async def drain(self) -> None:
        """Return when draining begins. A task of the lifespan's nursery may wait here: the end cancels it."""
        while self._worker is None:
            await self._connected.wait()
        await self._worker.terminated.wait()

    def _serve(
        self,
        app: AppWrapper,
        config: Config,
        worker: WorkerContext,
        state: LifespanState,
        stream: trio.SocketStream,
    ) -> ClientConnection:
        """What hypercorn calls for each connection."""
        self._worker = worker
        self._connected.set()
        return ClientConnection(app, config, worker, state, stream, write_timeout=self.limits.write_timeout)


def _put(*values: object) -> None:
    for (owner, name), value in zip(_PATCHED, values, strict=True):
        setattr(owner, name, value)
