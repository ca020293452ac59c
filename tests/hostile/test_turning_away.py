"""What one client asks for, and what the upstream answers to it, turns no other client away."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.support import (
    HEAD,
    Client,
    Json,
    ask,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_upstream,
    settings,
    sse_chunk,
    text_answer,
    until,
    upstream_toml,
)
from tests.websocket.talking import open_socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

    from tests.support import Upstream

KEYS = key_line("alice") + key_line("bob")
PATH = "/v1/chat/completions"
TOO_LARGE = {"message": "Request too large on tokens per min (TPM): Limit 300, Requested 400."}


def status(code: int, error: Json | None = None, *fields: str) -> bytes:
    body = json.dumps({"error": error or {"message": "no", "type": "x"}}).encode()
    head = [f"HTTP/1.1 {code} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


class Scene:
    """A gateway whose upstream gives one answer for the model ``bad``, and a good one for every other."""

    def __init__(self, client: Client, upstream: Upstream) -> None:
        self.client = client
        self.upstream = upstream

    async def ask(self, name: str, model: str = "good", prompt: str = "hi", **more: object) -> httpx.Response:
        body = chat(prompt, model=model, stream=False, **more)
        return await self.client.post(PATH, json=body, headers=bearer(name))

    async def state(self) -> str:
        return str((await self.client.get("/health")).json()["upstreams"]["a"]["state"])


@asynccontextmanager
async def open_scene(bad: bytes, *, keys: str | None = KEYS, upstream: str = "") -> AsyncIterator[Scene]:
    async def script(stream: trio.SocketStream, number: int) -> None:
        request = server.requests[number]
        await stream.send_all(bad if request["model"] == "bad" else text_answer("4"))

    async with (
        open_upstream(script) as server,
        open_gateway(settings(upstream_toml(server.url, upstream=upstream), keys=keys)) as client,
    ):
        yield Scene(client, server)


BAD = {
    "401": status(401),
    "402": status(402, {"message": "This request requires more credits, or fewer max_tokens", "code": 402}),
    "403": status(403, {"message": "flagged"}),
    "404": status(404),
    "429": status(429, None, "Retry-After: 30"),
    "429 without a time": status(429),
    "429 too large": status(429, TOO_LARGE, "Retry-After: 30"),
    "429 quota": status(429, {"message": "pay", "code": "insufficient_quota"}),
    "500": status(500),
    "503 for long": status(503, None, "Retry-After: 100"),
    "a web page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
    "cut": HEAD + sse_chunk({"content": "4"}),
    "error in the stream": HEAD + b'data: {"error": {"message": "boom", "code": 500}}\n\n',
    "limit in the stream": HEAD + b'data: {"error": {"message": "slow", "code": 429}}\n\n',
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("socket", [False, True], ids=["HTTP", "WebSocket"])
async def test_whatever_one_client_gets_another_one_is_served(bad: bytes, socket: bool) -> None:
    async with open_scene(bad, upstream="max_attempts = 1") as scene:
        assert (await scene.ask("bob")).status_code == 200
        if socket:
            async with open_socket(scene.client, fields=bearer("alice")) as wire:
                for number in range(12):
                    assert (await wire.ask(chat(f"{number}", model="bad"))).error is not None
        else:
            for number in range(12):
                assert (await scene.ask("alice", "bad", f"{number}")).status_code >= 400
        assert (await scene.ask("bob")).status_code == 200
        assert await scene.state() == "closed"


async def test_one_body_again_and_again_is_one_call_even_of_a_client_alone() -> None:
    async with open_scene(BAD["500"], keys=None) as scene:
        for _ in range(8):
            assert (await scene.ask("", "bad")).status_code == 502
        assert (await scene.ask("")).status_code == 200


async def test_a_client_alone_whose_requests_all_fail_opens_the_breaker() -> None:
    async with open_scene(BAD["500"], upstream="max_attempts = 1") as scene:
        codes = [(await scene.ask("alice", "bad", f"{number}")).status_code for number in range(6)]
    assert codes == [502] * 5 + [503]


async def test_a_refused_connection_concerns_everybody() -> None:
    async with open_scene(b"", upstream="max_attempts = 1") as scene:
        assert (await scene.ask("bob")).status_code == 200
        for _ in range(5):
            assert (await scene.ask("alice", "bad")).status_code == 502
        refused = await scene.ask("bob")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
    pattern = r'Upstream "a" is paused for [456] s after 5 failures in a row; the last: connection lost\.'
    assert re.fullmatch(pattern, refused.json()["error"]["message"])


async def test_a_model_that_fails_for_everybody_is_paused_alone() -> None:
    async with open_scene(BAD["500"], upstream="max_attempts = 1") as scene:
        assert (await scene.ask("bob")).status_code == 200
        for number in range(3):
            for name in ("alice", "bob"):
                await scene.ask(name, "bad", f"{number}")
        refused = await scene.ask("bob", "bad", "another")
        assert (await scene.ask("alice")).status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
    assert re.fullmatch(
        r'Upstream "a" is paused for model "bad" for [456] s after 6 failures in a row; the last: status 500\.',
        refused.json()["error"]["message"],
    )


async def test_a_limit_is_a_models_and_its_client_is_told_the_whole_time() -> None:
    async with open_scene(status(429, None, "Retry-After: 3600")) as scene:
        first = await scene.ask("alice", "bad")
        second = await scene.ask("bob", "bad")
        assert (await scene.ask("alice")).status_code == 200
        asked = [each["model"] for each in scene.upstream.requests]
    assert (first.status_code, first.headers["retry-after"]) == (429, "3600")
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 55 <= int(second.headers["retry-after"]) <= 60
    assert second.json()["error"]["message"].endswith(
        'for model "bad" for 60 s by its rate limit (status 429).'
    )
    assert asked == ["bad", "good"]


@pytest.mark.parametrize("error", [None, TOO_LARGE])
async def test_what_is_no_limit_for_others_pauses_nothing(error: Json | None) -> None:
    fields = [] if error is None else ["Retry-After: 30"]
    async with open_scene(status(429, error, *fields)) as scene:
        answers = [await scene.ask(name, "bad") for name in ("alice", "bob")]
        assert len(scene.upstream.requests) == 2
    assert [answer.status_code for answer in answers] == [429, 429]
    assert answers[0].headers.get("retry-after") == ("1" if error is None else None)
    assert answers[0].headers.get("x-should-retry") == (None if error is None else "false")


async def test_a_spent_quota_is_left_alone_for_a_minute() -> None:
    async with open_scene(BAD["429 quota"]) as scene:
        answers = [await scene.ask(name, "bad") for name in ("alice", "bob")]
        assert (await scene.ask("bob")).status_code == 200
        assert len(scene.upstream.requests) == 2
    assert [answer.json()["error"]["code"] for answer in answers] == ["insufficient_quota"] * 2
    assert 55 <= int(answers[1].headers["retry-after"]) <= 60


@pytest.mark.parametrize("code", [401, 402, 403, 429])
async def test_what_a_clients_own_key_meets_says_nothing_about_the_upstream(code: int) -> None:
    def answer(headers: dict[str, str]) -> bytes:
        alice = headers["authorization"] == "Bearer gw-alice"
        return status(code, None, "Retry-After: 30") if alice else text_answer("4")

    async with _open_choosing(answer, "pass_through_key = true") as (client, server):
        for number in range(6):
            refused = await _post(client, "alice", f"{number}")
            assert refused.status_code == (429 if code == 402 else code)
            assert (await _post(client, "bob", f"{number}")).status_code == 200
        asked = [each["authorization"] for each in server.headers].count("Bearer gw-alice")
    assert asked == (1 if code == 429 else 6)


async def _post(client: Client, name: str, prompt: str) -> httpx.Response:
    return await client.post(PATH, json=chat(prompt, stream=False), headers=bearer(name))


@asynccontextmanager
async def _open_choosing(
    answer: Callable[[dict[str, str]], bytes], upstream: str
) -> AsyncIterator[tuple[Client, Upstream]]:
    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(answer(server.headers[number]))

    toml = "max_attempts = 1\n" + upstream
    async with (
        open_upstream(script) as server,
        open_gateway(settings(upstream_toml(server.url, upstream=toml))) as client,
    ):
        yield client, server


async def test_a_402_and_a_403_go_to_the_next_upstream() -> None:
    for code in (401, 402, 403):
        answer = status(code)

        async def script(stream: trio.SocketStream, _number: int, answer: bytes = answer) -> None:
            await stream.send_all(answer)

        async def good(stream: trio.SocketStream, _number: int) -> None:
            await stream.send_all(text_answer("4"))

        async with (
            open_upstream(script) as first,
            open_upstream(good) as second,
            open_gateway(settings(upstream_toml(first.url, second.url))) as client,
        ):
            assert (await ask(client, chat())).output == "4"


async def test_clients_that_leave_a_slow_answer_turn_nobody_away() -> None:
    async def script(stream: trio.SocketStream, number: int) -> None:
        if server.requests[number]["model"] == "slow":
            await stream.receive_some(1)
        else:
            await stream.send_all(text_answer("4"))

    breaker = "breaker = {slow_after = 0.05, min_calls = 3}"
    async with (
        open_upstream(script) as server,
        open_gateway(settings(upstream_toml(server.url, upstream=breaker), keys=KEYS)) as client,
    ):
        scene = Scene(client, server)

        assert (await scene.ask("bob")).status_code == 200
        async with trio.open_nursery() as nursery:
            for number in range(9):
                nursery.start_soon(scene.ask, "alice", "slow", f"{number}")
            await until(lambda: len(server.requests) == 10)
            await trio.sleep(0.1)  # so that each was slow
            nursery.cancel_scope.cancel()
        await until(lambda: client.app.gateway.active == 0)
        shown = client.app.gateway.backends["a"].breaker.snapshot(trio.current_time())
        assert (shown.calls, shown.neutral) == (10, 9)
        assert (await scene.ask("bob")).status_code == 200


async def test_a_key_that_is_refused_for_the_list_as_well_opens_the_breaker() -> None:
    """The server refuses everything from the start: the first call finds it, and the list confirms it."""

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(status(401))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        nursery.start_soon(trio.serve_listeners, refuse, [listener])
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with open_gateway(settings(upstream_toml(url))) as client:
            first = await client.post(PATH, json=chat(stream=False))
            backend = client.app.gateway.backends["a"]
            await until(lambda: not backend.can_admit())
            refused = await client.post(PATH, json=chat(model="another", stream=False))
        nursery.cancel_scope.cancel()
    assert (first.status_code, first.json()["error"]["code"]) == (502, "upstream_auth")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
    assert "because it refuses the gateway's key (status 401)" in refused.json()["error"]["message"]
