"""Pool of connections to one origin: chooses and counts them, in constant time.

Theory of operation. Idle connections lie on a stack: the one that was used last is taken first, as it is the
least likely to have been closed by the server. The others grow old at the other end, where they are dropped,
a few whenever the pool is touched, when they have expired or there are too many. No task watches them, so a
connection that no request takes stays open until the next request; :meth:`Pool.expire` is for owners who want
to close it earlier.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

if TYPE_CHECKING:
    from .tcp import Wire

__all__ = ["Connection", "Pool", "PoolLimits", "PoolStatistics"]


class PoolLimits(Struct, frozen=True):
    """Limits on idle connections; those in use are the caller's to count."""

    idle: int = 64
    """Connections."""
    expiry: float = 5.0
    """Seconds. uvicorn, and with it vLLM and SGLang, closes after 5; httpx has the same default."""


class PoolStatistics(Struct, frozen=True):
    """Numbers for metrics: the first three only grow."""

    opened: int
    reused: int
    stale: int
    """Idle connections that turned out to be closed by the server, or not fit to be used again."""
    active: int
    idle: int


class Connection:
    """Connection of a pool: its holder gives it back or drops it, whichever comes first.

    What is done a second time has no effect.
    """

    __slots__ = ("_pool", "expires_at", "reused", "wire")

    def __init__(self, wire: Wire, pool: Pool) -> None:
        self.wire = wire
        self.reused = False
        """Whether it has served an earlier request."""
        self.expires_at = 0.0
        self._pool = pool

    def give_back(self) -> None:
        """Let another request have it."""
        self._pool.give_back(self)

    def drop(self) -> None:
        """Close it, at once."""
        self._pool.drop(self)


class Pool:
    """The connections of one origin, idle and in use."""

    __slots__ = ("_active", "_idle", "_keeps", "_limits", "closed", "opened", "reused", "stale")

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._idle: deque[Connection] = deque()  # in the order in which they expire
        self._active: set[Connection] = set()
        self._keeps = True
        self.closed = False
        self.opened = self.reused = self.stale = 0

    @property
    def statistics(self) -> PoolStatistics:
        """The numbers of this moment."""
        return PoolStatistics(self.opened, self.reused, self.stale, len(self._active), len(self._idle))

    def take(self) -> Connection | None:
        """An idle connection that the server has not closed, if there is one.

        Raises:
            trio.ClosedResourceError: the pool has been closed.
        """
        self._check_open()
        self.expire()
        while self._idle:
            connection = self._idle.pop()
            if connection.wire.is_quiet():
                self._active.add(connection)
                self.reused += 1
                connection.reused = True
                return connection
            self.stale += 1
            connection.wire.close()
        return None

    def add(self, wire: Wire) -> Connection:
        """Count in a connection that was opened just now.

        Raises:
            trio.ClosedResourceError: the pool has been closed meanwhile; so is *wire*.
        """
        if self.closed:
            wire.close()
        self._check_open()
        connection = Connection(wire, self)
        self._active.add(connection)
        self.opened += 1
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection in use for another request; the oldest one goes where there are too many."""
        if connection not in self._active:
            return
        if not self._keeps:
            self.drop(connection)
            return
        self._active.remove(connection)
        connection.expires_at = trio.current_time() + self._limits.expiry
        self._idle.append(connection)
        self.expire()

    def drop(self, connection: Connection) -> None:
        """Close a connection in use."""
        self._active.discard(connection)
        connection.wire.close()

    def expire(self) -> None:
        """Close the idle connections that have expired or are too many."""
        now = trio.current_time()
        while self._idle and (self._idle[0].expires_at <= now or len(self._idle) > self._limits.idle):
            self._idle.popleft().wire.close()

    def retire(self) -> None:
        """Keep no connection from now on but those in use, until they are given back."""
        self._keeps = False
        while self._idle:
            self._idle.pop().wire.close()

    def close(self) -> None:
        """Close every connection, those in use too: a task that waits on one gets an error."""
        self.closed = True
        self.retire()
        for connection in self._active:
            connection.wire.close()
        self._active.clear()

    def _check_open(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("this client was closed")
