"""Idle connections of a worker: ends them when the worker drains.

One task waits for that on behalf of all of them; a connection costs no more than its place in a set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

import trio

if TYPE_CHECKING:
    from hypercorn.typing import WorkerContext

__all__ = ["IdleConnections", "idle_connections"]


class _Connection(Protocol):
    def drain(self) -> None:
        """End soon: no request is under way, and the worker takes no more."""


class IdleConnections:
    """Those connections of one worker on which no request is under way."""

    def __init__(self, worker: WorkerContext) -> None:
        self._connections: set[_Connection] = set()
        self._terminated = worker.terminated
        # A system task, as the connections are what is waited for when the worker ends, and this is not.
        trio.lowlevel.spawn_system_task(self._drain)

    def add(self, connection: _Connection) -> None:
        """Take a connection in; where the worker drains already, it ends soon."""
        self._connections.add(connection)
        if self._terminated.is_set():
            connection.drain()

    def discard(self, connection: _Connection) -> None:
        """Forget a connection: it has a request, or is over."""
        self._connections.discard(connection)

    async def _drain(self) -> None:
        await self._terminated.wait()
        for connection in self._connections:
            connection.drain()


_OF_WORKERS: WeakKeyDictionary[WorkerContext, IdleConnections] = WeakKeyDictionary()


def idle_connections(worker: WorkerContext) -> IdleConnections:
    """The idle connections of *worker*: the same object for each connection."""
    if (known := _OF_WORKERS.get(worker)) is None:
        known = _OF_WORKERS[worker] = IdleConnections(worker)
    return known
