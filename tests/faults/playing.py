"""Upstreams that misbehave by script: what each one does is a value, so that a table can hold it.

A :data:`Script` is what happens on a connection once a request has been read: its steps are played one after
the other, and then the connection is closed. A :class:`Door` is a place where no request can be read at all.
"""

from __future__ import annotations

import contextlib
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeAlias, assert_never

import pytest
import trio

from tests.support import Upstream, open_upstream, reset_when_read, text_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.faults.certificates import Certificates

__all__ = ["Door", "Flood", "Over", "Play", "Script", "open_faulty"]


class Over(Enum):
    """How a script ends, where it is not by closing the connection in good order."""

    RESET = auto()
    HALF_CLOSED = auto()
    """Nothing more is sent, but the connection stays open until the gateway closes it."""
    OPEN = auto()
    """Nothing more happens, and the connection stays open until the gateway closes it."""


@dataclass(frozen=True, slots=True)
class Flood:
    """Sent again and again until the gateway hangs up, so many seconds apart."""

    data: bytes
    pause: float = 0.0


Script: TypeAlias = tuple[bytes | float | Flood | Over, ...]
"""Bytes are sent, numbers are seconds of silence."""


class Door(Enum):
    """Where a connection comes to nothing, or to less than a request."""

    NOBODY_LISTENS = auto()
    NOBODY_ACCEPTS = auto()
    NO_SUCH_NAME = auto()
    NAME_SERVER_FAILS = auto()
    NAME_SERVER_IS_SILENT = auto()
    TLS_IS_NOT_SPOKEN = auto()
    TLS_IS_REFUSED = auto()
    TLS_IS_SILENT = auto()
    VALID_CERTIFICATE = auto()
    """The only one that leads anywhere: behind it there is the answer ``4``."""
    UNKNOWN_CERTIFICATE = auto()
    EXPIRED_CERTIFICATE = auto()
    ANOTHER_HOSTS_CERTIFICATE = auto()


Play: TypeAlias = Script | Door

_NAME = "model.example"
_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
"""handshake_failure, fatal"""


@asynccontextmanager
async def open_faulty(play: Play, certificates: Certificates | None = None) -> AsyncIterator[Upstream]:
    """An upstream that plays *play*. *certificates* are needed for the doors that show one."""
    if isinstance(play, tuple):
        async with open_upstream(partial(_perform, play)) as upstream:
            yield upstream
        return
    match play:
        case Door.NOBODY_LISTENS | Door.NOBODY_ACCEPTS:
            with _unserved(listens=play is Door.NOBODY_ACCEPTS) as port:
                yield Upstream(f"http://127.0.0.1:{port}")
        case Door.NO_SUCH_NAME | Door.NAME_SERVER_FAILS | Door.NAME_SERVER_IS_SILENT:
            with _resolver(_Resolver(play)):
                yield Upstream(f"http://{_NAME}")
        case _:
            async with _tls(play, certificates) as upstream:
                yield upstream


async def _perform(script: Script, stream: trio.SocketStream, _number: int) -> None:
    for step in script:
        match step:
            case bytes():
                await stream.send_all(step)
            case float():
                await trio.sleep(step)
            case Flood():
                await _flood(stream, step)
            case Over.RESET:
                await reset_when_read(stream)
            case Over.HALF_CLOSED:
                await stream.send_eof()
                await stream.receive_some(1)
            case Over.OPEN:
                await stream.receive_some(1)
            case _:
                assert_never(step)


async def _flood(stream: trio.SocketStream, flood: Flood) -> None:
    async def pour() -> None:
        while True:
            await stream.send_all(flood.data)
            await trio.sleep(flood.pause)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pour)
            await stream.receive_some(1)
            nursery.cancel_scope.cancel()
    except* trio.BrokenResourceError:
        pass  # that is how hanging up looks to one who sends


@contextlib.contextmanager
def _unserved(*, listens: bool) -> Iterator[int]:
    """A port that refuses connections; or one whose queue is full, so that the kernel drops them."""
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen(0)
            for _ in range(4):
                caller = waiting.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(server.getsockname())
        yield server.getsockname()[1]


class _Resolver(trio.abc.HostnameResolver):
    """A name server in the state that the door says."""

    def __init__(self, door: Door) -> None:
        self.door = door

    async def getaddrinfo(self, *_: object) -> NoReturn:
        if self.door is Door.NAME_SERVER_IS_SILENT:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        unknown = self.door is Door.NO_SUCH_NAME
        raise socket.gaierror(socket.EAI_NONAME if unknown else socket.EAI_AGAIN, "no address")

    async def getnameinfo(self, *_: object) -> NoReturn:
        raise AssertionError("names are looked up, never addresses")


@contextlib.contextmanager
def _resolver(resolver: _Resolver) -> Iterator[None]:
    before = trio.socket.set_custom_hostname_resolver(resolver)
    try:
        yield
    finally:
        trio.socket.set_custom_hostname_resolver(before)


_SHOWN = {
    Door.VALID_CERTIFICATE: "valid",
    Door.UNKNOWN_CERTIFICATE: "unknown",
    Door.EXPIRED_CERTIFICATE: "expired",
    Door.ANOTHER_HOSTS_CERTIFICATE: "elsewhere",
}


@asynccontextmanager
async def _tls(door: Door, certificates: Certificates | None) -> AsyncIterator[Upstream]:
    """A server that a client takes for one that speaks TLS."""

    if door in _SHOWN and certificates is None:
        pytest.skip("needs openssl to make certificates")

    async def serve(stream: trio.SocketStream) -> None:
        upstream.open_connections += 1
        try:
            await _greet(stream, door, certificates)
        except trio.BrokenResourceError:
            pass  # the gateway hung up, as it should
        finally:
            upstream.open_connections -= 1
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        upstream = Upstream(f"https://127.0.0.1:{listener.socket.getsockname()[1]}")
        yield upstream
        nursery.cancel_scope.cancel()


async def _greet(stream: trio.SocketStream, door: Door, certificates: Certificates | None) -> None:
    if door in _SHOWN:
        assert certificates is not None
        tls = trio.SSLStream(stream, certificates.context(_SHOWN[door]), server_side=True)
        await tls.receive_some(65536)
        await tls.send_all(text_answer("4"))
        return
    await stream.receive_some(65536)  # the ClientHello
    match door:
        case Door.TLS_IS_NOT_SPOKEN:
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        case Door.TLS_IS_REFUSED:
            await stream.send_all(_ALERT)
        case Door.TLS_IS_SILENT:
            await stream.receive_some(1)
        case _:
            raise AssertionError(door)
