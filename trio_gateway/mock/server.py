"""Application of the mock model: its views, the pace of its answers, and its server."""

from __future__ import annotations

import logging
import socket
import time
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from msgspec import Struct
from quart import Response, request
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from .replies import FAMILIES, MockRequest, compose
from .script import FAULT_ID, FAULTS, ConnectionCutError, stream, whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

    from .options import Options

__all__ = ["create_mock", "serve_mock"]


class Stats(Struct):
    """The chat requests so far: ``requests == active + completed + aborted``."""

    requests: int = 0
    active: int = 0
    completed: int = 0  # a connection cut by order of the model id is one of these
    aborted: int = 0  # left by their client before the answer was whole
    last_aborted_at: float | None = None  # on the clock of time.monotonic()

    def begin(self) -> None:
        """A request has come."""
        self.requests += 1
        self.active += 1

    def end(self, *, completed: bool) -> None:
        """It is over."""
        self.active -= 1
        if completed:
            self.completed += 1
        else:
            self.aborted, self.last_aborted_at = self.aborted + 1, time.monotonic()


class _PacedBody(ResponseBody):
    """Pacer: hands out a step every *tick* seconds after *delay*.

    An object rather than a generator, so that cancellation always reaches ``__aexit__``, and at once. Quart
    leaves it before the last, empty write; hypercorn's belated "client has disconnected", which comes during
    that write after every answer, is therefore not mistaken for a client that left.
    """

    def __init__(self, steps: Iterator[bytes], stats: Stats, *, delay: float, tick: float) -> None:
        self._steps, self._stats, self._tick = steps, stats, tick
        self._due = trio.current_time() + delay

    async def __aenter__(self) -> _PacedBody:
        self._stats.begin()
        return self

    async def __aexit__(self, exc_type: type, exc_value: BaseException, tb: TracebackType) -> None:
        self._stats.end(completed=exc_type in (None, ConnectionCutError))

    def __aiter__(self) -> _PacedBody:
        return self

    async def __anext__(self) -> bytes:
        step = next(self._steps, None)
        if step is None:
            raise StopAsyncIteration
        if self._due > trio.current_time():  # else the write is checkpoint enough
            await trio.sleep_until(self._due)
        self._due += self._tick
        return step or await trio.sleep_forever()


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, content_type="application/json")


def _error(status: int, message: str, headers: dict[str, str], **fields: str | None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields
    return _json({"error": error}, status, headers)


class _MockApp(QuartTrio):
    """The application: its views, and the one place where a connection is cut."""

    def __init__(self, options: Options) -> None:
        super().__init__(__name__, static_folder=None)
        self._options, self._stats = options, Stats()
        faults = (f"fault-{name}-{tokens}" if tokens else f"fault-{name}" for name, tokens in FAULTS.items())
        traces = (f"trace-{number}" for number in range(len(options.traces)))
        self._models = {
            name: {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "mock"}
            for name in chain(("default",), FAMILIES, faults, traces)
        }
        self.add_url_rule("/v1/chat/completions", view_func=self.chat, methods=["POST"])
        self.add_url_rule("/v1/models", view_func=self.list_models)
        self.add_url_rule("/v1/models/<path:name>", view_func=self.show_model)
        self.add_url_rule("/v1/mock/stats", view_func=self.show_stats)
        self.register_error_handler(HTTPException, self.http_error)

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        try:
            await super().asgi_app(scope, receive, send)
        except* ConnectionCutError:
            pass  # hypercorn closes a connection whose application returns in mid-answer

    async def chat(self) -> Response:
        try:
            chat = msgspec.json.decode(await request.get_data(as_text=False), type=MockRequest)
        except msgspec.DecodeError as error:  # the body is not JSON, or no chat request
            where = str(error).rpartition("`$.")[2].removesuffix("`") if "`$." in str(error) else None
            return _error(400, str(error), {}, param=where)
        found = FAULT_ID.fullmatch(chat.model)
        fault, after = (found[1], int(found[2] or FAULTS[found[1]])) if found else ("", 0)
        if fault in ("mute", "429", "500"):
            return await self._refuse(fault)
        return self._answer(chat, fault, after)

    async def _refuse(self, fault: str) -> Response:
        self._stats.begin()
        try:
            if fault == "mute":
                await trio.sleep_forever()
        finally:
            self._stats.end(completed=fault != "mute")
        if fault == "500":
            return _error(500, "The server had an error.", {}, type="server_error")
        wait, code = {"Retry-After": "2"}, "rate_limit_exceeded"
        return _error(429, "Rate limit reached. Try again in 2s.", wait, type="requests", code=code)

    def _answer(self, chat: MockRequest, fault: str, after: int) -> Response:
        options = self._options
        replies = [compose(chat, options, index) for index in range(chat.n or 1)]
        delay = options.first_token_delay
        tick = 1 / options.tokens_per_second if options.tokens_per_second else 0.0
        if chat.stream:
            steps, content_type = stream(chat, replies, fault, after), "text/event-stream; charset=utf-8"
        else:
            steps, content_type = whole(chat, replies, fault), "application/json"
            delay += tick * max(len(reply.deltas) for reply in replies)
        if fault == "drip":
            steps, tick = (bytes((byte,)) for step in steps for byte in step), 1.0
        body = _PacedBody(steps, self._stats, delay=delay, tick=tick)
        response = Response(body, headers={"Cache-Control": "no-cache"}, content_type=content_type)
        response.timeout = None  # else quart ends every answer after a minute
        return response

    async def list_models(self) -> Response:
        return _json({"object": "list", "data": list(self._models.values())})

    async def show_model(self, name: str) -> Response:
        if name in self._models:
            return _json(self._models[name])
        return _error(404, f"The model '{name}' does not exist.", {}, param="model", code="model_not_found")

    async def show_stats(self) -> Response:
        return _json(self._stats)

    async def http_error(self, error: HTTPException) -> Response:
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
        return _error(error.code or 500, error.description or error.name, headers)


def create_mock(options: Options) -> QuartTrio:
    """Build the ASGI application; :func:`serve_mock` serves it."""
    return _MockApp(options)


async def serve_mock(
    options: Options, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; ``nursery.start`` gives ``"http://HOST:PORT"`` as soon as it listens.

    Raises:
        OSError: the address cannot be listened on.
    """
    # Bound here rather than by hypercorn, so that a busy port is one plain OSError.
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.create_server((options.host, options.port), family=family)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = 1024
    config.errorlog = logging.getLogger("mock_llm")
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(partial(serve, create_mock(options), config))
        task_status.started(urls[0])
