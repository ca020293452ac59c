"""Clients that leave, dawdle, send too much or never read: what becomes of them, and of what they held."""

from __future__ import annotations

import json
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.faults.playing import Flood, Over, Play
from tests.faults.scene import open_scene
from tests.support import DONE, HEAD, Client, ask, chat, sse_chunk, tasks_at_rest, text_answer, until, within
from trio_gateway.core.budgets import upload_pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = json.dumps(chat()).encode()
RESET = b"\x01\0\0\0\0\0\0\0"


def head(*fields: str, length: int | None = len(BODY), version: str = "1.1") -> bytes:
    lines = [f"POST /v1/chat/completions HTTP/{version}", "Host: localhost", "Content-Type: application/json"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, *fields, "", ""]).encode()


@asynccontextmanager
async def dialled(client: Client) -> AsyncIterator[trio.SocketStream]:
    """A connection to the gateway."""
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 80)
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def rest(stream: trio.SocketStream, within: float = 2.0) -> bytes:
    """What comes until the gateway closes."""
    got = b""
    with trio.fail_after(within):
        while data := await stream.receive_some(65536):
            got += data
    return got


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    got = b""
    with trio.fail_after(2):
        while mark not in got:
            data = await stream.receive_some(65536)
            assert data, got
            got += data
    return got


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


# Clients that leave before their request is whole

EARLY = {
    "before a word": b"",
    "in the head": head()[:40],
    "before the body": head(),
    "in the body": head() + BODY[:20],
    "in a chunk": head("Transfer-Encoding: chunked", length=None) + b"ff\r\n" + BODY[:20],
    "before it was asked for the body": head("Expect: 100-continue"),
}


@pytest.mark.parametrize("way", ["FIN", "RST", "half"])
@pytest.mark.parametrize("sent", EARLY.values(), ids=EARLY.keys())
async def test_one_that_leaves_before_its_request_is_whole_leaves_nothing(sent: bytes, way: str) -> None:
    async with open_scene((text_answer("4"),)) as scene:
        await until(lambda: scene.upstreams[0].closed_at != [])  # the list of models has been asked for
        before = await tasks_at_rest(scene.client)
        async with dialled(scene.client) as stream:
            await stream.send_all(sent)
            await trio.sleep(0.02)
            if way == "half":
                await stream.send_eof()
                await rest(stream)
            elif way == "RST":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await until(lambda: living() <= before, 1.5)
        assert scene.client.app.gateway.active == 0
        assert scene.upstreams[0].requests == []
    assert [each for each in scene.log if each["log_level"] in {"warning", "error"}] == []


async def test_one_that_ends_its_own_side_counts_as_gone() -> None:
    speaks: Play = (HEAD, sse_chunk({"content": "4"}), Over.OPEN)
    async with open_scene(speaks) as scene, dialled(scene.client) as stream:
        await stream.send_all(head() + BODY)
        await read_until(stream, b'"4"')
        await stream.send_eof()
        books = await scene.close_books()
    assert books.line["outcome"] == "cancelled"
    assert books.verdicts("a") == {"neutral": 1}


# Clients that dawdle


@pytest.fixture
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_pace, "_GRACE", 0.3)


@pytest.mark.usefixtures("_short_grace")
async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with open_scene((text_answer("4"),)) as scene, dialled(scene.client) as stream:
        await stream.send_all(head() + BODY[:20])
        answer = await rest(stream)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "request_timeout"' in answer
    assert scene.upstreams[0].requests == []


@pytest.mark.usefixtures("_short_grace")
async def test_a_body_that_trickles_in_has_the_same_time_as_a_whole() -> None:
    async with open_scene((text_answer("4"),)) as scene, dialled(scene.client) as stream:
        await stream.send_all(head())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, BODY)
            async with within(0.8):
                assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 408 ")
            nursery.cancel_scope.cancel()


async def trickle(stream: trio.SocketStream, data: bytes) -> None:
    for byte in data:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.05)


LOTS: Play = (HEAD, Flood(sse_chunk({"content": "word " * 200}) * 20))


@pytest.mark.parametrize("stream", [True, False])
async def test_one_that_never_reads_is_cut_off_and_its_upstream_with_it(stream: bool) -> None:
    """Not streamed there is nothing to read before the end, which an endless answer does not have."""
    seconds = "write_timeout = 0.4" if stream else "request_timeout = 0.4\nmax_answer = 1_000_000_000"
    body = json.dumps(chat(stream=stream)).encode()
    async with open_scene(LOTS, server=seconds) as scene, dialled(scene.client) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await client.send_all(head(length=len(body)) + body)
        await until(lambda: len(scene.upstreams[0].requests) == 1)
        await until(lambda: scene.client.app.gateway.active == 0, 1.5)
        books = await scene.close_books()
    assert books.line["outcome"] == ("cancelled" if stream else "error")
    assert books.verdicts("a") == ({"neutral": 1} if stream else {"failure": 1})


async def test_while_one_does_not_read_the_others_are_served() -> None:
    other = "[models.other]\nupstreams = ['b']\n"
    async with (
        open_scene(LOTS, (text_answer("4"),), more=other) as scene,
        dialled(scene.client) as deaf,
    ):
        await deaf.send_all(head() + BODY)
        await read_until(deaf, b"word")
        for _ in range(5):
            async with within(1):
                assert (await ask(scene.client, chat(model="other"))).output == "4"


async def test_one_that_reads_slowly_gets_it_all() -> None:
    words = [f"word{number} " for number in range(2000)]
    answer: Play = (HEAD, *(sse_chunk({"content": word}) for word in words), sse_chunk(finish="stop"), DONE)
    async with open_scene(answer, server="write_timeout = 1.0") as scene, dialled(scene.client) as stream:
        await stream.send_all(head("Connection: close") + BODY)
        got = b""
        while data := await stream.receive_some(8192):
            got += data
            await trio.sleep(0.005)
    assert got.count(b"word") == 2000
    assert got.count(b"data: [DONE]") == 1


# Clients that are many


async def test_many_idle_connections_are_no_burden_and_leave_no_trace() -> None:
    async with open_scene((text_answer("4"),)) as scene, trio.open_nursery() as nursery:
        await ask(scene.client, chat())
        await until(lambda: scene.upstreams[0].open_connections == 0)
        before, descriptors = await tasks_at_rest(scene.client), open_descriptors()
        hang_up = trio.Event()

        async def idle() -> None:
            async with dialled(scene.client):
                await hang_up.wait()

        for _ in range(300):
            nursery.start_soon(idle)
        await until(lambda: living() >= before + 600)
        async with within(1):
            assert (await ask(scene.client, chat())).output == "4"
        hang_up.set()
        await until(lambda: living() <= before, 5)
        await until(lambda: open_descriptors() <= descriptors, 2)


async def test_many_short_connections_leave_no_trace() -> None:
    async with open_scene((text_answer("4"),)) as scene:
        await ask(scene.client, chat())
        await until(lambda: scene.upstreams[0].open_connections == 0)
        before, descriptors = await tasks_at_rest(scene.client), open_descriptors()
        for _ in range(100):
            async with dialled(scene.client) as stream:
                await stream.send_all(head("Connection: close") + BODY)
                assert b"[DONE]" in await rest(stream)
            async with dialled(scene.client) as stream:
                await stream.send_all(head() + BODY)
        await until(lambda: living() <= before, 3)
        await until(lambda: open_descriptors() <= descriptors, 3)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# Clients that speak in an unusual way


async def test_http_1_0_is_served_without_chunks() -> None:
    async with open_scene((text_answer("4"),)) as scene, dialled(scene.client) as stream:
        await stream.send_all(head(version="1.0") + BODY)
        answer = await rest(stream)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"chunked" not in answer
    assert answer.endswith(b"\n\ndata: [DONE]\n\n")


EXPECT = "Expect: 100-continue"
REFUSED = {
    # what the client says of its body: the status it gets without having sent it
    "too large": (head(EXPECT, length=33_554_433), 413),
    "no JSON": (head(EXPECT).replace(b"application/json", b"text/plain"), 415),
    "compressed": (head(EXPECT, "Content-Encoding: gzip"), 415),
    "for another path": (head(EXPECT).replace(b"/v1/", b"/v2/"), 404),
    "for another method": (head(EXPECT).replace(b"POST", b"PUT"), 405),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
async def test_one_that_asks_first_is_spared_a_body_that_is_refused(refused: tuple[bytes, int]) -> None:
    sent, status = refused
    async with open_scene((text_answer("4"),)) as scene, dialled(scene.client) as stream:
        await stream.send_all(sent)
        answer = await rest(stream)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


async def test_one_that_asks_first_is_told_to_go_on() -> None:
    async with open_scene((text_answer("4"),)) as scene, dialled(scene.client) as stream:
        await stream.send_all(head(EXPECT, "Connection: close"))
        assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(BODY)
        assert (await rest(stream)).startswith(b"HTTP/1.1 200 ")


async def test_what_proxies_say_of_a_client_goes_no_further() -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "Cookie": "a=b",
        "X-Real-IP": "6.6.6.6",
    }
    async with open_scene((text_answer("4"),)) as scene:
        await ask(scene.client, chat(), Authorization="Bearer client", **forged)
        books = await scene.close_books()
    assert "6.6.6.6" not in json.dumps([scene.upstreams[0].headers, books.line])
    assert {"cookie", "authorization"} & scene.upstreams[0].headers[0].keys() == set()
