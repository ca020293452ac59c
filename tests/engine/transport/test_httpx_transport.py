"""httpx's face: an ``httpx.AsyncClient`` that is given this transport works as it did."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.engine.transport.serving import Peer, answers, open_server
from tests.faults.certificates import make_certificates
from tests.support import until
from trio_gateway.engine.transport import (
    PeerProtocolError,
    PoolLimits,
    PoolStatistics,
    TransportFault,
    TrioTransport,
    make_ssl_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.engine.transport.serving import Server

TWO = b"HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nX: 1\r\nX: 2\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def open_httpx(server: Server, transport: TrioTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://127.0.0.1:{server.port}", timeout=None
    ) as client:
        yield client
    with trio.CancelScope(shield=True):
        await until(lambda: server.open == 0)


async def test_a_request_and_its_response() -> None:
    transport = TrioTransport()
    async with open_server(answers(TWO, TWO)) as server, open_httpx(server, transport) as client:
        response = await client.post("/a?b=c", json={"d": 1}, headers={"X-Y": "z"})
        assert (response.status_code, response.reason_phrase, response.text) == (200, "Fine", "hi")
        assert (response.http_version, response.extensions["retried"]) == ("HTTP/1.1", False)
        assert response.headers.get_list("X") == ["1", "2"]
        assert (await client.get("/")).text == "hi"
        assert transport.statistics == PoolStatistics(opened=1, reused=1, stale=0, active=0, idle=1)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
    assert (b"X-Y: z" in head, head.count(b"Content-Length: "), body) == (True, 1, b'{"d":1}')


async def test_a_body_that_is_streamed() -> None:
    transport = TrioTransport()
    answer = CHUNKED + b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
    async with (
        open_server(answers(answer)) as server,
        open_httpx(server, transport) as client,
        client.stream("GET", "/") as response,
    ):
        assert transport.statistics.active == 1
        assert [chunk async for chunk in response.aiter_raw()] == [b"abcd"]
        assert (response.num_bytes_downloaded, transport.statistics.idle) == (4, 1)


async def test_a_body_that_is_left_early() -> None:
    transport = TrioTransport()
    async with (
        open_server(answers(CHUNKED + b"2\r\nab\r\n")) as server,
        open_httpx(server, transport) as client,
    ):
        async with client.stream("GET", "/") as response:
            assert await anext(response.aiter_raw()) == b"ab"
        assert (transport.statistics.active, transport.statistics.idle) == (0, 0)
        await until(lambda: server.open == 0)


class Parts:
    """A body that httpx sends as it comes."""

    def __init__(self) -> None:
        self._left = [b"cd", b"ab"]

    def __aiter__(self) -> Parts:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def test_a_request_whose_body_comes_in_parts_is_sent_with_its_length() -> None:
    async with open_server(answers(TWO)) as server, open_httpx(server, TrioTransport()) as client:
        assert (await client.post("/", content=Parts())).text == "hi"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (b"Content-Length: 4" in head, b"Transfer-Encoding" in head, body) == (True, False, b"abcd")


async def test_head_and_redirects() -> None:
    found = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    script = answers(found, TWO.partition(b"hi")[0])
    async with open_server(script) as server, open_httpx(server, TrioTransport()) as client:
        assert (await client.head("/", follow_redirects=True)).status_code == 200
    assert (server.accepted, [request[:7] for request in server.requests]) == (1, [b"HEAD / ", b"HEAD /b"])


async def test_a_stale_connection_shows() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(TWO)
        await peer.read_request()

    transport = TrioTransport()
    async with open_server(script) as server, open_httpx(server, transport) as client:
        assert not (await client.get("/")).extensions["retried"]
        assert (await client.get("/")).extensions["retried"]
        assert (transport.statistics.stale, server.accepted) == (1, 2)


async def test_faults_are_httpxs_and_know_their_request() -> None:
    script = answers(b"HTTP/1.1 nonsense\r\n\r\n")
    async with open_server(script) as server, open_httpx(server, TrioTransport()) as client:
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await client.get("/a")
    assert isinstance(raised.value, PeerProtocolError)
    assert raised.value.fault is TransportFault.VIOLATION
    assert raised.value.request.url.path == "/a"


async def test_a_fault_in_a_body() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(CHUNKED + b"2\r\nab\r\n")

    async with open_server(script) as server, open_httpx(server, TrioTransport()) as client:
        with pytest.raises(
            httpx.RemoteProtocolError, match=r"^peer closed connection without sending complete"
        ):
            await client.get("/")


async def test_the_timeout_for_connecting() -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_for_end()

    async with open_server(script) as server, httpx.AsyncClient(transport=TrioTransport()) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(f"https://127.0.0.1:{server.port}", timeout=httpx.Timeout(None, connect=0.05))


@pytest.mark.parametrize(
    ("method", "headers"),
    [("GE T", {}), ("GÉT", {}), ("GET", {"X": "a\r\nb: c"})],
    ids=["blank", "é", "line break"],
)
async def test_requests_that_cannot_be_written(method: str, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(transport=TrioTransport()) as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.request(method, "http://127.0.0.1:1/", headers=headers)


async def test_other_schemes() -> None:
    async with httpx.AsyncClient(transport=TrioTransport()) as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")


async def test_each_origin_has_connections_of_its_own_and_its_own_limit() -> None:
    transport = TrioTransport(limits=PoolLimits(idle=1))
    async with open_server(answers(TWO)) as first, open_server(answers(TWO)) as second:
        async with open_httpx(first, transport) as client:
            assert (await client.get("/")).text == "hi"
            assert (await client.get(f"http://127.0.0.1:{second.port}/")).text == "hi"
            assert (transport.statistics.opened, transport.statistics.idle) == (2, 2)
        await until(lambda: second.open == 0)


@pytest.mark.skipif(not shutil.which("openssl"), reason="certificates are made by openssl")
async def test_tls(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    async with open_server(answers(TWO, TWO), context=certificates.context("valid")) as server:
        url = f"https://127.0.0.1:{server.port}"
        context = make_ssl_context(certificates.trusted)
        async with httpx.AsyncClient(transport=TrioTransport(ssl_context=context)) as client:
            assert (await client.get(url)).text == (await client.get(url)).text == "hi"
        async with httpx.AsyncClient(transport=TrioTransport()) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
    assert len(server.requests) == 2


async def test_a_request_that_is_cancelled_closes_its_connection() -> None:
    transport = TrioTransport()
    async with (
        open_server(answers(CHUNKED + b"2\r\nab\r\n")) as server,
        open_httpx(server, transport) as client,
    ):
        with trio.move_on_after(0.05):
            await client.get("/")
        assert (transport.statistics.active, transport.statistics.idle) == (0, 0)
        await until(lambda: server.open == 0)
