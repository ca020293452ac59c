"""The one module that knows httpx, against real sockets: what it sends, what it takes, what it makes of faults."""

from __future__ import annotations

import contextlib
import gzip
import socket
import zlib
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import assert_checkpoints

from tests.support import DONE, HEAD, Script, open_upstream, plays, resets, sse_chunk, until, within
from trio_gateway.core.breaker import Outcome, PauseCause
from trio_gateway.core.config import UpstreamConfig
from trio_gateway.core.upstream_api.model_list import MAX_LIST
from trio_gateway.engine.bodies import Payload
from trio_gateway.engine.upstream import Upstream
from trio_gateway.engine.upstream_answer import UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_gateway.core.upstream_api.faults import Fault

ZIPPED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: %s\r\nConnection: close\r\n\r\n"
)


@asynccontextmanager
async def client(url: str, key: str | None = None, **config: float) -> AsyncIterator[Upstream]:
    upstream = Upstream(UpstreamConfig(url=f"{url}/v1", **config), key)  # type: ignore[arg-type]
    try:
        yield upstream
    finally:
        with trio.CancelScope(shield=True):
            await upstream.aclose()


async def fetch(upstream: Upstream) -> bytes:
    async with upstream.open_completion(Payload([b"{}"]), authorization=None) as answer:
        body = b""
        while chunk := await answer.receive():
            body += chunk
        return body


async def fault(script: Script, **config: float) -> Fault:
    async with open_upstream(script) as server, client(server.url, None, **config) as upstream:
        with pytest.raises(UpstreamFailure) as raised:
            await fetch(upstream)
    return raised.value.fault


async def test_a_body_is_read_to_its_end() -> None:
    async with open_upstream(plays(HEAD + DONE)) as server, client(server.url, key="sk-1") as upstream:
        assert await fetch(upstream) == DONE
    assert server.headers[0]["authorization"] == "Bearer sk-1"
    assert server.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"identity", bytes)]
)
async def test_a_body_that_is_compressed_unasked_is_read_all_the_same(encoding: bytes, pack: object) -> None:
    body = b"".join(sse_chunk({"content": str(number)}) for number in range(100))
    packed = pack(body)  # type: ignore[operator]
    async with open_upstream(plays(ZIPPED % encoding + packed)) as server, client(server.url) as upstream:
        assert await fetch(upstream) == body


async def test_a_body_that_inflates_too_far() -> None:
    assert (
        await fault(plays(ZIPPED % b"gzip" + gzip.compress(b"x" * 50_000_000)))
    ).error.code == "bad_content_encoding"


async def test_other_tasks_run_between_two_pieces_of_what_was_inflated() -> None:
    packed = gzip.compress(bytes(1024 * 1024))
    async with (
        open_upstream(plays(ZIPPED % b"gzip" + packed)) as server,
        client(server.url) as upstream,
        upstream.open_completion(Payload([b"{}"]), authorization=None) as answer,
    ):
        await answer.receive()
        for _ in range(15):
            with assert_checkpoints():
                assert len(await answer.receive()) == 64 * 1024


async def test_a_body_that_cannot_be_inflated() -> None:
    assert (await fault(plays(ZIPPED % b"gzip" + b"no gzip at all"))).error.code == "bad_content_encoding"


async def test_a_reset_in_mid_body() -> None:
    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "4"}))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    assert (await fault(script)).error.code in {"upstream_closed", "truncated"}


async def test_a_body_cut_short() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await fault(plays(head + b"5\r\n: hi\n\r\n"))).error.code == "truncated"


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        (b"Retry-After: 7", 7.0),
        (b"retry-after-ms: 1500\r\nRetry-After: 7", 1.5),
        (b"Retry-After: soon", None),
        (b"X: y", None),
    ],
)
async def test_the_pause_an_upstream_asks_for(header: bytes, pause: float | None) -> None:
    told = await fault(plays(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n" + header + b"\r\n\r\n"))
    assert (told.error.retry_after, told.pauses) == (
        (1.0, None) if pause is None else (pause, PauseCause.RATE)
    )


@pytest.mark.parametrize(
    ("script", "code", "unanswered"),
    [
        (plays(b""), "upstream_closed", True),
        (resets(b""), "upstream_closed", True),
        (resets(HEAD), "upstream_closed", False),
        (plays(HEAD.replace(b"close", b"close\r\nContent-Length: 9")), "truncated", False),
        (plays(b"220 mail.example ESMTP\r\n\r\n"), "upstream_protocol", False),
        (resets(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n{"), "upstream_error", False),
        (plays(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), "upstream_error", False),
    ],
)
async def test_a_connection_that_is_lost_before_any_answer_is_due_to_no_request(
    script: Script, code: str, unanswered: bool
) -> None:
    judged = await fault(script)
    assert (judged.error.code, judged.unanswered) == (code, unanswered)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_is_called_so(host: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # and does not listen
        port = server.getsockname()[1]
    async with client(f"http://{host}:{port}") as upstream:
        with pytest.raises(UpstreamFailure) as raised:
            await fetch(upstream)
    assert raised.value.fault.verdict.cause == "connection refused"
    assert raised.value.fault.unanswered


async def test_a_host_that_is_not_known_is_no_refused_connection() -> None:
    async with client("http://nowhere.invalid") as upstream:
        with pytest.raises(UpstreamFailure) as raised:
            await fetch(upstream)
    assert (raised.value.fault.verdict.cause, raised.value.fault.unanswered) == ("no such host", True)


async def test_an_error_page_is_not_read_without_end() -> None:
    page = b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" + b"x" * 1_000_000
    assert len((await fault(plays(page))).error.message) == 512


async def test_a_server_that_does_not_accept_in_time() -> None:
    # A queue of no length that is full: the kernel drops further SYNs.
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        async with client(url, connect_timeout=0.2) as upstream, within(0.3):
            with pytest.raises(UpstreamFailure) as raised:
                await fetch(upstream)
    assert raised.value.fault.error.code == "upstream_connect_timeout"


async def test_a_pooled_connection_that_died_idle_is_no_fault() -> None:
    """The server answers once on each connection, promises to keep it, and resets it at the next request."""
    accepted = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        await stream.receive_some(65536)
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n\n\n"
        )
        await stream.receive_some(65536)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        async with client(f"http://127.0.0.1:{listener.socket.getsockname()[1]}") as upstream:
            assert [await fetch(upstream) for _ in range(3)] == [b"\n\n"] * 3
        nursery.cancel_scope.cancel()
    assert accepted == 3


async def test_retired_it_keeps_no_connection_but_those_in_use() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(DONE)
    async with open_upstream(plays(head + DONE, hold=True)) as server:
        async with client(server.url) as idle:
            assert await fetch(idle) == DONE
            assert server.open_connections == 1
            await idle.retire()
            await until(lambda: server.open_connections == 0)
        async with client(server.url) as busy:
            async with busy.open_completion(Payload([b"{}"]), authorization=None) as answer:
                await busy.retire()
                assert await answer.receive() == DONE
            await until(lambda: server.open_connections == 0)
            assert await fetch(busy) == DONE  # for a stream that began before
            await until(lambda: server.open_connections == 0)


async def test_cookies_are_nobody_elses_business() -> None:
    head = HEAD.replace(b"Connection", b"Set-Cookie: session=1\r\nConnection")
    async with open_upstream(plays(head + DONE)) as server, client(server.url) as upstream:
        for _ in range(2):
            await fetch(upstream)
    assert [headers.get("cookie") for headers in server.headers] == [None, None]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_proxies_of_the_environment_are_not_trusted(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    async with open_upstream(plays(HEAD + DONE)) as server, client(server.url) as upstream:
        assert await fetch(upstream) == DONE


async def test_cancelled_while_it_waits_nothing_stays_open() -> None:
    async with open_upstream(plays(HEAD, hold=True)) as server, client(server.url) as upstream:
        for _ in range(20):  # more than enough to use up a pool that lost its slots
            with trio.move_on_after(0.02):
                await fetch(upstream)
        await until(lambda: server.open_connections == 0, 1)


ERROR = b'{"error": {"message": "no such thing", "code": "nothing"}}'


def error_page(encoding: bytes, body: bytes) -> bytes:
    fields = b"Content-Type: application/json\r\nContent-Encoding: " + encoding
    return b"HTTP/1.1 400 Bad\r\n" + fields + b"\r\nConnection: close\r\n\r\n" + body


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
async def test_an_error_page_is_decompressed(encoding: bytes, pack: Callable[[bytes], bytes]) -> None:
    told = await fault(plays(error_page(encoding, pack(ERROR))))
    assert (told.error.message, told.error.code) == ("no such thing", "nothing")


@pytest.mark.parametrize(
    "page",
    [
        error_page(b"br", b"junk"),
        error_page(b"gzip, gzip", gzip.compress(gzip.compress(ERROR))),
        error_page(b"gzip", b"junk"),
        error_page(b"gzip", gzip.compress(bytes(50_000_000))),
    ],
    ids=["not asked for", "twice", "not compressed", "a bomb"],
)
async def test_where_an_error_page_cannot_be_read_its_status_is_judged(page: bytes) -> None:
    told = await fault(plays(page))
    assert (told.error.message, told.error.status, told.outcome) == ("status 400", 400, Outcome.NEUTRAL)


@asynccontextmanager
async def listing(answer: bytes) -> AsyncIterator[Upstream]:
    """An upstream whose list of models is *answer*, head included."""

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some(65536)
            await stream.send_all(answer)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        async with client(f"http://127.0.0.1:{listener.socket.getsockname()[1]}") as upstream:
            yield upstream
        nursery.cancel_scope.cancel()


def model_list(*fields: bytes, body: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Connection: close", *fields, b"", b""]
    return b"\r\n".join(lines) + body


MODELS = b'{"data": [{"id": "one"}, {"id": "two"}]}'


@pytest.mark.parametrize(
    "answer",
    [
        model_list(body=MODELS),
        model_list(b"Content-Encoding: gzip", body=gzip.compress(MODELS)),
        model_list(b"Content-Encoding: deflate", body=zlib.compress(MODELS)),
        model_list(body=b" " * (MAX_LIST - len(MODELS)) + MODELS),
    ],
    ids=["plain", "gzip", "deflate", "as large as allowed"],
)
async def test_a_list_of_models(answer: bytes) -> None:
    async with listing(answer) as upstream:
        assert await upstream.list_models() == ["one", "two"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (model_list(body=b" " * MAX_LIST + MODELS), "answer_too_large"),
        (model_list(body=b'{"data": [' + b'{"id":"a"},' * 200_000 + b"{}]}"), "answer_too_large"),
        (model_list(body=b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "answer_too_large"),
        (
            model_list(b"Content-Encoding: gzip", body=gzip.compress(bytes(500_000_000))),
            "answer_too_large",
        ),
        (model_list(b"Content-Encoding: br", body=MODELS), "bad_content_encoding"),
        (model_list(b"Content-Encoding: gzip, gzip", body=MODELS), "bad_content_encoding"),
    ],
    ids=["too large", "too many values", "too deep", "a bomb", "not asked for", "twice"],
)
async def test_a_list_of_models_that_is_not_read(answer: bytes, code: str) -> None:
    async with listing(answer) as upstream:
        with pytest.raises(UpstreamFailure) as raised:
            await upstream.list_models()
    assert raised.value.fault.error.code == code
