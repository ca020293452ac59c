"""What whole-path tests share: the gateway, the mock and a scripted upstream, each on a port of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from time import process_time
from typing import TYPE_CHECKING, Any, TypeAlias

import h11
import httpx
import hypercorn.trio
import trio
import trio.testing
from hypercorn.config import Config

from trio_gateway.core.config.settings import Settings, load_settings
from trio_gateway.core.sse import SSEDecoder, SSEEvent
from trio_gateway.mock import Options, serve_mock
from trio_gateway.server.app import GatewayApp

if TYPE_CHECKING:
    from trio_gateway.engine.tracing import Tracer

Json: TypeAlias = dict[str, Any]
FAST = Options(port=0, tokens_per_second=0)


def settings(toml: str = "", *, keys: str | None = None, **environ: str) -> Settings:
    """The settings of a configuration file with that text, of a file of client keys, and of those variables."""
    variables = {"GATEWAY_CONFIG": "gateway.toml", **environ} if toml else environ
    if keys is not None:
        variables["GATEWAY_API_KEYS_FILE"] = "keys.txt"
    files = {"gateway.toml": toml, "keys.txt": keys or ""}
    return load_settings(variables, read_text=files.__getitem__)


def key_line(name: str, *options: str) -> str:
    """The line of a key file for the key ``gw-<name>``."""
    return " ".join([name, sha256(f"gw-{name}".encode()).hexdigest(), *options]) + "\n"


def bearer(name: str) -> dict[str, str]:
    """The header that shows the key ``gw-<name>``."""
    return {"Authorization": f"Bearer gw-{name}"}


def upstream_toml(*urls: str, model: str = "", upstream: str | tuple[str, ...] = "", server: str = "") -> str:
    """A configuration with an upstream for each URL (named a, b, …) and one model, ``default``, on all of them.

    *upstream*: more of each one's configuration, or of all.
    """
    names = "abcdef"[: len(urls)]
    more = (upstream,) * len(urls) if isinstance(upstream, str) else upstream
    tables = [
        f'[upstreams.{name}]\nurl = "{url}"\n{each}\n'
        for name, url, each in zip(names, urls, more, strict=True)
    ]
    return (
        f"[server]\n{server}\n" + "".join(tables) + f"[models.default]\nupstreams = {list(names)}\n{model}\n"
    )


class Client(httpx.AsyncClient):
    """Talks to one running gateway; ``app`` is the gateway's inside."""

    app: GatewayApp


@asynccontextmanager
async def open_gateway(config: Settings, *, tracer: Tracer | None = None) -> AsyncIterator[Client]:
    """Serve a gateway, and give a client for it."""
    app = GatewayApp(config, tracer=tracer)
    hyper = Config()
    hyper.bind = ["127.0.0.1:0"]
    hyper.errorlog = None
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        serve = partial(hypercorn.trio.serve, app, hyper, shutdown_trigger=stop.wait)
        (url,) = await nursery.start(serve)
        # Not verified, as it is plain HTTP: that saves every test 25 ms of reading certificates.
        async with Client(base_url=url, timeout=10, trust_env=False, verify=False) as client:
            client.app = app
            yield client
        stop.set()


@asynccontextmanager
async def open_mock(options: Options = FAST) -> AsyncIterator[str]:
    """Serve the mock model; gives its base URL."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_mock, options)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_pair(
    toml: str = "", *, keys: str | None = None, options: Options = FAST, **environ: str
) -> AsyncIterator[Client]:
    """The gateway in front of the mock model."""
    async with (
        open_mock(options) as url,
        open_gateway(settings(toml, keys=keys, UPSTREAM_URL=url, **environ)) as client,
    ):
        yield client


class Upstream:
    """An upstream that does what a script says, connection by connection, and remembers what it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.open_connections = 0
        self.closed_at: list[float] = []


Script: TypeAlias = Callable[[trio.SocketStream, int], Awaitable[None]]


@asynccontextmanager
async def open_upstream(script: Script) -> AsyncIterator[Upstream]:
    """Serve *script*: it gets the socket when a chat request has been read, and the request's number from 0.

    Other requests (for the list of models) are answered with 404. When the script is done the connection
    is closed.
    """

    async def serve(stream: trio.SocketStream) -> None:
        upstream.open_connections += 1
        try:
            await _serve_connection(stream, upstream, script)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass  # the gateway hung up, as several tests want it to
        finally:
            upstream.open_connections -= 1
            upstream.closed_at.append(trio.current_time())
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        upstream = Upstream(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        yield upstream
        nursery.cancel_scope.cancel()


async def _serve_connection(stream: trio.SocketStream, upstream: Upstream, script: Script) -> None:
    connection = h11.Connection(h11.SERVER)
    request, body = None, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return
    assert request is not None
    if request.method != b"POST":
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return
    upstream.requests.append(json.loads(body))
    upstream.headers.append({name.decode(): value.decode() for name, value in request.headers})
    await script(stream, len(upstream.requests) - 1)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def sse_chunk(
    delta: Json | None = None, *, finish: str | None = None, index: int = 0, **more: object
) -> bytes:
    """One event as upstreams send it."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return (
        b"data: "
        + json.dumps({"object": "chat.completion.chunk", "choices": [choice], **more}).encode()
        + b"\n\n"
    )


def text_answer(*pieces: str, finish: str = "stop") -> bytes:
    """A whole answer, a delta a piece."""
    deltas = [sse_chunk({"content": piece}) for piece in pieces]
    return HEAD + b"".join(deltas) + sse_chunk(finish=finish) + DONE


def plays(*answers: bytes, hold: bool = False) -> Script:
    """A script that sends the n-th of *answers* to the n-th request (the last one from then on); with *hold*
    it then keeps the connection open until the gateway closes it."""

    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(answers[min(number, len(answers) - 1)])
        if hold:
            await stream.receive_some(1)

    return script


class Since:
    """Time since then, in which the limits of keys have filled again."""

    def __init__(self) -> None:
        self._began = trio.current_time()

    def gain(self, limit: int) -> float:
        """Tokens that a limit a minute has gained since, at most; one more for rounding."""
        return 1 + limit * (trio.current_time() - self._began) / 60


class OwnTime:
    """Seconds that this process had for itself.

    Between two looks *step* seconds pass, or the CPU time that it took where that is more: what holds the
    event loop counts in full. What a busy machine takes from the process does not: it keeps no promise of
    50 ms then, however fast the code is that is tested.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._used = process_time()
        self.passed = 0.0

    async def look(self) -> None:
        """Wait for a step."""
        await trio.sleep(self._step)
        before, self._used = self._used, process_time()
        self.passed += max(self._step, self._used - before)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until *condition* holds, which must be within so many seconds of :class:`OwnTime`."""
    time = OwnTime(0.001)
    while not condition():
        if time.passed >= seconds:
            raise trio.TooSlowError
        await time.look()


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """As ``trio.fail_after``, but in seconds of :class:`OwnTime`."""
    late = False

    async def count() -> None:
        nonlocal late
        time = OwnTime(0.01)
        while time.passed < seconds:
            await time.look()
        late = True
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        yield
        nursery.cancel_scope.cancel()
    if late:
        raise trio.TooSlowError


async def reset_when_read(stream: trio.SocketStream) -> None:
    """Make the end of *stream* a reset. First the other end, in this process, may read what it was sent, which
    the reset would overtake.

    The loop goes round so often: after one long sleep in which the process stood still, either could be first.
    """
    for _ in range(30):
        await trio.sleep(0.001)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def resets(sent: bytes) -> Script:
    """A script that breaks the connection off when it has sent so much."""

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(sent)
        await reset_when_read(stream)

    return script


async def tasks_at_rest(client: httpx.AsyncClient) -> int:
    """How many tasks live once nothing runs. With its first connection, which is made here, a worker begins a
    task that waits for its end."""
    await client.get("/health/live")
    await trio.testing.wait_all_tasks_blocked(0.05)
    return trio.lowlevel.current_statistics().tasks_living


def chat(prompt: str = "What is 2+2?", **more: object) -> Json:
    """The body of a chat request."""
    return {"messages": [{"role": "user", "content": prompt}], **more}


async def ask(client: httpx.AsyncClient, body: Json, **headers: str) -> Answer:
    """Send a chat request and read the whole stream."""
    response = await client.post("/v1/chat/completions", json=body, headers=headers)
    return Answer(response)


class Answer:
    """A stream that was read to its end, and its parts."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        assert response.status_code == 200, response.text
        decoder = SSEDecoder()
        self.events: list[SSEEvent] = decoder.feed(response.content)
        assert decoder.finish() == []
        self.objects: list[Json] = [json.loads(each.data) for each in self.events if each.data != "[DONE]"]

    @property
    def phases(self) -> list[str]:
        return [json.loads(each.data)["phase"] for each in self.events if each.event == "phase"]

    def text(self, phase: str, index: int = 0) -> str:
        """All content of that phase."""
        return "".join(
            choice["delta"].get("content") or ""
            for each in self.objects
            if each.get("phase") == phase
            for choice in each.get("choices", [])
            if choice["index"] == index
        )

    @property
    def output(self) -> str:
        return self.text("final_output")

    @property
    def finish_reasons(self) -> list[str]:
        return [
            c["finish_reason"] for each in self.objects for c in each.get("choices", []) if c["finish_reason"]
        ]

    @property
    def error(self) -> Json | None:
        errors = [each["error"] for each in self.objects if "error" in each]
        assert len(errors) <= 1
        return errors[0] if errors else None

    @property
    def done(self) -> int:
        return sum(each.data == "[DONE]" for each in self.events)
