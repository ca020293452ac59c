"""Bodies in flight: counted on every way in and out, and one client's never refuse another's."""

from __future__ import annotations

import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.support import (
    DONE,
    HEAD,
    Client,
    Json,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
)
from trio_gateway.core.budgets import upload_pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support import Script
    from trio_gateway.core.budgets.body_ledger import BodyBudget

MIB = 1024 * 1024
PATH = "/v1/chat/completions"
RESET = b"\x01\0\0\0\0\0\0\0"


def large(size: int, *, stream: bool = True) -> Json:
    """A request of at least so many bytes."""
    return chat(x="y" * size, stream=stream)


def budget_of(client: Client) -> BodyBudget:
    return client.app.gateway.bodies.budget


@asynccontextmanager
async def gateway(script: Script, server: str = "") -> AsyncIterator[Client]:
    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(f"[server]\n{server}\n", UPSTREAM_URL=upstream.url)) as client,
    ):
        yield client


@asynccontextmanager
async def upload(client: Client, body: bytes, *, announced: int | None) -> AsyncIterator[trio.SocketStream]:
    """A connection that has sent *body*, of which there is more; chunked where no length is *announced*."""
    framing = "Transfer-Encoding: chunked" if announced is None else f"Content-Length: {announced}"
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 80)
    try:
        data = body if announced is not None else b"%x\r\n%b\r\n" % (len(body), body)
        await stream.send_all(head.encode() + data)
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def status_of(stream: trio.SocketStream) -> int:
    got = b""
    with trio.fail_after(5):
        while len(got) < 12:
            data = await stream.receive_some(65536)
            assert data
            got += data
    return int(got.split()[1])


WAYS: dict[str, tuple[str, bytes, int | None]] = {
    # how it ends: configuration, what has been sent, the length announced
    "too large": ("max_body = 100_000", b"x" * 100_001, None),
    "no JSON": ("", b"x" * 500_000, 500_000),
    "too many values": ("", b"[" + b"[]," * 200_000 + b"1]", 600_003),
    "too slow": ("", b"x" * 5_000, 100_000),
    "too slow, chunked": ("", b"x" * 5_000, None),
    "no room": ("max_bodies = 100_000", b"x" * 100_001, None),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_refusal_gives_back_what_was_counted(
    way: tuple[str, bytes, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_pace, "_GRACE", 0.5)
    server, body, announced = way
    async with gateway(plays(text_answer("4")), server) as client:
        async with upload(client, body, announced=announced) as stream:
            assert await status_of(stream) in {400, 408, 413, 503}
        await until(lambda: budget_of(client).taken == 0)


@pytest.mark.parametrize("leave", ["FIN", "RST"])
@pytest.mark.parametrize("announced", [200_000, None])
async def test_a_client_that_leaves_in_mid_body_gives_it_back(leave: str, announced: int | None) -> None:
    async with gateway(plays(text_answer("4"))) as client:
        async with upload(client, b"x" * 100_000, announced=announced) as stream:
            await until(lambda: budget_of(client).taken == 100_000)
            metrics = (await client.get("/metrics")).text
            if leave == "RST":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await until(lambda: budget_of(client).taken == 0)
    assert "\ngateway_bodies_bytes 100000.0\n" in metrics


async def test_a_body_is_given_back_when_the_answer_binds_and_not_before() -> None:
    answering, speaking, ending = trio.Event(), trio.Event(), trio.Event()

    async def script(stream: trio.SocketStream, _number: int) -> None:
        answering.set()
        await speaking.wait()
        await stream.send_all(HEAD + sse_chunk({"content": "<think>Adding."}))
        await trio.sleep(0.05)
        assert budget_of(client).taken > 500_000
        await stream.send_all(sse_chunk({"content": "</think>Four"}))
        await ending.wait()
        await stream.send_all(sse_chunk(finish="stop") + DONE)

    async with gateway(script) as client, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: client.post(PATH, json=large(500_000)))
        await answering.wait()
        assert budget_of(client).taken > 500_000
        speaking.set()
        await until(lambda: budget_of(client).taken == 0)
        assert client.app.gateway.active == 1
        ending.set()


async def test_one_that_is_gathered_is_counted_until_its_end() -> None:
    spoken, ending = trio.Event(), trio.Event()

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "Four"}))
        spoken.set()
        await ending.wait()
        await stream.send_all(sse_chunk(finish="stop") + DONE)

    async with gateway(script) as client, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: client.post(PATH, json=large(500_000, stream=False)))
        await spoken.wait()
        await trio.sleep(0.05)
        assert budget_of(client).taken > 500_000
        ending.set()
        await until(lambda: budget_of(client).taken == 0)


async def test_a_second_attempt_has_the_whole_body() -> None:
    answers = (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", text_answer("4"))
    async with (
        open_upstream(plays(*answers)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        response = await client.post(PATH, json=large(3_000_000, stream=False))
        assert response.json()["choices"][0]["message"]["content"] == "4"
        assert [len(each["x"]) for each in upstream.requests] == [3_000_000] * 2


async def test_where_there_is_no_room_it_is_a_503_that_says_when_to_come_back() -> None:
    async with gateway(plays(text_answer("4")), f"max_bodies = {4 * MIB}") as client:
        async with upload(client, b"x" * 2 * MIB, announced=3 * MIB):
            await until(lambda: budget_of(client).taken == 2 * MIB)
            response = await client.post(PATH, json=large(2 * MIB))
            small = await client.post(PATH, json=chat())
        assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
        assert response.headers["retry-after"] == "1"
        assert small.status_code == 200
        await until(lambda: budget_of(client).taken == 0)
        assert (await client.post(PATH, json=large(2 * MIB))).status_code == 200


async def test_uploads_never_refuse_plain_chats() -> None:
    async with (
        gateway(plays(text_answer("4")), f"max_bodies = {8 * MIB}") as client,
        upload(client, b"x" * (3 * MIB - 1), announced=3 * MIB),
        upload(client, b"x" * (3 * MIB - 1), announced=3 * MIB),
    ):
        # Uploads may have three quarters, so that neither is refused for what the other has sent by then.
        await until(lambda: budget_of(client).taken == 6 * MIB - 2)
        async with upload(client, b"x", announced=4 * MIB) as third:
            assert await status_of(third) == 503
        for _ in range(20):
            assert (await client.post(PATH, json=large(MIB - 1000))).status_code == 200


async def test_it_is_refused_by_what_it_announces_before_it_is_sent() -> None:
    async with (
        gateway(plays(text_answer("4")), f"max_bodies = {4 * MIB}") as client,
        upload(client, b"x", announced=3 * MIB + 1) as stream,
    ):
        assert await status_of(stream) == 503


async def test_reload_changes_the_room() -> None:
    async with gateway(plays(text_answer("4"))) as client:
        await client.app.reload(settings("[server]\nmax_bodies = 1000\n"))
        assert budget_of(client).limit == 1000
        assert (await client.post(PATH, json=large(2000))).status_code == 503


async def test_pieces_of_one_byte_arrive_and_hold_nobody_up() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    body = json.dumps(chat(x="y" * 5000)).encode()
    async with gateway(plays(text_answer("4"))) as client, trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        async with upload(client, body[:1], announced=None) as stream:
            pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body[1:])
            await stream.send_all(pieces + b"0\r\n\r\n")
            with trio.fail_after(5):
                assert (await stream.receive_some(12)) == b"HTTP/1.1 200"
        nursery.cancel_scope.cancel()
    assert turns > 5000
