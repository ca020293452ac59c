"""Quart-Trio's side of a request: its end, its clean-up, its body; and that it wants trio."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.server.hypercorn_harness import HEAD, MAX_BODY, Client, EchoApp, bare_hypercorn, serving, status
from tests.support import until
from trio_gateway.core.budgets.body_ledger import BodyHold
from trio_gateway.server.transport.asgi import CLEANUP

if TYPE_CHECKING:
    from pathlib import Path

    from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent

GET = b"GET /ok " + HEAD + b"\r\n"


async def test_an_idle_connection_is_closed_when_its_time_is_up(mock_clock: trio.testing.MockClock) -> None:
    async with serving(EchoApp(), keep_alive_timeout=0.3) as (port, _), Client(port) as client:
        for _ in range(3):  # each begins the time anew
            await client.send(GET)
            await client.until(b"\r\n\r\nok")
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(0.2)
        mock_clock.jump(0.2)
        mock_clock.rate = 1.0  # the wait has its limit
        assert await client.rest(1.0) == b""


async def test_a_request_that_came_before_the_idle_time_was_noticed_is_answered(
    mock_clock: trio.testing.MockClock,
) -> None:
    """The process stands still for a while, and then finds both: the time is up, and a request is there."""
    async with (
        serving(EchoApp(), keep_alive_timeout=0.3) as (port, _),
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(Client(port)) for _ in range(10)]
        for client in clients:
            await client.send(GET)
            await client.until(b"\r\n\r\nok")
        await trio.testing.wait_all_tasks_blocked()
        for client in clients:
            os.write(client.stream.socket.fileno(), GET)
        mock_clock.jump(0.4)
        mock_clock.rate = 1.0  # the wait has its limit
        for client in clients:
            await client.until(b"\r\n\r\nok")


async def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    with trio.fail_after(2):
        async with serving(EchoApp()) as (port, stop), Client(port) as client:
            await client.send(GET)
            await client.until(b"\r\n\r\nok")
            stop.set()
            assert await client.rest(0.5) == b""


async def test_an_old_client_gets_its_end() -> None:
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(b"GET /ok HTTP/1.0\r\n\r\n")
        answer = await client.rest(0.5)
        assert answer.endswith(b"\r\n\r\nok")
        assert b"chunked" not in answer


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_client_that_leaves_is_seen_at_once(leave: str) -> None:
    app = EchoApp()
    async with serving(app) as (port, _), Client(port) as client:
        await client.send(b"GET /silent " + HEAD + b"\r\n")
        await app.begun.wait()
        client.reset() if leave == "reset" else client.stream.socket.close()
        await until(app.ended.is_set, 0.5)


async def test_a_client_that_leaves_a_stream_is_seen_at_once() -> None:
    app = EchoApp()
    async with serving(app) as (port, _), Client(port) as client:
        await client.send(b"GET /flood " + HEAD + b"\r\n")
        await client.until(b"xxx")
        client.stream.socket.close()
        await until(app.ended.is_set, 0.5)


async def test_clean_up_runs_when_all_is_well() -> None:
    app = EchoApp()
    async with serving(app) as (port, _), Client(port) as client:
        await client.send(b"GET /cleanup " + HEAD + b"Connection: close\r\n\r\n")
        await client.rest()
        await trio.testing.wait_all_tasks_blocked()
        assert app.seen == ["second", "first"]


class Request:
    """A request for ``/cleanup`` without a server: its answer gets stuck, and the client leaves."""

    def __init__(self, app: EchoApp, *, stuck_at: str, leaves: bool = True) -> None:
        self.app = app
        self.stuck_at = stuck_at
        self.leaves = leaves
        self.stuck = trio.Event()
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/cleanup",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
        }

    async def run(self) -> None:
        await self.app(self.scope, self.receive, self.send)  # type: ignore[arg-type]

    async def receive(self) -> ASGIReceiveEvent:
        await self.stuck.wait()
        if not self.leaves:
            await trio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == self.stuck_at:
            self.stuck.set()
            await trio.sleep_forever()


async def test_clean_up_runs_when_the_client_leaves_before_the_body_begins() -> None:
    app = EchoApp()
    request = Request(app, stuck_at="http.response.start")
    with trio.fail_after(1):
        await request.run()
    assert app.seen == ["second", "first"]
    assert CLEANUP not in request.scope


async def test_clean_up_runs_when_the_request_is_cancelled() -> None:
    app = EchoApp()
    request = Request(app, stuck_at="http.response.body", leaves=False)
    with trio.move_on_after(0.05) as scope:
        await request.run()
    assert scope.cancelled_caught
    assert app.seen == ["second", "first"]


async def test_one_clean_up_that_fails_does_not_keep_the_others_from_their_turn() -> None:
    app = EchoApp()
    request = Request(app, stuck_at="http.response.start")
    request.scope[CLEANUP] = [lambda: app.seen.append("kept"), lambda: 1 / 0]
    with pytest.raises(ZeroDivisionError):
        await request.run()
    assert app.seen[-1] == "kept"


@pytest.mark.parametrize("size", [0, 1, MAX_BODY - 1, MAX_BODY])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_up_to_the_limit_arrives(size: int, chunked: bool) -> None:
    fields, body = framed(size, chunked=chunked)
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(b"POST /echo " + HEAD + fields + b"Connection: close\r\n\r\n" + body)
        answer = await client.rest()
        assert status(answer) == 200
        assert answer.count(b"x" * 1000) == size // 1000


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_and_the_connection_closed(chunked: bool) -> None:
    fields, body = framed(MAX_BODY + 1, chunked=chunked)
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(b"POST /echo " + HEAD + fields + b"\r\n" + body)
        answer = await client.rest(1.0)
        assert status(answer) == 413


def framed(size: int, *, chunked: bool) -> tuple[bytes, bytes]:
    if not chunked:
        return b"Content-Length: %d\r\n" % size, b"x" * size
    sizes = [1000] * (size // 1000) + [size % 1000] * bool(size % 1000)
    chunks = b"".join(b"%x\r\n%b\r\n" % (n, b"x" * n) for n in sizes)
    return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n"


async def test_nothing_is_held_of_a_body_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    add = BodyHold.add

    def measure(hold: BodyHold, size: int) -> bool:
        nonlocal taken
        taken += size
        return add(hold, size)

    monkeypatch.setattr(BodyHold, "add", measure)
    fields, body = framed(3_000_000, chunked=True)
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(b"POST /echo " + HEAD + fields + b"\r\n" + body)
        assert status(await client.rest(2.0)) == 413
    assert 0 < taken <= MAX_BODY


CONTINUE = b"HTTP/1.1 100 \r\n\r\n"
EXPECT = b"Expect: 100-continue\r\n"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(chunked: bool) -> None:
    fields, body = framed(5000, chunked=chunked)
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        for _ in range(2):
            await client.send(b"POST /echo " + HEAD + EXPECT + fields + b"\r\n")
            assert await client.until(b"\r\n\r\n") == CONTINUE
            await client.send(body)
            assert status(await client.until(b"x" * 1000)) == 200


async def test_one_that_does_not_wait_after_all_is_not_asked() -> None:
    fields, body = framed(5000, chunked=False)
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(b"POST /echo " + HEAD + EXPECT + fields + b"Connection: close\r\n\r\n" + body)
        assert status(await client.rest()) == 200


async def test_each_connection_is_asked_for_its_own_body() -> None:
    fields, body = framed(1, chunked=False)
    async with serving(EchoApp()) as (port, _), Client(port) as first, Client(port) as second:
        for client in (first, second):
            await client.send(b"GET /ok " + HEAD + b"\r\n")
            await client.until(b"ok")
        for client in (first, second):
            await client.send(b"POST /echo " + HEAD + EXPECT + fields + b"\r\n")
            assert await client.until(b"\r\n\r\n") == CONTINUE
            await client.send(body)
            assert status(await client.until(b"x")) == 200


@pytest.mark.parametrize(
    ("target", "fields", "wanted"),
    [
        (b"POST /echo ", b"Content-Length: %d\r\n" % (MAX_BODY + 1), 413),
        (b"POST /no-such-path ", b"Content-Length: 5\r\n", 404),
        (b"POST /ok ", b"Content-Length: 5\r\n", 405),
        (b"POST /deaf ", b"Content-Length: 5\r\n", 200),
        (b"POST /echo ", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ],
)
async def test_a_body_nobody_wants_is_not_asked_for(target: bytes, fields: bytes, wanted: int) -> None:
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(target + HEAD + EXPECT + fields + b"\r\n")
        answer = await client.rest(1.0)
        assert status(answer) == wanted
        assert answer.lower().count(b"\r\nconnection: close") == 1


async def test_an_asyncio_worker_is_told_what_it_lacks(tmp_path: Path) -> None:
    module = tmp_path / "tiny.py"
    module.write_text(
        "from quart_trio import QuartTrio\n"
        "from trio_gateway.server.transport.asgi import Lifespan\n"
        "class App(QuartTrio):\n"
        "    asgi_lifespan_class = Lifespan\n"
        "app = App('tiny')\n"
    )
    log = tmp_path / "log"
    async with bare_hypercorn(f"{module}:app", "-b", "127.0.0.1:0", stderr=log) as process:
        with trio.fail_after(10):
            await process.wait()
    said = [line for line in log.read_text().splitlines() if "trio_gateway needs" in line]
    assert (
        said[-1].count("trio_gateway needs hypercorn's trio worker: hypercorn -k trio trio_gateway:app") == 1
    )
    assert "Running on" not in log.read_text()
