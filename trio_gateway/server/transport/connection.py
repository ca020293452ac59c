"""Hypercorn's connection under trio, its faults contained.

What :class:`ClientConnection` does otherwise than its base:

* An exception out of a connection's code ends that connection, with one log line. In the base it ends the
  whole process, and several openings of a few bytes raise one.
* A write has a deadline. The base writes inside a shield (so that an event goes out whole or not at all, even
  when its handler is cancelled) for as long as it takes: a client that stops reading holds its handler, and
  the end of the process, for ever. Here it is cut off by force, and the handler gets a disconnect.
* The socket is read on while the protocol waits (for the end of an answer before a second request, for a task
  that reads the body), so that a client's leaving is seen at once. What is read so far is bounded by 64 KiB.
* How long a connection may be idle is a deadline of its reader. The base starts and ends a task for it with
  each request, which costs 0.1 ms.
* A WebSocket's bytes are not taken while a write to it waits: a client that sends and does not read would
  have its messages answered into memory.
* The end waits for a write that is under way, and no write begins behind it: trio allows one at a time.
* A handler that does not hear that its client is gone is cancelled.
* A connection ends with a FIN and then a second in which whatever still comes is thrown away. To close with
  bytes unread would be a reset, and the client might lose the answer that explains the end.
* HTTP/1.1 alone is spoken, and strictly: see :mod:`trio_gateway.server.transport.http1`.

A client that shuts down its sending side counts as gone, as in the base.
"""

from __future__ import annotations

import socket
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeAlias

import structlog
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from ...engine.transport import syscalls
from .http1 import StrictHTTP1
from .idle import IdleConnections, idle_connections
from .rfc6455 import StrictWebSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hypercorn.config import Config
    from hypercorn.typing import AppWrapper, LifespanState, WorkerContext

__all__ = ["ClientConnection"]

_PIECE = 16 * 1024
"""Bytes that must leave within one write timeout."""

_SEND_BUFFER = 64 * 1024
"""Bytes asked of the kernel, which doubles them. It reports a full buffer as writable again when a third is
free: in one of megabytes a slow reader looks like one that takes nothing. With this size 8 KB/s were seen to
get a client through a timeout of 20 s on loopback, where segments are of 64 KB; elsewhere less will do."""

_LOOK_AHEAD = 64 * 1024
"""Bytes held for a protocol that is not ready for them before reading stops: a client that sends more is
not watched until they are taken."""

_LINGER = 1.0
"""Seconds after our FIN in which the client's remaining bytes are taken and thrown away."""

_FIRST_HEAD = 5.0
"""Seconds in which a new connection must have sent the head of its first request, if the time that it may be
idle later is longer."""

_ON_ITS_WAY = 0.1
"""Seconds that an idle connection stays when the worker drains: a request under way gets an answer."""

_GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

Address: TypeAlias = "tuple[str, int] | None"

log = structlog.get_logger("trio_gateway.server")


class ClientConnection(TCPServer):
    """One client's connection, never the end of another one's.

    The task that runs it reads; handlers in a nursery of its own write, through :meth:`protocol_send`.

    Attributes:
        _closing: The end has begun: what the client sends is thrown away, and nothing more is sent to it.
        _ahead: What was read while the protocol was busy.
        _reading: Scope of the reader; its end is the connection's end.
        _writing: Scope of the last write, which nothing else cancels.
        _socket: The socket, where no TLS is between it and the bytes.
        _served: A request was answered.
        _idle: The connections of the worker on which no request is under way.
        _idle_until: Instant at which the connection ends unless a request has come whole until then.
        _patience: Scope of the read under way; that instant is its deadline.
        _worker: Scope of all connections; its deadline is the end of the grace that a signal leaves them.
    """

    protocol: StrictHTTP1  # type: ignore[assignment]

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        *,
        write_timeout: float,
    ) -> None:
        super().__init__(app, config, context, state, stream)  # type: ignore[arg-type]  # either, in truth
        del self.idle_task  # which here is a deadline
        self._write_timeout = write_timeout
        self._closing = False
        self._ahead = bytearray()
        self._reading = trio.CancelScope()
        self._writing: trio.CancelScope | None = None
        self._worker: trio.CancelScope | None = None
        self._socket: trio.socket.SocketType | None = None
        self._served = False
        self._idle: IdleConnections = idle_connections(context)
        self._idle_until = inf
        self._patience: trio.CancelScope | None = None

    async def run(self) -> None:
        """Serve the client until one side ends it. Raises nothing but cancellation."""
        parent = trio.lowlevel.current_task().parent_nursery
        if parent is not None:
            self._worker = parent.cancel_scope
        try:
            await self._serve()
        except* (*_GONE, trio.TooSlowError):
            pass  # the client left, or did not end its TLS handshake: nobody is there to be told
        except* Exception as group:
            log.warning("connection_failed", error_class=", ".join(sorted(_names(group))))
        finally:
            self._idle.discard(self)
            vars(self).pop("protocol", None)  # it holds this object, and either would keep the other
            await trio.aclose_forcefully(self.stream)

    async def _serve(self) -> None:
        tls, client, server = await self._open()
        async with trio.open_nursery() as handlers:
            self._task_group = TaskGroup()  # not entered: it would let the nursery's own cancellation escape
            self._task_group._nursery = handlers
            self.protocol = StrictHTTP1(
                self.app,
                self.config,
                self.context,
                self._task_group,
                ConnectionState(self.state),
                tls,
                client,
                server,
                self.protocol_send,
            )
            self.protocol.connect(self)
            self._become_idle()
            with self._reading:
                await self._read_data()
            handlers.cancel_scope.deadline = trio.current_time() + self._write_timeout
            await self.protocol.handle(Closed())

    async def _open(self) -> tuple[bool, Address, Address]:
        """Make the socket ready: whether TLS is spoken, the client's address, and ours (for TCP)."""
        tls = isinstance(self.stream, trio.SSLStream)
        if tls:
            self._become_idle()
            with trio.fail_after(self.config.ssl_handshake_timeout):
                await self._shake_hands()
        sock = self.stream.transport_stream.socket if tls else self.stream.socket
        transport: object = self.stream
        if isinstance(transport, trio.SocketStream):
            self._socket = sock
        client = parse_socket_addr(sock.family, sock.getpeername())
        if client is not None:
            _tune(sock, self._write_timeout)
        return tls, client, parse_socket_addr(sock.family, sock.getsockname())

    async def _shake_hands(self) -> None:
        """Agree on TLS, within the time that a first request has.

        Raises:
            trio.TooSlowError: it takes longer, or the worker drains.
        """
        with trio.CancelScope(deadline=self._patient_until()) as self._patience:
            await self.stream.do_handshake()
            return
        raise trio.TooSlowError

    async def _read_data(self) -> None:
        try:
            while data := await self._receive():
                if not self._closing:
                    await self._take(data)
        finally:
            self._closing = True
            if self._writing is not None:
                self._writing.cancel()  # the client is gone, or the grace is over: nobody is waited for

    async def _receive(self) -> bytes:
        """The next bytes for the protocol; none when the client is gone."""
        if self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            return data
        return await self._read()

    async def _take(self, data: bytes) -> None:
        """Give *data* to the protocol, and wait until it is done with it."""
        if isinstance(self.protocol.stream, StrictWebSocket):
            await self.meanwhile(partial(self._take_frames, data))
        else:
            await self.protocol.handle(RawData(data))

    async def _take_frames(self, data: bytes) -> None:
        async with self.send_lock:
            pass  # nothing is being written now
        await self.protocol.handle(RawData(data))

    async def meanwhile(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Await *wait*, with an eye on the socket: where the client leaves, the connection ends at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_ahead)
            await wait()
            nursery.cancel_scope.cancel()

    async def _look_ahead(self) -> None:
        while (room := _LOOK_AHEAD - len(self._ahead)) > 0:
            data = await self._read(room)
            if not data:
                self._reading.cancel()
                return
            self._ahead += data

    async def _read(self, size: int = MAX_RECV) -> bytes:
        """The next bytes from the socket; none when the client is gone, or idle for too long."""
        while True:
            try:
                with trio.CancelScope(deadline=self._patient_until()) as self._patience:
                    if self._socket is None:
                        return bytes(await self.stream.receive_some(size))
                    return await syscalls.receive_next(self._socket, size)
            except _GONE:  # reset by the client, or closed by us
                return b""
            # A process that was busy, or stood still, finds both: the time is up, and a request is there.
            if not self._has_unread():
                return b""
            self._idle_until = trio.current_time() + _ON_ITS_WAY

    def _patient_until(self) -> float:
        silence = self.config.read_timeout
        return min(self._idle_until, trio.current_time() + silence) if silence else self._idle_until

    def _change_patience(self) -> None:
        if self._patience is not None:
            self._patience.deadline = self._patient_until()

    def _has_unread(self) -> bool:
        """Whether the kernel has bytes, or the end, of the client for the reader; no under TLS."""
        return self._socket is not None and self._socket.is_readable()

    def _grace_ends(self) -> float:
        return inf if self._worker is None else self._worker.deadline

    def _become_idle(self) -> None:
        """A request may come, within the time for it."""
        seconds = self.config.keep_alive_timeout
        self._idle_until = trio.current_time() + (seconds if self._served else min(seconds, _FIRST_HEAD))
        self._change_patience()
        self._idle.add(self)

    def drain(self) -> None:
        """End the connection, which is idle, unless a request is on its way."""
        self._idle_until = min(self._idle_until, trio.current_time() + _ON_ITS_WAY)
        self._change_patience()

    async def protocol_send(self, event: Event) -> None:
        """Do what the protocol asks: write bytes, end the connection, start or stop the idle timer."""
        match event:
            case Closed():
                await self._finish()
                await self.protocol.handle(Closed())
            case _ if self._closing:
                await trio.lowlevel.checkpoint()  # where a handler that only ever sends is cancelled
            case RawData():
                await self._write(event.data)
            case Updated(idle=True):
                self._become_idle()
            case _:  # a request has begun
                self._served = True
                self._idle.discard(self)
                self._idle_until = inf
                self._change_patience()

    def send_nowait(self, data: bytes) -> int:
        """Give *data* to the kernel as far as it takes it at once; the number of bytes that left.

        Most writes of a stream find room. None leaves while another write is under way, under TLS, or at the
        end.
        """
        if self._socket is None or self._closing or self.send_lock.locked():
            return 0
        return syscalls.send_nowait(self._socket, data)

    async def send_rest(self, data: bytes) -> None:
        """Write *data* as any other, with the deadline of a write."""
        if self._closing:
            await trio.lowlevel.checkpoint()
        else:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        """Write all of *data*. If the client does not take it, close: the reader then tells the handler."""
        with trio.CancelScope(shield=True) as scope:
            try:
                async with self.send_lock:
                    if self._closing:
                        return  # while this waited for its turn
                    self._writing = scope
                    for start in range(0, len(data), _PIECE):
                        # Beyond the grace that a signal leaves, nobody is waited for.
                        scope.deadline = min(trio.current_time() + self._write_timeout, self._grace_ends())
                        await self.stream.send_all(data[start : start + _PIECE])
                return
            except _GONE:
                pass
        if scope.cancelled_caught:
            log.info("write_timed_out", timeout=self._write_timeout)
        await trio.aclose_forcefully(self.stream)

    async def _finish(self) -> None:
        """Send our FIN, and leave the client a moment to read what came before it."""
        if self._closing:
            return
        self._closing = True
        try:
            async with self.send_lock:  # which a write has, at most until its deadline
                self._reading.deadline = trio.current_time() + _LINGER
                await self.stream.send_eof()
        except (AttributeError, *_GONE):  # TLS, or gone already
            self._reading.cancel()


def _tune(sock: trio.socket.SocketType, write_timeout: float) -> None:
    """Set what this connection needs of the kernel.

    The user timeout finds the client that vanished while its answer, or the heartbeats in it, still fit
    into the buffer, so that no write of ours ever waits.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(write_timeout * 1000))


def _names(error: BaseException) -> set[str]:
    """The types of the exceptions in *error*."""
    if isinstance(error, BaseExceptionGroup):
        return set().union(*map(_names, error.exceptions))
    return {type(error).__name__}
