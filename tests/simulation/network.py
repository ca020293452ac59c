"""A network in memory: names, listeners, and who is connected to whom. Its sockets: :mod:`.sockets`.

Trio is asked to use it by its own means (``trio.socket.set_custom_socket_factory`` and
``set_custom_hostname_resolver``), so ``trio.open_tcp_stream`` and everything above it are the real ones.
"""

from __future__ import annotations

import errno
import socket as stdlib
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import trio

from tests.simulation.sockets import PORT, Socket
from trio_gateway.engine.transport import syscalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from random import Random

    from tests.simulation.sockets import Address

__all__ = ["Listener", "Network"]


class Listener:
    """An address that is listened on.

    *door* is awaited by whoever connects: it may wait, or raise; if it says no, it is shut again at once.
    """

    def __init__(self, network: Network, host: str, door: Callable[[], Awaitable[bool]] | None) -> None:
        self.socket = Socket(network, "listener")
        self.accepts = f"{host}<"
        self.socket.listener = self
        self.door = door
        self._backlog: deque[Socket] = deque()
        self._arrived = trio.lowlevel.ParkingLot()

    def enter(self, arrived: Socket) -> None:
        self._backlog.append(arrived)
        self._arrived.unpark_all()

    async def accept(self) -> Socket:
        """The next connection's end on this side."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._backlog:
            if self.socket.closed_at is not None:
                raise OSError(errno.EBADF, "closed")
            await self._arrived.park()
        arrived = self._backlog.popleft()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return arrived

    def close(self) -> None:
        """Nobody is accepted any more; who waits at the door is turned away."""
        self._arrived.unpark_all()
        for arrived in self._backlog:
            arrived.reset()


class Network(trio.abc.SocketFactory, trio.abc.HostnameResolver):
    """All that listens, and every socket there has been. *rng* decides sizes of buffers and of reads."""

    def __init__(self, rng: Random) -> None:
        self.sockets: list[Socket] = []
        self._rng = rng
        self._listeners: dict[str, Listener] = {}
        self._hosts: dict[str, str] = {}

    def listen(self, host: str, door: Callable[[], Awaitable[bool]] | None = None) -> Listener:
        """Listen on port 80 of *host*."""
        address = f"10.1.0.{len(self._listeners)}"
        self._hosts[host] = address
        self._listeners[address] = listener = Listener(self, host, door)
        return listener

    async def dial(self, host: str, name: str, *, own: str) -> trio.SocketStream:
        """A connection of one of our own actors, at the address *own*, to *host*."""
        connected = Socket(self, name)
        connected.host = own
        await self.connect(connected, (self._hosts[host], PORT))
        return trio.SocketStream(connected)

    async def connect(self, dialling: Socket, address: Address) -> None:
        listener = self._listeners[address[0]]
        welcome = listener.door is None or await listener.door()
        await trio.lowlevel.checkpoint()
        if listener.socket.closed_at is not None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        arrived = Socket(self, listener.accepts)
        arrived.peer_host = dialling.host
        room = self._rng.choice((2_000, 16_000, 64_000))
        dialling.join(arrived, room=room)
        for sock in (dialling, arrived):
            if sock.name.startswith("gateway"):
                sock.bite = self._bites()
        self.sockets.append(arrived)
        listener.enter(arrived)
        if not welcome:
            arrived.close()

    def _bites(self) -> Callable[[int], int]:
        """How the bytes of one connection are cut up into reads: not at all, at will, or finely."""
        rng, most = self._rng, self._rng.choice((0, 0, 0, 2_000, 60))
        if not most:
            return int
        return lambda size: min(size, rng.randint(1, most))

    # What trio asks.

    def socket(self, family: int = 0, type: int = 0, proto: int = 0) -> Socket:  # noqa: A002  (trio's names)
        made = Socket(self, "gateway>")
        self.sockets.append(made)
        return made

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        await trio.lowlevel.checkpoint()
        assert host is not None
        address = (self._hosts[host.decode()], port)
        return [(stdlib.AF_INET, stdlib.SOCK_STREAM, 0, "", address)]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise AssertionError("names are looked up, never addresses")

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside trio: every socket of the enclosing ``trio.run`` is of this network.

        Trio's hook covers sockets that are made, not those made of another one, as hypercorn's worker does
        with the socket it is to listen on; so this one function is let pass ours through.
        """
        trio.socket.set_custom_socket_factory(self)
        trio.socket.set_custom_hostname_resolver(self)
        with (
            patch.object(trio.socket, "from_stdlib_socket", lambda sock: sock),
            # The gateway reads and writes sockets by their descriptors, of which ours have none.
            patch.object(syscalls, "receive_next", lambda sock, size: sock.recv(size)),
            patch.object(syscalls, "send_nowait", lambda sock, data: 0),
        ):
            yield
