"""Connecting: addresses, names and timeouts. Names are resolved by the tests, never by the network."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
import trio.testing

from tests.engine.transport.serving import answers, fetch, open_client, open_server
from trio_gateway.engine.transport import (
    ConnectFaultError,
    ConnectTimeoutError,
    Http1Client,
    Origin,
    TransportFault,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Resolver(trio.abc.HostnameResolver):
    """Gives one host its addresses, or what *resolve* raises."""

    def __init__(self, resolve: Callable[[], Awaitable[list[tuple[int, str]]]]) -> None:
        self._resolve = resolve

    async def getaddrinfo(self, host: bytes | None, port: Any, *_: Any, **__: Any) -> list[Any]:
        found = await self._resolve()
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in found]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise AssertionError("names are looked up, never addresses")


def resolves_to(*addresses: str) -> Resolver:
    async def resolve() -> list[tuple[int, str]]:
        await trio.lowlevel.checkpoint()
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in addresses]

    return Resolver(resolve)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_addresses_of_both_kinds(host: str) -> None:
    async with open_server(answers(TWO), host=host) as server:
        client = Http1Client(server.origin(host=host))
        assert await fetch(client) == (200, b"hi")
        client.close()
    authority = f"[{host}]" if ":" in host else host
    assert b"Host: %s:%d\r\n" % (authority.encode(), server.port) in server.requests[0]


async def test_the_next_address_is_tried_where_one_refuses() -> None:
    trio.socket.set_custom_hostname_resolver(resolves_to("::1", "127.0.0.2", "127.0.0.1"))
    async with open_server(answers(TWO)) as server:
        client = Http1Client(server.origin(host="model.example"))
        assert await fetch(client) == (200, b"hi")
        client.close()


async def test_every_address_refuses() -> None:
    async with open_server(answers()) as server:
        port = server.port
    trio.socket.set_custom_hostname_resolver(resolves_to("::1", "127.0.0.1"))
    with pytest.raises(ConnectFaultError) as raised:
        await fetch(Http1Client(Origin("model.example", port)))
    assert raised.value.fault is TransportFault.REFUSED


async def test_an_unknown_name() -> None:
    async def resolve() -> list[tuple[int, str]]:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    trio.socket.set_custom_hostname_resolver(Resolver(resolve))
    with pytest.raises(ConnectFaultError) as raised:
        await fetch(Http1Client(Origin("model.example", 80)))
    assert raised.value.fault is TransportFault.UNKNOWN_HOST
    assert "model.example" not in str(raised.value)


async def test_a_name_that_cannot_be_one() -> None:
    with pytest.raises(ConnectFaultError) as raised:  # a label has at most 63 characters
        await fetch(Http1Client(Origin("x" * 64, 80)))
    assert raised.value.fault is TransportFault.UNKNOWN_HOST


async def test_a_slow_resolver(autojump_clock: trio.testing.MockClock) -> None:
    async def resolve() -> list[tuple[int, str]]:
        await trio.sleep_forever()
        raise AssertionError

    trio.socket.set_custom_hostname_resolver(Resolver(resolve))
    started = trio.current_time()
    with pytest.raises(ConnectTimeoutError) as raised:
        await fetch(Http1Client(Origin("model.example", 80), connect_timeout=3))
    assert trio.current_time() - started == pytest.approx(3)
    assert isinstance(raised.value, httpx.ConnectTimeout)
    assert raised.value.fault is TransportFault.CONNECT_TIMEOUT


async def test_a_server_that_does_not_accept_in_time() -> None:
    # A queue of no length that is full: the kernel drops further SYNs.
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        client = Http1Client(Origin(*server.getsockname()), connect_timeout=0.1)
        with pytest.raises(ConnectTimeoutError):
            await fetch(client)
        with pytest.raises(ConnectTimeoutError):  # the limit of one request goes before
            await client.open(client.prepare(b"GET", b"/", []), 0.05)
        assert client.statistics.active == 0


async def test_a_timeout_of_the_callers_own_stays_one() -> None:
    async def script(_: object) -> None:
        await trio.sleep_forever()

    async with open_server(script) as server:
        client = Http1Client(server.origin(), connect_timeout=60)
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
            await fetch(client)
        assert client.statistics.active == 0


async def test_small_writes_are_not_held_back() -> None:
    async with (
        open_server(answers(TWO)) as server,
        open_client(server) as client,
        client.request(b"GET", b"/", []) as response,
    ):
        assert response._connection is not None
        wire: Any = response._connection.wire
        assert wire._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
