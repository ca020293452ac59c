"""One request between h11 and an application: what ASGI promises, and what leaves in which write."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from tests.server.one_connection import connected, read_all
from trio_gateway.server.transport.connection import ClientConnection
from trio_gateway.server.transport.request_stream import STREAM, RequestStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

    Serve = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]

GET = b"GET /a%20b?c HTTP/1.1\r\nHost: localhost\r\n\r\n"
START: Any = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
END: Any = {"type": "http.response.body", "body": b"ok", "more_body": False}


def post(body: bytes, *fields: bytes) -> bytes:
    head = b"\r\n".join([b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body), *fields])
    return head + b"\r\n\r\n" + body


async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await send(START)
    await send(END)


async def test_an_answer_in_one_piece_leaves_in_one_write(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(answer) as (client, _):
        await client.send_all(GET)
        got = bytes(await client.receive_some())
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\nok")


async def test_the_head_waits_for_the_body_and_an_empty_part_sends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send(START)
        await trio.sleep(1.0)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await trio.sleep(1.0)
        await send(END)

    async with connected(slow) as (client, _):
        await client.send_all(GET)
        head = bytes(await client.receive_some())
        assert trio.current_time() == pytest.approx(1.0)
        assert head.endswith(b"\r\n\r\n")
        assert bytes(await client.receive_some()) == b"ok"
        assert trio.current_time() == pytest.approx(2.0)


async def test_the_scope_is_that_of_asgi(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[Any] = []

    async def look(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        seen.append({**scope, "state": dict(scope["state"])})
        await answer(scope, receive, send)

    async with connected(look) as (client, _):
        await client.send_all(GET)
        await client.receive_some()
    [scope] = seen
    assert (scope["type"], scope["method"], scope["http_version"]) == ("http", "GET", "1.1")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c")
    assert (scope["scheme"], scope["headers"]) == ("http", [(b"host", b"localhost")])
    assert list(scope["state"]) == [STREAM]
    assert isinstance(scope["state"][STREAM], RequestStream)


BODIES: dict[str, tuple[bytes, list[tuple[bytes, bool]]]] = {
    "none": (GET, [(b"", False)]),
    "empty": (post(b""), [(b"", False)]),
    "whole": (post(b"whole"), [(b"whole", False)]),
}


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES)
async def test_the_body_comes_and_then_the_end(
    case: tuple[bytes, list[tuple[bytes, bool]]], autojump_clock: trio.testing.MockClock
) -> None:
    sent, parts = case
    got: list[Any] = []

    async def listen(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        while not got or got[-1].get("more_body"):
            got.append(await receive())
        await answer(scope, receive, send)
        got.append(await receive())  # the answer is over, which an application hears like a client's leaving
        got.append(await receive())

    async with connected(listen) as (client, _):
        await client.send_all(sent)
        await client.receive_some()
        await trio.testing.wait_all_tasks_blocked()
    assert [(each["body"], each["more_body"]) for each in got[:-2]] == parts
    assert got[-2:] == [{"type": "http.disconnect"}] * 2


async def test_a_body_in_parts_is_given_part_by_part(autojump_clock: trio.testing.MockClock) -> None:
    got = b""

    async def gather(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        nonlocal got
        more = True
        while more:
            message: Any = await receive()
            got += message["body"]
            more = message["more_body"]
        await answer(scope, receive, send)

    async with connected(gather) as (client, _):
        request = post(b"0123456789")
        for at in range(0, len(request), 7):
            await client.send_all(request[at : at + 7])
        await client.receive_some()
    assert got == b"0123456789"


@asynccontextmanager
async def failing(serve: Serve, sent: bytes = GET) -> AsyncIterator[bytes]:
    async with connected(serve) as (client, ended):
        await client.send_all(sent)
        yield await read_all(client)
        await client.aclose()
        await ended.wait()


async def test_an_application_without_an_answer_is_a_500(autojump_clock: trio.testing.MockClock) -> None:
    async def nothing(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await trio.lowlevel.checkpoint()

    async def broken(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        raise ValueError("a bug")

    for serve in (nothing, broken):
        async with failing(serve) as got:
            assert got.startswith(b"HTTP/1.1 500 ")
            assert b"a bug" not in got


async def test_one_that_fails_in_its_answer_cuts_it(autojump_clock: trio.testing.MockClock) -> None:
    async def broken(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("a bug")

    async with failing(broken) as got:
        assert got.endswith(b"\r\npart\r\n")  # and no last chunk


async def test_messages_out_of_order_are_an_error(autojump_clock: trio.testing.MockClock) -> None:
    async def early(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send(END)

    async with failing(early) as got:
        assert got.startswith(b"HTTP/1.1 500 ")


CLOSING: dict[str, tuple[int, bytes]] = {
    "too large": (413, post(b"x")),
    "before the whole of it": (200, post(b"x" * 10)[:-1]),
}


@pytest.mark.parametrize("case", CLOSING.values(), ids=CLOSING)
async def test_the_connection_ends_where_the_rest_is_not_taken(
    case: tuple[int, bytes], autojump_clock: trio.testing.MockClock
) -> None:
    status, sent = case

    async def refuse(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        start: Any = {**START, "status": status}
        await send(start)
        await send(END)

    async with failing(refuse, sent) as got:
        assert b"connection: close" in got.lower()
        assert got.endswith(b"ok")


async def test_a_second_request_waits_for_the_first_ones_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    served: list[float] = []

    async def slow(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        served.append(trio.current_time())
        await trio.sleep(1.0)
        await answer(scope, receive, send)

    async with connected(slow) as (client, _):
        await client.send_all(GET * 3)
        got = b""
        while got.count(b"\r\n\r\nok") < 3:
            got += await client.receive_some()
    assert served == pytest.approx([0.0, 1.0, 2.0])


async def test_leaving_is_reported_once_and_at_once_to_those_who_ask_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    left: list[str] = []

    async def deaf(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        stream: RequestStream = scope["state"][STREAM]
        stream.on_leaving(lambda: left.append("first"))
        await trio.sleep(1.0)
        stream.on_leaving(lambda: left.append("late"))

    async with connected(deaf) as (client, ended):
        await client.send_all(GET)
        await trio.sleep(0.5)
        await client.aclose()
        await ended.wait()
    assert left == ["first", "late"]


async def test_no_body_answers_head(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(answer) as (client, _):
        await client.send_all(GET.replace(b"GET", b"HEAD"))
        got = bytes(await client.receive_some())
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\n")


async def test_an_application_that_only_sends_leaves_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writes, begun = 0, trio.Event()

    def taken_at_once(_connection: ClientConnection, data: bytes) -> int:
        nonlocal writes
        writes += 1
        assert writes < 10_000
        begun.set()
        return len(data)

    async def endless(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    monkeypatch.setattr(ClientConnection, "send_nowait", taken_at_once)
    async with connected(endless) as (client, _):
        await client.send_all(GET)
        await begun.wait()
        assert writes < 10
