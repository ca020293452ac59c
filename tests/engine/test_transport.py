"""The transport: what httpcore sees of an answer, and which connections it may use again."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpcore
import httpx
import pytest
import trio

from trio_gateway.engine.transport import AnswerRefusedError, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers every request with the same bytes, on connections that it keeps open, and counts both."""

    def __init__(self, *sent: bytes) -> None:
        self._sent = sent
        self.connections = 0
        self.requests = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        while await stream.receive_some(65536):
            self.requests += 1
            for data in self._sent:
                await stream.send_all(data)
                await trio.sleep(0.01)  # so that it is a read of its own

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, self.serve, [listener])
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            async with httpx.AsyncClient(transport=Transport(None), base_url=url) as client:
                yield client
            nursery.cancel_scope.cancel()


async def reads(client: httpx.AsyncClient) -> list[bytes]:
    """The body of one answer, as it is given piece by piece."""
    async with client.stream("GET", "/") as response:
        return [piece async for piece in response.aiter_raw()]


async def test_all_that_one_read_brings_is_one_piece_however_many_chunks_it_came_in() -> None:
    server = Server(CHUNKED + b"1\r\na\r\n" * 50, b"1;x=y\r\nb\r\n" * 50 + b"0\r\nX: 1\r\n\r\n")
    async with server.client() as client:
        assert await reads(client) == [b"a" * 50, b"b" * 50]


async def test_of_very_many_chunks_other_tasks_get_their_turn_in_between() -> None:
    server = Server(CHUNKED + b"1\r\na\r\n" * 5000 + b"0\r\n\r\n")
    async with server.client() as client:
        pieces = await reads(client)
    assert b"".join(pieces) == b"a" * 5000
    assert len(pieces) >= 5000 / 300


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 100 On\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_a_connection_is_used_again(answer: bytes) -> None:
    server = Server(answer)
    async with server.client() as client:
        assert [await reads(client) for _ in range(3)] == [[b"hi"]] * 3
    assert (server.connections, server.requests) == (1, 3)


@pytest.mark.parametrize(
    "answer", [CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
)
async def test_what_follows_a_body_is_never_taken_for_the_next_answer(answer: bytes) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    server = Server(answer + forged)
    async with server.client() as client:
        assert [await reads(client) for _ in range(3)] == [[b"hi"]] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", CHUNKED + b"zz\r\n", CHUNKED + b"2\r\nhi!\r\n"]
)
async def test_a_refused_answer_says_why_and_its_connection_is_closed(answer: bytes) -> None:
    server = Server(answer)
    async with server.client() as client:
        for _ in range(2):
            with pytest.raises(AnswerRefusedError, match=r"^(The upstream|A chunk|The head)"):
                await reads(client)
    assert server.connections == 2


async def test_an_answer_that_is_cut_short_is_an_error() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(CHUNKED + b"5\r\nhe")
        await stream.aclose()

    server = Server()
    server.serve = serve  # type: ignore[method-assign]
    async with server.client() as client:
        with pytest.raises(httpcore.RemoteProtocolError, match="peer closed connection"):
            await reads(client)
