"""Applications between the server and ours: what they read, change or hold is what counts, for streams too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.server.hypercorn_harness import serving
from tests.support import chat, open_upstream, plays, settings, text_answer
from trio_gateway.server.app import GatewayApp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    Layer = Callable[[GatewayApp, Any, Receive, Send], Awaitable[None]]


async def nothing(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def a_header(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    async def adding(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-added", b"1")]}
        await send(message)

    await app(scope, receive, adding)


async def held_start(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    held: list[Any] = []

    async def holding(message: Any) -> None:
        if message["type"] == "http.response.start":
            held.append(message)
            return
        if held:
            await send(held.pop())
        await send(message)

    await app(scope, receive, holding)


async def changed_answer(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    async def changing(message: Any) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"").replace(b"four", b"five")}
        await send(message)

    await app(scope, receive, changing)


async def replayed_body(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Any:
        return parts.pop() if parts else await receive()

    await app(scope, replaying, send)


async def changed_body(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    async def changing() -> Any:
        message = await receive()
        return {**message, "body": message.get("body", b"").replace(b"mine", b"your")}

    await app(scope, changing, send)


async def no_state(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    own: Any = {key: value for key, value in scope.items() if key not in ("state", "client")}
    await app(own, receive, send)


async def nothing_optional(app: GatewayApp, scope: Any, receive: Receive, send: Send) -> None:
    async def sparing() -> Any:
        return {key: value for key, value in (await receive()).items() if value}

    await app(scope, sparing, send)


LAYERS: dict[str, tuple[Layer, str, str, bool]] = {
    # what stands between: how, the model that the upstream is asked for, the answer, whether a header is added
    "nothing": (nothing, "mine", "four", False),
    "adds a header": (a_header, "mine", "four", True),
    "holds the start": (held_start, "mine", "four", False),
    "changes the answer": (changed_answer, "mine", "five", False),
    "reads the body and replays it": (replayed_body, "mine", "four", False),
    "changes the body": (changed_body, "your", "four", False),
    "makes its own scope": (no_state, "mine", "four", False),
    "leaves out what may be": (nothing_optional, "mine", "four", False),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
async def test_what_stands_between_is_heeded(case: tuple[Layer, str, str, bool], stream: bool) -> None:
    layer, model, answer, adds = case
    async with open_upstream(plays(text_answer("four"))) as upstream:
        app = GatewayApp(settings(UPSTREAM_URL=upstream.url))

        async def outer(scope: Any, receive: Receive, send: Send, *_: object) -> None:
            if scope["type"] == "http":
                await layer(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        async with (
            serving(outer) as (port, _),  # type: ignore[arg-type]
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            for _ in range(2):  # the connection serves the second as well
                response = await client.post("/v1/chat/completions", json=chat(model="mine", stream=stream))
                assert response.status_code == 200
                assert answer in response.text
                assert ("x-added" in response.headers) is adds
        assert [each["model"] for each in upstream.requests] == [model] * 2


async def test_quarts_own_client_is_answered() -> None:
    async with open_upstream(plays(text_answer("four"))) as upstream:
        app = GatewayApp(settings(UPSTREAM_URL=upstream.url))
        app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = 0.1
        async with app.test_app() as running:
            response = await running.test_client().post("/v1/chat/completions", json=chat(stream=False))
            assert response.status_code == 200
            assert "four" in await response.get_data(as_text=True)
