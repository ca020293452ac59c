"""The network keeps what TCP promises, and promises no more."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from tests.simulation.network import Network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from tests.simulation.sockets import Socket


@asynccontextmanager
async def connected(seed: int = 0) -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Both ends of a connection that ``trio.open_tcp_stream`` made."""
    network = Network(Random(seed))
    listener = network.listen("there")
    with network.installed():
        near = await trio.open_tcp_stream("there", 80)
        far = trio.SocketStream(await listener.accept())
        yield near, far


def socket_of(stream: trio.SocketStream) -> Socket:
    return stream.socket  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(20))
async def test_all_bytes_arrive_in_order_however_they_are_cut(seed: int, autojump_clock: MockClock) -> None:
    data = bytes(range(256)) * 400
    async with connected(seed) as (near, far), trio.open_nursery() as nursery:

        async def send() -> None:
            await near.send_all(data)
            await near.send_eof()

        nursery.start_soon(send)
        got = b""
        while piece := await far.receive_some(1000):
            got += piece
        assert got == data


async def test_a_reader_that_does_not_read_holds_up_the_writer(autojump_clock: MockClock) -> None:
    async with connected() as (near, _far):
        with pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await near.send_all(bytes(100_000))


async def test_after_a_fin_the_rest_is_read_and_then_nothing() -> None:
    async with connected() as (near, far):
        await near.send_all(b"rest")
        await near.aclose()
        assert await far.receive_some() == b"rest"
        assert await far.receive_some() == b""


async def test_a_reset_is_an_error_and_loses_what_was_under_way() -> None:
    async with connected() as (near, far):
        await near.send_all(b"lost")
        socket_of(near).reset()
        with pytest.raises(trio.BrokenResourceError):
            await far.receive_some()


async def test_to_close_with_bytes_unread_is_a_reset() -> None:
    async with connected() as (near, far):
        await far.send_all(b"unread")
        await near.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await far.receive_some()


async def test_to_write_to_who_is_gone_is_an_error() -> None:
    async with connected() as (near, far):
        await far.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(b"hello?")


async def test_own_close_ends_a_read_under_way(autojump_clock: MockClock) -> None:
    async with connected() as (near, _far), trio.open_nursery() as nursery:

        async def close() -> None:
            await trio.sleep(1)
            await near.aclose()

        nursery.start_soon(close)
        with pytest.raises(trio.ClosedResourceError):
            await near.receive_some()


async def test_nobody_is_let_in_when_nobody_listens() -> None:
    network = Network(Random(0))
    network.listen("there").socket.close()
    with network.installed(), pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream("there", 80)
