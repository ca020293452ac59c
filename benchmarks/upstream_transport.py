"""What the way to the upstream costs: the gateway's own transport beside httpx's default one.

    python benchmarks/upstream_transport.py [ROUNDS]

CPU time of this process per request (alone, and beside 1,000 open streams) and per token (a stream that brings
one token a read, and one that brings a hundred), against a small server on loopback in a process of its own.
The rounds are interleaved; the table shows medians. "direct" is the transport's own face without any object of
httpx, "transport" the same through ``httpx.AsyncClient``, "default" httpx as it comes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from trio_gateway.engine.transport import Http1Client, Origin, TrioTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    Ask = Callable[[str], AbstractAsyncContextManager[Callable[[], Awaitable[bytes]]]]

_REQUESTS = 500
_OPEN = 1000
_TOKENS = 4_000
_FIELDS = [
    (b"Content-Type", b"application/json"),
    (b"Accept", b"text/event-stream"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"benchmark"),
]
_HEADERS = {name.decode(): value.decode() for name, value in _FIELDS}
_BODY = b'{"model":"mock","stream":true,"messages":[{"role":"user","content":"What is 2+2?"}]}'

_EVENT = b"data: " + b"x" * 200 + b"\n\n"
_CHUNK = b"%x\r\n%s\r\n" % (len(_EVENT), _EVENT)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


# --- The server ----------------------------------------------------------------------------------------


async def _serve(stream: trio.SocketStream) -> None:
    """Answer by path: /whole at once, /open without an end, /stream/N with N tokens a write."""
    try:
        while request := await stream.receive_some():
            while not request.endswith(_BODY):  # httpx writes head and body apart
                request += await stream.receive_some()
            path = request.split(b" ", 2)[1]
            if path == b"/whole":
                await stream.send_all(_WHOLE)
            elif path == b"/open":
                await stream.send_all(_HEAD + _CHUNK)
            else:
                await _stream(stream, int(path.rpartition(b"/")[2]))
    except trio.BrokenResourceError:
        pass


async def _stream(stream: trio.SocketStream, together: int) -> None:
    await stream.send_all(_HEAD)
    for _ in range(_TOKENS // together):
        await stream.send_all(_CHUNK * together)
        # Long enough for the reader to have read: otherwise a read brings what several writes sent.
        await trio.sleep(0.0005)
    await stream.send_all(b"0\r\n\r\n")


async def _serve_for_ever() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(_serve, listeners)


# --- The three clients ---------------------------------------------------------------------------------


@asynccontextmanager
async def _direct(port: int) -> AsyncIterator[Ask]:
    client = Http1Client(Origin("127.0.0.1", port))

    @asynccontextmanager
    async def ask(path: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
        async with client.request(b"POST", path.encode(), _FIELDS, _BODY) as response:
            yield response.receive

    yield ask
    client.close()


def _through_httpx(
    make: Callable[[], httpx.AsyncBaseTransport],
) -> Callable[[int], AbstractAsyncContextManager[Ask]]:
    @asynccontextmanager
    async def opened(port: int) -> AsyncIterator[Ask]:
        async with httpx.AsyncClient(transport=make(), timeout=None, trust_env=False) as client:

            @asynccontextmanager
            async def ask(path: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
                url = f"http://127.0.0.1:{port}{path}"
                async with client.stream("POST", url, headers=_HEADERS, content=_BODY) as response:
                    chunks = response.aiter_raw()

                    async def receive() -> bytes:
                        return await anext(chunks, b"")

                    yield receive

            yield ask

    return opened


_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
_CLIENTS = {
    "direct": _direct,
    "transport": _through_httpx(TrioTransport),
    "default": _through_httpx(lambda: httpx.AsyncHTTPTransport(verify=False, limits=_LIMITS)),
}


# --- What is measured ----------------------------------------------------------------------------------


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _read(ask: Ask, path: str) -> int:
    async with ask(path) as receive:
        reads = 0
        while await receive():
            reads += 1
        return reads


async def _per_request(ask: Ask) -> float:
    for _ in range(20):
        await _read(ask, "/whole")
    started = _used()
    for _ in range(_REQUESTS):
        await _read(ask, "/whole")
    return (_used() - started) / _REQUESTS * 1e6


async def _per_request_beside_many(ask: Ask) -> float:
    async with AsyncExitStack() as streams:
        for _ in range(_OPEN):
            receive = await streams.enter_async_context(ask("/open"))
            await receive()
        return await _per_request(ask)


async def _per_token(ask: Ask, together: int) -> tuple[float, float]:
    started = _used()
    reads = await _read(ask, f"/stream/{together}")
    return (_used() - started) / _TOKENS * 1e6, _TOKENS / reads


async def _measure(port: int, opened: Callable[[int], AbstractAsyncContextManager[Ask]]) -> dict[str, float]:
    async with opened(port) as ask:
        one, tokens_a_read = await _per_token(ask, 1)
        hundred, hundreds_a_read = await _per_token(ask, 100)
        return {
            "request, alone": await _per_request(ask),
            f"request, beside {_OPEN} streams": await _per_request_beside_many(ask),
            "token, one a read": one,
            "token, a hundred a read": hundred,
            "(tokens a read, slow)": tokens_a_read,
            "(tokens a read, fast)": hundreds_a_read,
        }


async def _measure_all(port: int, rounds: int) -> None:
    results: dict[str, list[dict[str, float]]] = {name: [] for name in _CLIENTS}
    for _ in range(rounds):
        for name, opened in _CLIENTS.items():
            results[name].append(await _measure(port, opened))
    print(f"{'µs of CPU':30}" + "".join(f"{name:>12}" for name in results))
    for what in results["direct"][0]:
        row = [median(each[what] for each in of) for of in results.values()]
        print(f"{what:30}" + "".join(f"{value:12.2f}" for value in row))


def main() -> None:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            trio.run(_measure_all, int(server.stdout.readline()), int((sys.argv[1:] or ["3"])[0]))
        finally:
            server.terminate()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        trio.run(_serve_for_ever)
    else:
        started = time.perf_counter()
        main()
        print(f"{time.perf_counter() - started:.0f} s")
