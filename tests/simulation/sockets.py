"""A connection in memory, whose ends trio takes for sockets of its own.

It is two :class:`_Pipe`, one a direction, each a bounded buffer: a reader that lags makes the writer wait, as
TCP does. Bytes arrive at once; what takes time is in the actors. What TCP promises and no more is kept:

* a read gives some of what is there, how much is the network's choice;
* after a FIN the reader gets what is left, then nothing; after a reset it gets an error and loses the rest;
* to close a socket with bytes unread, or to write to one that is closed, resets the connection.
"""

from __future__ import annotations

import errno
import socket as stdlib
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.network import Listener, Network

__all__ = ["PORT", "Address", "Socket"]

Address: TypeAlias = tuple[str, int]
PORT = 80


class _Pipe:
    """One direction of a connection."""

    __slots__ = ("changed", "data", "ended", "reset", "room")

    def __init__(self, room: int) -> None:
        self.data = bytearray()
        self.room = room
        self.ended = False
        self.reset = False
        self.changed = trio.lowlevel.ParkingLot()

    def break_off(self) -> None:
        self.data.clear()
        self.reset = True
        self.changed.unpark_all()


class Socket(trio.socket.SocketType):
    """An endpoint. ``name`` is for the trace; ``closed_at`` is the instant its owner closed it."""

    def __init__(self, network: Network, name: str = "") -> None:
        super().__init__()
        self.name = name
        self.network = network
        self.peer: Socket | None = None
        self.listener: Listener | None = None
        self.closed_at: float | None = None
        self._incoming = self._outgoing = _Pipe(0)
        self.bite: Callable[[int], int] = int
        """How many of so many bytes a read gives."""
        self.received = 0
        """Bytes that its owner has read."""
        self.host = "10.0.0.1"
        self.peer_host = "10.0.0.2"

    def join(self, peer: Socket, *, room: int) -> None:
        """Connect the two; *room* is the size of either buffer."""
        self.peer, peer.peer = peer, self
        self._outgoing = peer._incoming = _Pipe(room)
        self._incoming = peer._outgoing = _Pipe(room)

    # What trio's streams, httpcore and hypercorn ask of a socket.

    family = stdlib.AF_INET
    type = stdlib.SOCK_STREAM
    proto = 0

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802  (trio's name)
        return self._outgoing.ended

    def fileno(self) -> int:
        return -1 if self.closed_at is not None else 0

    def getsockname(self) -> Address:
        return (self.host, PORT)

    def getpeername(self) -> Address:
        return (self.peer_host, PORT)

    def setsockopt(self, *_: Any) -> None:
        """There is no kernel that would care."""

    def getsockopt(self, _level: int, option: int, _size: int = 0) -> Any:
        return int(option == stdlib.SO_ACCEPTCONN and self.listener is not None)

    def listen(self, _backlog: int = 0) -> None:
        """A listener listens from the start."""

    @property
    def unread(self) -> int:
        """Bytes that have arrived and wait."""
        return len(self._incoming.data)

    @property
    def peer_received(self) -> int:
        """Bytes that the other end has read."""
        return 0 if self.peer is None else self.peer.received

    def is_readable(self) -> bool:
        pipe = self._incoming
        return bool(pipe.data) or pipe.ended or pipe.reset

    async def connect(self, address: Any) -> None:
        await self.network.connect(self, address)

    async def accept(self) -> tuple[Socket, Address]:
        assert self.listener is not None
        accepted = await self.listener.accept()
        return accepted, accepted.getpeername()

    async def recv(self, buflen: int, _flags: int = 0, /) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        pipe = self._incoming
        while True:
            self._check()
            if pipe.reset:
                raise ConnectionResetError(errno.ECONNRESET, "connection reset")
            if pipe.data or pipe.ended:
                break
            await pipe.changed.park()
        size = self.bite(min(buflen, len(pipe.data)))
        data = bytes(pipe.data[:size])
        del pipe.data[:size]
        self.received += size
        pipe.changed.unpark_all()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return data

    async def send(self, data: Any, _flags: int = 0) -> int:
        await trio.lowlevel.checkpoint_if_cancelled()
        pipe = self._outgoing
        while True:
            self._check()
            if self.peer is not None and self.peer.closed_at is not None:
                pipe.break_off()
                self._incoming.break_off()
            if pipe.reset or pipe.ended:
                raise BrokenPipeError(errno.EPIPE, "nobody reads")
            if len(pipe.data) < pipe.room:
                break
            await pipe.changed.park()
        taken = bytes(data[: pipe.room - len(pipe.data)])
        pipe.data += taken
        pipe.changed.unpark_all()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return len(taken)

    def shutdown(self, _flag: int) -> None:
        self._check()
        if self._outgoing.reset:
            raise OSError(errno.ENOTCONN, "not connected")
        self._end()

    def close(self) -> None:
        if self.closed_at is not None:
            return
        self.closed_at = trio.current_time()
        if self.listener is not None:
            self.listener.close()
        elif self._incoming.data:
            self._break_off()
        else:
            self._end()
            self._incoming.changed.unpark_all()

    def reset(self) -> None:
        """Close without a farewell, as a process that dies does."""
        self._break_off()
        self.close()

    def _end(self) -> None:
        self._outgoing.ended = True
        self._outgoing.changed.unpark_all()

    def _break_off(self) -> None:
        self._outgoing.break_off()
        self._incoming.break_off()

    def _check(self) -> None:
        if self.closed_at is not None:
            raise OSError(errno.EBADF, "closed")
