"""TCP connections: read and write a Trio socket, and close it without an await."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from . import syscalls

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import trio

__all__ = ["READ_SIZE", "TcpWire", "Wire"]

READ_SIZE: Final = 65_536
"""Bytes that one read asks for at most."""

_MUCH: Final = 2048
"""Bytes of a read after which more is likely to be there already: tokens come one by one, or in a flood."""


class Wire(Protocol):
    """A connection as bytes: plain, or inside TLS.

    ``receive`` and ``send_all`` may run at the same time, each in one task. They raise
    :data:`.failures.BROKEN`.
    """

    def receive(self) -> Awaitable[bytes]:
        """Return what the socket holds, at most :data:`READ_SIZE` bytes; nothing at the connection's end.

        A cancelled call loses no bytes.
        """

    def send_all(self, data: bytes) -> Awaitable[None]:
        """Write all of *data*. After a cancelled call the connection can only be closed."""

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read: no bytes, no end, no error. One system call."""

    def close(self) -> None:
        """Close the socket at once; calls that wait in other tasks raise. Closing twice is harmless."""


class TcpWire:
    """Plain connection over a Trio socket.

    The socket is used directly: a stream around it costs a microsecond a read.
    """

    __slots__ = ("_flows", "_socket")

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket
        self._flows = False  # the last read brought much

    async def receive(self) -> bytes:
        """See :class:`Wire`, as for the rest."""
        if self._flows:
            data = await self._socket.recv(READ_SIZE)
        else:
            data = await syscalls.receive_next(self._socket, READ_SIZE)
        self._flows = len(data) > _MUCH
        return data

    async def send_all(self, data: bytes) -> None:
        """Write all of *data*: usually by one system call."""
        sent = await self._socket.send(data)
        while sent < len(data):
            sent += await self._socket.send(memoryview(data)[sent:])

    def is_quiet(self) -> bool:
        """See :class:`Wire`."""
        return not self._socket.is_readable()

    def close(self) -> None:
        """See :class:`Wire`."""
        self._socket.close()
