"""A small application behind the hardened server, in this process or under the bare hypercorn command."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import request, websocket
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse

from tests.support import within
from trio_gateway.server.transport.asgi import CLEANUP, HTTPConnection, Lifespan
from trio_gateway.server.transport.hardening import Hardening, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

MAX_BODY = 100_000
APP = f"{Path(__file__)}:app"
HEAD = b"HTTP/1.1\r\nHost: localhost\r\n"


class Flood(ResponseBody):
    """A body without an end."""

    def __init__(self, app: EchoApp) -> None:
        self.noted = app.noted("flood ended")

    async def __aenter__(self) -> Flood:
        self.noted.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.noted.__exit__(None, None, None)

    def __aiter__(self) -> Flood:
        return self

    async def __anext__(self) -> bytes:
        return b"x" * 100_000


class EchoApp(QuartTrio):
    """Its views; what happened to them is written into ``seen``."""

    asgi_http_class = HTTPConnection
    asgi_lifespan_class = Lifespan

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__("hypercorn_harness")
        self.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        self.hardening = Hardening(limits or Limits())
        self.seen: list[str] = []
        self.begun = trio.Event()
        self.ended = trio.Event()
        self.before_serving(self.hardening.install)
        self.after_serving(self.hardening.uninstall)
        self.add_url_rule("/ok", view_func=self.ok)
        self.add_url_rule("/echo", view_func=self.echo, methods=["POST"])
        self.add_url_rule("/deaf", view_func=self.ok, methods=["POST"], endpoint="deaf")
        self.add_url_rule("/silent", view_func=self.silent)
        self.add_url_rule("/flood", view_func=self.flood)
        self.add_url_rule("/cleanup", view_func=self.cleanup)
        self.websocket("/ws")(self.talk)
        self.websocket("/ws-silent")(trio.sleep_forever)

    async def ok(self) -> str:
        return "ok"

    async def echo(self) -> str | bytes:
        return await request.get_data()

    async def silent(self) -> NoReturn:
        with self.noted("silent ended"):
            await trio.sleep_forever()

    async def flood(self) -> TrioResponse:
        return TrioResponse(Flood(self))

    @contextmanager
    def noted(self, end: str) -> Iterator[None]:
        self.begun.set()
        try:
            yield
        finally:
            self.seen.append(end)
            self.ended.set()

    async def cleanup(self) -> str:
        scope = cast("dict[str, list[Callable[[], object]]]", request.scope)
        cleanup = scope.setdefault(CLEANUP, [])
        cleanup.append(lambda: self.seen.append("first"))
        cleanup.append(lambda: self.seen.append("second"))
        return "ok"

    async def talk(self) -> None:
        await websocket.send("hello")
        await trio.sleep_forever()


app = EchoApp()


@asynccontextmanager
async def serving(app: QuartTrio, **settings: object) -> AsyncIterator[tuple[int, trio.Event]]:
    """*app* under hypercorn in this process: its port, and the event that stops it gracefully."""
    config = Config.from_mapping({"bind": "127.0.0.1:0", "errorlog": None, **settings})
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        [bind] = await nursery.start(partial(serve, app, config, shutdown_trigger=stop.wait))
        yield int(bind.rpartition(":")[2]), stop
        stop.set()


class Client:
    """A raw socket to the server, every wait of it bounded."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Client:
        self.stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def send(self, data: bytes) -> None:
        with trio.fail_after(5):
            await self.stream.send_all(data)

    async def until(self, mark: bytes) -> bytes:
        """What comes up to and including *mark*."""
        got = b""
        with trio.fail_after(5):
            while mark not in got:
                data = await self.stream.receive_some()
                assert data, f"closed after {got!r}"
                got += data
        return got

    async def rest(self, limit: float = 5.0) -> bytes:
        """What comes until the server closes, which must be within *limit* seconds."""
        got = b""
        async with within(limit):
            while data := await self.stream.receive_some():
                got += data
        return got

    def reset(self) -> None:
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.stream.socket.close()


@asynccontextmanager
async def bare_hypercorn(target: str, *options: str, stderr: Path) -> AsyncIterator[trio.Process]:
    """The command ``hypercorn`` on *target* in a process of its own, which sees the modules we see."""
    command = [sys.executable, "-m", "hypercorn", *options, target]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    async with trio.open_nursery() as nursery:
        with stderr.open("wb") as out:
            run = partial(trio.run_process, command, stdout=out, stderr=out, env=environment, check=False)
            process: trio.Process = await nursery.start(run)
        yield process
        nursery.cancel_scope.cancel()


def status(answer: bytes) -> int:
    """The status of the first response in *answer*; 0 if there is none."""
    return int(answer.split(None, 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
