"""Messages of a WebSocket that fill memory: what is kept of them, and that its end makes no noise."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from tests.support import (
    DONE,
    HEAD,
    Client,
    chat,
    open_gateway,
    open_pair,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
)
from tests.websocket.talking import BINARY, CANCEL, CLOSE, PING, TEXT, Raw, close, frame, open_raw, port_of
from trio_gateway.core.budgets import upload_pace
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from trio_gateway.core.budgets.body_ledger import BodyBudget

MIB = 1024 * 1024
SLOW = Options(port=0, first_token_delay=30)
ASK = frame(TEXT, json.dumps(chat()).encode())


def budget_of(client: Client) -> BodyBudget:
    return client.app.gateway.bodies.budget


def large(size: int) -> bytes:
    return json.dumps(chat(x="y" * size)).encode()


async def read_until(raw: Raw, mark: bytes) -> bytes:
    while (got := await raw.frame()) is not None:
        if mark in got.payload:
            return got.payload
    raise AssertionError(mark)


async def test_a_message_of_megabytes_is_a_request_like_any_other() -> None:
    async with (
        open_upstream(plays(text_answer("4"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_raw(port_of(client)) as raw,
    ):
        for _ in range(2):
            await raw.send(frame(TEXT, large(3 * MIB)))
            await read_until(raw, b'"[DONE]"')
        assert [len(each["x"]) for each in upstream.requests] == [3 * MIB] * 2
        await until(lambda: budget_of(client).taken == 0)


async def test_it_is_counted_from_its_first_byte_and_given_back_when_the_answer_binds() -> None:
    ending = trio.Event()

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "Four"}))
        await ending.wait()
        await stream.send_all(sse_chunk(finish="stop") + DONE)

    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_raw(port_of(client)) as raw,
    ):
        whole = frame(TEXT, large(200_000))
        await raw.send(whole[:100_014])
        await until(lambda: budget_of(client).taken == 100_000)
        await raw.send(whole[100_014:])
        await read_until(raw, b"Four")
        assert budget_of(client).taken == 0
        ending.set()
        await read_until(raw, b'"[DONE]"')


@pytest.mark.parametrize("leave", ["FIN", "RST", "close frame"])
@pytest.mark.parametrize("busy", [False, True])
async def test_whoever_leaves_in_mid_message_gives_it_back(leave: str, busy: bool) -> None:
    async with open_pair(options=SLOW) as client, open_raw(port_of(client)) as raw:
        before = 0
        if busy:
            await raw.send(ASK)
            await read_until(raw, b"[Prompt Summary]")
            before = budget_of(client).taken
        await raw.send(frame(TEXT, b"x" * 50_000, fin=False))
        await until(lambda: budget_of(client).taken == before + 50_000)
        if leave == "close frame":
            await raw.send(close(1000))
        else:
            raw.leave(leave)
        await until(lambda: budget_of(client).taken == 0 and client.app.gateway.active == 0)


@pytest.mark.parametrize("pieces", [1, 20])
async def test_a_large_one_while_an_answer_runs_is_discarded_as_it_arrives(pieces: int) -> None:
    async with open_pair(options=SLOW) as client, open_raw(port_of(client)) as raw:
        await raw.send(ASK)
        await read_until(raw, b"[Prompt Summary]")
        most = 0
        piece = b"x" * (4 * MIB // pieces)
        for number in range(pieces):
            last = number == pieces - 1
            await raw.send(frame(TEXT if not number else 0, piece, fin=last))
            most = max(most, budget_of(client).taken)
        error = json.loads(await read_until(raw, b'"error"'))["data"]
        assert list(error) == ["error"]
        assert error["error"]["code"] == "request_in_progress"
        assert most < 200_000
        await raw.send(frame(TEXT, CANCEL.encode()))
        await read_until(raw, b'"[DONE]"')
        await until(lambda: client.app.gateway.active == 0)
        await raw.send(ASK)
        await read_until(raw, b"[Prompt Summary]")


async def test_where_there_is_no_room_it_is_an_error_and_1013() -> None:
    small = f"[server]\nmax_bodies = {4 * MIB}\n"
    async with open_pair(small, options=SLOW) as client, open_raw(port_of(client)) as other:
        await other.send(frame(TEXT, b"x" * 2 * MIB, fin=False))
        await until(lambda: budget_of(client).taken == 2 * MIB)
        async with open_raw(port_of(client)) as raw:
            await raw.send(frame(TEXT, large(2 * MIB), fin=False))
            error = json.loads(await read_until(raw, b'"error"'))["data"]["error"]
            assert (error["code"], error["status"], error["retry_after"]) == ("overloaded", 503, 1.0)
            await read_until(raw, b'"[DONE]"')
            assert await raw.end() == 1013
        await until(lambda: budget_of(client).taken == 2 * MIB)


async def test_one_that_does_not_come_to_its_end_is_refused_and_the_socket_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_pace, "_GRACE", 0.3)
    async with open_pair() as client, open_raw(port_of(client)) as raw:
        for _ in range(2):
            await raw.send(frame(TEXT, b'{"messages": ', fin=False))
            error = json.loads(await read_until(raw, b'"error"'))["data"]["error"]
            assert (error["code"], error["status"]) == ("request_timeout", 408)
            await read_until(raw, b'"[DONE]"')
            assert budget_of(client).taken == 0
            await raw.send(frame(0, b"[]}") + ASK)
            await read_until(raw, b'"[DONE]"')


async def test_binary_messages_are_not_gathered() -> None:
    async with open_pair() as client, open_raw(port_of(client)) as raw:
        await raw.send(frame(BINARY, b"x" * 200_000, fin=False))
        await trio.sleep(0.05)
        assert budget_of(client).taken == 0
        await raw.send(frame(0, b"x"))
        assert await raw.end() == 1003


async def test_nothing_more_is_read_while_a_write_waits() -> None:
    """A client that sends and does not read: what it sends stays in its own buffers."""

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD)
        while True:
            await stream.send_all(sse_chunk({"content": "word " * 200}) * 20)

    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_raw(port_of(client)) as raw,
    ):
        raw.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await raw.send(ASK)
        await until(lambda: client.app.gateway.active == 1)
        await trio.sleep(0.5)
        sent = 0
        with trio.move_on_after(1.0):
            while True:
                await raw.stream.send_all(frame(TEXT, b"x" * 60_000))
                sent += 60_000
        assert sent < 5 * MIB
        assert budget_of(client).taken < MIB
        assert client.app.gateway.active == 1


async def test_a_busy_end_raises_nothing() -> None:
    """Each socket ends in one segment of a binary message, pings and a close frame."""
    answer = b"".join(sse_chunk({"content": f"w{number} "}) for number in range(50))
    with capture_logs() as log:
        async with (
            open_upstream(plays(HEAD + answer + sse_chunk(finish="stop") + DONE)) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
            trio.open_nursery() as nursery,
        ):
            for number in range(60):
                nursery.start_soon(_end_busily, client, number)
    assert [each for each in log if each["log_level"] in {"warning", "error"} or "exc_info" in each] == []


async def _end_busily(client: Client, number: int) -> None:
    async with open_raw(port_of(client)) as raw:
        await raw.send(frame(TEXT, b"nonsense{") if number % 2 else ASK)
        await read_until(raw, b'"[DONE]"' if number % 3 else b'"')
        await raw.send(frame(BINARY, b"x") + frame(PING) * (number % 4) + frame(CLOSE))
        if number % 5:
            await raw.rest()
