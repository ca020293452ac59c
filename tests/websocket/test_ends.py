"""How a WebSocket ends: by the client's leaving, by what it sends, or by the gateway; and what is left then."""

from __future__ import annotations

import gc
import json
import socket as sockets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.server.hypercorn_harness import bare_hypercorn
from tests.support import (
    HEAD,
    Client,
    chat,
    open_gateway,
    open_pair,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    tasks_at_rest,
    text_answer,
    until,
    within,
)
from tests.websocket.talking import (
    BINARY,
    CANCEL,
    CLOSE,
    PING,
    TEXT,
    Raw,
    close,
    frame,
    open_raw,
    open_socket,
    port_of,
)
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Script

SLOW = Options(port=0, first_token_delay=30)
ASK = frame(TEXT, json.dumps(chat()).encode())
THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two. Then I check it again.\n"})
SPEAKS = THINKS + sse_chunk({"content": "</think>The answer"})


async def read_until(raw: Raw, mark: bytes) -> None:
    while (got := await raw.frame()) is not None:
        if mark in got.payload:
            return
    raise AssertionError(mark)


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


# Clients that leave

LEAVES: dict[str, tuple[bytes, bytes]] = {
    # when: what the upstream has sent by then, what the client has seen
    "prompt summary": (b"", b"[Prompt Summary]"),
    "reasoning": (THINKS, b"[Reasoning Summary]"),
    "output": (SPEAKS, b'"The answer"'),
}


@pytest.mark.parametrize("when", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize("way", ["FIN", "RST", "close frame", "close frame and FIN"])
@pytest.mark.parametrize("more", [b"", frame(TEXT, b"{}") * 20], ids=["", "with messages unread"])
async def test_the_upstream_is_closed_within_50_ms(when: tuple[bytes, bytes], way: str, more: bytes) -> None:
    sent, mark = when
    async with (
        open_upstream(plays(sent, hold=True)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_raw(port_of(client)) as raw,
    ):
        await raw.send(ASK)
        await read_until(raw, mark)
        await until(lambda: len(upstream.requests) == 1 and upstream.open_connections >= 1)
        before = len(upstream.closed_at)
        gc.collect()  # what the tests before this one left would be collected while the time runs
        await raw.send(more + close(1000) * way.startswith("close frame"))
        if way == "close frame and FIN":  # as browsers leave a page
            raw.stream.socket.shutdown(trio.socket.SHUT_WR)
        elif way != "close frame":
            raw.leave(way)
        await until(lambda: len(upstream.closed_at) > before, 0.05)
        if way == "close frame":
            while (got := await raw.frame()) is not None and got.opcode != CLOSE:
                pass  # words about the messages it sent
            assert got is not None
            assert got.code == 1000
            assert await raw.frame() is None
        gateway = client.app.gateway
        await until(lambda: gateway.active == 0, 0.5)
        snapshot = gateway.backends["main"].breaker.snapshot(trio.current_time())
        assert (snapshot.in_flight, snapshot.neutral, snapshot.failure) == (0, 1, 0)
        metrics = (await client.get("/metrics")).text
    assert 'gateway_requests_total{model="default",outcome="cancelled"} 1.0' in metrics


async def test_one_that_leaves_during_the_upgrade_leaves_nothing() -> None:
    async with open_pair() as client:
        await until(lambda: client.app.gateway.catalogue.entries() != [])
        before = await tasks_at_rest(client)
        for way in ("FIN", "RST") * 5:
            async with open_raw(port_of(client)) as raw:
                raw.leave(way)
        await until(lambda: living() <= before, 2)


@pytest.mark.parametrize("asks", [True, False])
async def test_many_who_leave_leave_nothing_behind(asks: bool) -> None:
    async with (
        open_upstream(plays(HEAD, hold=True)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        gateway = client.app.gateway
        await until(lambda: upstream.closed_at != [])  # the list of models has been asked for
        before = await tasks_at_rest(client)
        for _ in range(3):
            async with AsyncExitStack() as stack:
                for _ in range(20):
                    raw = await stack.enter_async_context(open_raw(port_of(client)))
                    await raw.send(ASK if asks else frame(PING))
                await until(lambda: gateway.active == 20 * asks and living() >= before + 20 * 3)
            await until(lambda: gateway.active == 0 and living() <= before)
        snapshot = gateway.backends["main"].breaker.snapshot(trio.current_time())
    assert (snapshot.in_flight, snapshot.neutral) == (0, 60 * asks)


async def test_its_leaving_is_seen_behind_many_messages() -> None:
    async with open_pair(options=SLOW) as client, open_raw(port_of(client)) as raw:
        await raw.send(ASK)
        await until(lambda: client.app.gateway.active == 1)
        for _ in range(60):
            await raw.send(frame(TEXT, b"{}"))
            await trio.sleep(0.001)
        raw.leave("FIN")
        await until(lambda: client.app.gateway.active == 0, 0.2)


async def test_one_that_never_reads_is_cut_off() -> None:
    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD)
        while True:
            await stream.send_all(sse_chunk({"content": "word " * 200}) * 20)

    limits = "[server]\nwrite_timeout = 0.4\n"
    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(limits, UPSTREAM_URL=upstream.url)) as client,
        open_raw(port_of(client)) as raw,
    ):
        raw.stream.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        await raw.send(ASK)
        await until(lambda: client.app.gateway.active == 1)
        await until(lambda: client.app.gateway.active == 0 and upstream.open_connections == 0, 1.5)


# Messages that end it

ENDS: dict[str, tuple[bytes, int]] = {
    "binary": (frame(BINARY, b"{}"), 1003),
    "empty binary": (frame(BINARY), 1003),
    "binary in fragments": (frame(BINARY, b"{", fin=False) + frame(0, b"}"), 1003),
    "101 messages": (frame(TEXT, CANCEL.encode()) * 101, 1008),
    "101 pings": (frame(PING) * 101, 1008),
    "too large": (frame(TEXT, b"x" * 1001), 1009),
    "too large, in characters of two bytes": (frame(TEXT, "é".encode() * 501), 1009),
    "too large, by what it says": (frame(TEXT, b"x" * 1001, length=1 << 40), 1009),
    "too large, in fragments": (frame(TEXT, b"x", fin=False) + frame(0, b"x", fin=False) * 1000, 1009),
    "too large, binary": (frame(BINARY, b"x" * 1001), 1009),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_message_that_ends_the_socket(end: tuple[bytes, int], busy: bool) -> None:
    sent, code = end
    small = "[server]\nmax_body = 1000\n"
    async with open_pair(small, options=SLOW) as client, open_raw(port_of(client)) as raw:
        if busy:
            await raw.send(ASK)
            await read_until(raw, b"[Prompt Summary]")
        gc.collect()
        await raw.send(sent)
        while (got := await raw.frame()) is not None and got.opcode != CLOSE:
            assert got.opcode != TEXT or b"request_in_progress" in got.payload or busy
        assert got is not None
        assert got.code == code
        await until(lambda: client.app.gateway.active == 0, 0.05)
        assert await raw.frame() is None


async def test_no_more_than_64_messages_while_one_runs() -> None:
    async with open_pair(options=SLOW) as client, open_raw(port_of(client)) as raw:
        await raw.send(ASK + frame(TEXT, b"{}") * 64)
        for _ in range(64):
            await read_until(raw, b"request_in_progress")
        assert client.app.gateway.active == 1
        await raw.send(frame(TEXT, b"{}"))
        assert await raw.end() == 1008


async def test_a_message_of_the_size_of_the_limit_is_read() -> None:
    empty = json.dumps(chat(""))
    async with open_pair("[server]\nmax_body = 1000\n") as client, open_socket(client) as socket:
        answer = await socket.ask(chat("x" * (1000 - len(empty))))
    assert answer.output


async def test_a_mistake_of_ours_ends_it_and_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    with capture_logs() as log:
        async with open_pair() as client, open_raw(port_of(client)) as raw:
            monkeypatch.setattr(client.app.gateway, "admit", broken)
            await raw.send(ASK)
            got = await raw.frame()
            assert got is not None
            assert (got.opcode, got.code) == (CLOSE, 1011)
            assert b"secret" not in got.payload
            assert await raw.frame() is None
    failed = [each for each in log if each["log_level"] == "error"]
    assert [each["event"] for each in failed] == ["socket_failed"]
    assert failed[0]["exc_info"]


# The gateway is busy, or stops


async def test_when_the_gateway_is_full_it_is_better_to_come_back_later() -> None:
    limits = "[server]\nmax_streams = 1\n"
    async with open_pair(limits, options=SLOW) as client, open_socket(client) as first:
        await first.send(chat())
        await first.until("[Prompt Summary]")
        async with open_socket(client) as second:
            answer = await second.ask(chat())
            assert answer.error is not None
            assert (answer.error["code"], answer.error["status"]) == ("overloaded", 503)
            assert answer.error["retry_after"] == 1.0
            assert await second.closed() == 1013
        assert client.app.gateway.active == 1


def holding(*parts: bytes, go_on: trio.Event) -> Script:
    """Sends the first of *parts*, and the others when *go_on* is set."""

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(parts[0])
        await go_on.wait()
        for part in parts[1:]:
            await stream.send_all(part)

    return script


async def stop(client: Client) -> None:
    """What SIGTERM does to a worker."""
    worker = client.app._hardening._worker
    assert worker is not None
    await worker.terminated.set()


async def test_when_the_gateway_stops_idle_sockets_end_at_once_and_others_after_their_answer() -> None:
    go_on = trio.Event()
    whole = text_answer("The", " answer")
    async with (
        open_upstream(holding(whole[:-60], whole[-60:], go_on=go_on)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_socket(client) as busy,
        open_raw(port_of(client)) as idle,
    ):
        await busy.send(chat())
        before = await busy.until('" answer"')
        await stop(client)
        async with within(0.5):
            assert await idle.end() == 1012
        await busy.send(chat())  # it has no room for more
        refused = json.loads(await busy.frame())["data"]["error"]
        assert refused["code"] == "request_in_progress"
        go_on.set()
        answer = await busy.answer(*before)
        assert (answer.output, answer.finish_reasons, answer.error) == ("The answer", ["stop"], None)
        assert await busy.closed() == 1012


async def test_when_the_time_is_up_the_answer_ends_honestly() -> None:
    limits = "[server]\ngraceful_timeout = 0.5\n"
    async with (
        open_upstream(plays(SPEAKS, hold=True)) as upstream,
        open_gateway(settings(limits, UPSTREAM_URL=upstream.url)) as client,
        open_socket(client) as socket,
    ):
        await socket.send(chat())
        before = await socket.until('"The answer"')
        await stop(client)
        answer = await socket.answer(*before)
        assert answer.error is not None
        assert (answer.error["code"], answer.done) == ("shutting_down", 1)
        assert await socket.closed() == 1012


async def test_under_the_bare_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = tmp_path / "gateway.toml"
    config.write_text("[server]\nmax_body = 1000\nheartbeat = 0.2\n")
    log = tmp_path / "log"
    async with open_upstream(plays(text_answer("4"))) as upstream:
        monkeypatch.setenv("GATEWAY_CONFIG", str(config))
        monkeypatch.setenv("UPSTREAM_URL", upstream.url)
        options = ("-k", "trio", "-b", f"127.0.0.1:{port}")
        async with bare_hypercorn("trio_gateway:app", *options, stderr=log) as process:
            await listening(port)
            async with open_raw(port) as idle, open_raw(port) as raw:
                await raw.send(ASK)
                await read_until(raw, b"[DONE]")
                got = await raw.frame()
                assert got is not None
                assert got.opcode == PING
                await raw.send(frame(TEXT, b"x" * 1001))
                assert await raw.end() == 1009
                process.terminate()
                assert await idle.end() == 1012
                with trio.fail_after(5):
                    assert await process.wait() == 0
    assert "Traceback" not in log.read_text()


async def listening(port: int) -> None:
    with trio.fail_after(10):
        while True:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
            except OSError:
                await trio.sleep(0.05)
            else:
                return


# Silence


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_silence_is_broken_by_pings(busy: bool) -> None:
    async with (
        open_pair("[server]\nheartbeat = 0.1\n", options=SLOW) as client,
        open_raw(port_of(client)) as raw,
    ):
        began = (
            trio.current_time()
        )  # before any ping: those that wait come together where the machine is busy
        if busy:
            await raw.send(ASK)
            await read_until(raw, b"[Prompt Summary]")
        async with within(1.0):
            for _ in range(3):
                got = await raw.frame()
                while got is not None and got.opcode == TEXT:
                    got = await raw.frame()
                assert got is not None
                assert got.opcode == PING
        assert trio.current_time() - began > 0.15


async def test_the_pings_end_with_the_socket() -> None:
    async with (
        open_upstream(plays(text_answer("4"))) as upstream,
        open_gateway(settings("[server]\nheartbeat = 1000\n", UPSTREAM_URL=upstream.url)) as client,
    ):
        await until(lambda: upstream.closed_at != [])
        before = await tasks_at_rest(client)
        async with open_socket(client) as socket:
            await socket.ask(chat())
        await until(lambda: living() <= before, 1.5)
