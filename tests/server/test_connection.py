"""One connection over streams in memory, under a clock that jumps: hours of patience take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
import trio
import trio.testing
from hypercorn.trio.worker_context import WorkerContext
from hypothesis import given
from hypothesis import strategies as st

from tests.server.one_connection import connected, read_all
from trio_gateway.server.transport.connection import ClientConnection

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


class Answer:
    """An application that answers with a body of so many bytes, in one message."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.left_at: float | None = None

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watch, receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * self.size, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()

    async def watch(self, receive: ASGIReceiveCallable) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left_at = trio.current_time()


async def deaf(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """An application that never asks what became of its client."""
    await trio.sleep_forever()


async def test_a_client_that_takes_nothing_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    app = Answer(1_000_000)
    async with connected(app) as (client, ended):
        await client.send_all(GET)
        await client.receive_some(1000)
        stopped = trio.current_time()
        await ended.wait()
        assert app.left_at == pytest.approx(stopped + 20.0)
        assert trio.current_time() == pytest.approx(stopped + 20.0)


async def test_one_that_reads_slowly_but_steadily_is_served(autojump_clock: trio.testing.MockClock) -> None:
    app = Answer(200_000)
    async with connected(app) as (client, _):
        await client.send_all(GET)
        got = b""
        while got.count(b"x") < 200_000:
            await trio.sleep(1.0)  # 1 KB a second: 200 seconds for one write
            got += await client.receive_some(1000)
        assert trio.current_time() > 190.0
        assert app.left_at is None
        assert (got + await client.receive_some()).endswith(b"\r\n0\r\n\r\n")


async def test_beyond_the_workers_grace_nobody_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    workers: list[trio.CancelScope] = []
    async with connected(Answer(1_000_000), worker=workers.append) as (client, ended):
        workers[0].deadline = trio.current_time() + 5.0
        await client.send_all(GET)
        await ended.wait()
    assert trio.current_time() == pytest.approx(5.0)


async def test_nor_is_a_client_that_was_waited_for_before_it(autojump_clock: trio.testing.MockClock) -> None:
    workers: list[trio.CancelScope] = []
    async with connected(Answer(1_000_000), worker=workers.append) as (client, ended):
        await client.send_all(GET)
        await client.receive_some(1000)
        await trio.sleep(1.0)
        workers[0].deadline = trio.current_time() + 5.0
        await ended.wait()
    assert trio.current_time() == pytest.approx(6.0)


async def test_a_handler_that_does_not_listen_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(deaf) as (client, ended):
        await client.send_all(GET)
        await client.aclose()
        await ended.wait()
        assert trio.current_time() == pytest.approx(20.0)


async def test_a_body_nobody_reads_is_not_held_in_memory(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(deaf) as (client, ended):
        await client.send_all(POST)
        sent = 0
        with trio.move_on_after(60.0):
            while True:
                await client.send_all(b"x" * 10_000)
                sent += 10_000
        assert sent < 300_000
        assert not ended.is_set()


async def test_no_more_than_64_kib_are_read_ahead(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[int] = []
    read = ClientConnection._read

    async def measured(self: ClientConnection, size: int = 65_536) -> bytes:
        data = await read(self, size)
        ahead.append(len(self._ahead) + len(data))
        return data

    monkeypatch.setattr(ClientConnection, "_read", measured)
    async with connected(deaf) as (client, _):
        await client.send_all(POST)
        with trio.move_on_after(60.0):
            while True:
                await client.send_all(b"x" * 50_000)
    assert max(ahead) == 65_536


async def test_leaving_is_seen_behind_a_body_nobody_reads(autojump_clock: trio.testing.MockClock) -> None:
    app = Answer(0)
    async with connected(app) as (client, ended):
        await client.send_all(POST)
        await client.aclose()
        await ended.wait()
        assert app.left_at == 0.0


async def test_headers_that_trickle_in_have_the_keep_alive_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected(deaf) as (client, ended):
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
            for byte in GET[:-1]:
                await trio.sleep(0.5)
                await client.send_all(bytes([byte]))
        await ended.wait()
        assert trio.current_time() == pytest.approx(5.0, abs=0.5)


async def test_a_connection_that_was_used_may_be_idle_for_longer_than_a_new_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected(Answer(10), keep_alive_timeout=75.0) as (client, ended):
        await client.send_all(GET)
        while not (await client.receive_some()).endswith(b"0\r\n\r\n"):
            pass
        answered = trio.current_time()
        await ended.wait()
        assert trio.current_time() == answered + 75.0
    async with connected(Answer(10), keep_alive_timeout=75.0) as (_, ended):
        opened = trio.current_time()
        await ended.wait()
        assert trio.current_time() == opened + 5.0


async def test_after_the_end_a_second_is_left_to_the_client(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(Answer(10)) as (client, ended):
        await client.send_all(GET.replace(b"GET", b"G@T"))
        assert (await read_all(client)).startswith(b"HTTP/1.1 400 ")
        answered = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
            while True:
                await client.send_all(b"x" * 100_000)  # still taken, and thrown away
                await trio.sleep(0.1)
        assert trio.current_time() == pytest.approx(answered + 1.0, abs=0.11)
        await ended.wait()


async def test_a_client_that_closes_is_not_kept(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(Answer(10)) as (client, ended):
        await client.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await ended.wait()
        assert trio.current_time() < 1.5  # not the keep-alive time


async def test_what_comes_after_the_end_is_thrown_away(autojump_clock: trio.testing.MockClock) -> None:
    context = WorkerContext(None)
    async with connected(Answer(10), context=context) as (client, _):
        await client.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()
        await context.terminated.set()
        await read_all(client)
        with trio.fail_after(0.5):
            for _ in range(20):
                await client.send_all(GET * 500)


async def test_a_request_is_answered_whole_or_not_at_all_when_the_worker_drains(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for _ in range(100):  # which task is woken first is left to chance
        context = WorkerContext(None)
        async with connected(Answer(10), context=context) as (client, _):
            await client.send_all(GET)
            await context.terminated.set()
            got = await read_all(client)
            assert got.endswith(b"0\r\n\r\n") or got == b""


async def test_a_handler_that_does_nothing_but_send_is_cancelled_too() -> None:
    async def endless(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async with connected(endless, write_timeout=0.1) as (client, ended):
        await client.send_all(GET)
        await client.receive_some()
        await client.aclose()
        with trio.fail_after(2.0):
            await ended.wait()


async def test_an_event_is_written_whole_even_when_its_handler_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def hasty(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with trio.move_on_after(1.0):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with connected(hasty) as (client, _):
        await client.send_all(GET)
        got = bytes(await client.receive_some())  # the head
        await trio.sleep(2.0)
        while not got.endswith(b"0\r\n\r\n"):
            got += await client.receive_some()
        assert got.count(b"x") == 50_000


async def test_a_host_hypercorn_does_not_serve_is_not_left_hanging(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected(deaf, server_names=["example.org"]) as (client, ended):
        await client.send_all(GET)
        assert (await read_all(client)).startswith(b"HTTP/1.1 404 ")
        await ended.wait()


async def test_a_client_gone_before_it_was_served_makes_no_noise() -> None:
    def getpeername() -> str:
        raise OSError("not connected")

    with structlog.testing.capture_logs() as lines:
        async with connected(deaf, getpeername=getpeername) as (_, ended):
            await ended.wait()
    assert lines == []


class BrokenError(Exception):
    pass


async def test_an_exception_ends_the_connection_and_makes_one_log_line(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(self: object, event: object) -> None:
        await trio.lowlevel.checkpoint()
        raise BrokenError("secret")

    monkeypatch.setattr("trio_gateway.server.transport.http1.StrictHTTP1.handle", handle)
    with structlog.testing.capture_logs() as lines:
        async with connected(deaf) as (client, ended):
            await client.send_all(GET)
            assert await read_all(client) == b""
            await ended.wait()
    assert lines == [{"event": "connection_failed", "log_level": "warning", "error_class": "BrokenError"}]


async def test_with_an_exception_a_cancellation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the worker's nursery is the cancellation alone, so that it ends as cancelled."""

    async def handle(self: object, event: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BrokenError

    monkeypatch.setattr("trio_gateway.server.transport.http1.StrictHTTP1.handle", handle)
    with structlog.testing.capture_logs() as lines:
        async with connected(deaf) as (client, _):
            await client.send_all(GET)
            await trio.testing.wait_all_tasks_blocked()
    assert [line["error_class"] for line in lines] == ["BrokenError"]


FRAGMENTS = [
    GET,
    b"POST / HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\n",
    b"Host: localhost\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
    b"Upgrade: h2c\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n",
    b"\n",
    b" x\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"\x81\x85\0\0\0\0hello",
    b"\0",
    b"\xff\xff",
]


@given(
    parts=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=5), max_size=12),
    cuts=st.lists(st.integers(1, 40), max_size=6),
)
def test_no_bytes_whatever_raise_out_of_a_connection(parts: list[bytes], cuts: list[int]) -> None:
    async def send(data: bytes) -> None:
        async with connected(Answer(10)) as (client, ended), trio.open_nursery() as nursery:
            nursery.start_soon(read_all, client)
            try:
                for cut in [*cuts, len(data)]:
                    if data[:cut]:
                        await client.send_all(data[:cut])
                    data = data[cut:]
                await client.send_stream.aclose()
            except trio.BrokenResourceError:
                pass  # refused before its end
            with trio.fail_after(60):
                await ended.wait()
            nursery.cancel_scope.cancel()

    trio.run(send, b"".join(parts), clock=trio.testing.MockClock(autojump_threshold=0))
