"""Limits of tokens and requests against clients that evade them, and upstreams that report any number."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.support import (
    DONE,
    HEAD,
    Client,
    Since,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
)
from tests.websocket.talking import CANCEL, PATH, TEXT, frame, open_raw, open_socket, port_of
from trio_gateway.core.budgets import upload_pace
from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.config.keyfile import ClientKey
from trio_gateway.engine.charge import Charge
from trio_gateway.engine.clients import Client as KeyHolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.support import Script, Upstream

ANNA = bearer("anna")
HELD = HEAD + sse_chunk({"content": "Hi"})


@asynccontextmanager
async def limited(script: Script, *limits: str, toml: str = "") -> AsyncIterator[tuple[Client, Upstream]]:
    """A gateway whose client anna has these limits, in front of an upstream that plays *script*."""
    async with open_upstream(script) as upstream:
        config = settings(toml, UPSTREAM_URL=upstream.url, keys=key_line("anna", *limits))
        async with open_gateway(config) as client:
            yield client, upstream


async def left(client: Client, unit: str = "tokens") -> int:
    models = await client.get("/v1/models", headers=ANNA)
    return int(models.headers[f"x-ratelimit-remaining-{unit}"])


async def check_left(client: Client, expected: int, *, of: int, since: Since) -> None:
    """Check that so many tokens are left, apart from what the limit has gained meanwhile."""
    assert expected - 1 <= await left(client) <= expected + since.gain(of)


async def metric(client: Client, name: str) -> float:
    text = client.app.gateway.metrics.registry
    value = text.get_sample_value(name, {"upstream": "main"})
    return 0.0 if value is None else value


def with_usage(usage: str) -> bytes:
    end = f'data: {{"choices": [], "usage": {usage}}}\n\n'.encode()
    return text_answer("word " * 20).replace(DONE, end + DONE)


# --- What an upstream reports


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
@pytest.mark.parametrize(
    "value", ["-1", "-1e9", "1" + "0" * 30, "1000000001", "NaN", "Infinity", "1.5", '"9"', "true"]
)
async def test_a_number_that_is_none_of_tokens_is_ignored_and_counted(name: str, value: str) -> None:
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), "5") | {name: value}
    usage = "{" + ", ".join(f'"{each}": {count}' for each, count in counts.items()) + "}"
    since = Since()
    async with limited(plays(with_usage(usage)), "tpm=100000") as (client, _):
        answer = await client.post(PATH, json=chat("c" * 400, stream=False), headers=ANNA)
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"] == "word " * 20
        assert "usage" not in answer.json()
        await check_left(client, 100_000 - 125, of=100_000, since=since)  # as estimated
        assert await metric(client, "gateway_usage_ignored_total") == 1
        metrics = (await client.get("/metrics", headers=ANNA)).text
        assert "gateway_tokens_total{" not in metrics


async def test_the_largest_number_that_is_believed_delays_the_next_request() -> None:
    usage = '{"prompt_tokens": 1, "completion_tokens": 999999999, "total_tokens": 1000000000}'
    async with limited(plays(with_usage(usage)), "tpm=1000000") as (client, _):
        first = await client.post(PATH, json=chat(stream=False), headers=ANNA)
        second = await client.post(PATH, json=chat(), headers=ANNA)
        assert await metric(client, "gateway_usage_ignored_total") == 0
    assert first.json()["usage"]["total_tokens"] == 1_000_000_000
    assert (second.status_code, second.headers["x-ratelimit-remaining-tokens"]) == (429, "0")
    assert 59_900 <= int(second.headers["retry-after"]) <= 59_941
    assert re.fullmatch(r"16h3\dm[\d.]+s", second.headers["x-ratelimit-reset-tokens"])


async def test_an_answer_in_one_piece_has_its_cost_in_its_own_headers() -> None:
    usage = '{"prompt_tokens": 100, "completion_tokens": 300, "total_tokens": 400}'
    since = Since()
    async with limited(plays(with_usage(usage)), "tpm=1000") as (client, _):
        answer = await client.post(PATH, json=chat(stream=False), headers=ANNA)
    assert 600 <= int(answer.headers["x-ratelimit-remaining-tokens"]) <= 600 + since.gain(1000)
    assert re.fullmatch(r"(1\d|2[0-4])(\.\d+)?s", answer.headers["x-ratelimit-reset-tokens"])


# --- What is reserved


async def test_requests_at_once_cannot_spend_the_same_tokens() -> None:
    release, statuses, since = trio.Event(), [], Since()

    async def hold(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(HELD)
        await release.wait()
        await stream.send_all(sse_chunk(finish="stop") + DONE)

    async with limited(hold, "tpm=1000") as (client, upstream):

        async def ask_once() -> None:
            answer = await client.post(PATH, json=chat("c" * 1200), headers=ANNA)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask_once)
            await until(lambda: len(statuses) == 7 and len(upstream.requests) == 3)
            await check_left(client, 100, of=1000, since=since)
            release.set()
        assert sorted(statuses) == [200] * 3 + [429] * 7
        # They were not counted: input and output are estimated.
        await check_left(client, 97, of=1000, since=since)


TOOLS = [{"type": "function", "function": {"name": f"f{i}", "description": "x" * 1000}} for i in range(900)]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
TOO_LARGE: dict[str, tuple[dict[str, Any], int]] = {
    "text": (chat("c" * 4100), 1025),
    "CJK": (chat("漢" * 1600), 1067),
    "tools": (chat("hi", tools=TOOLS), 225_000),
    "images": (chat([IMAGE, IMAGE]), 2000),  # type: ignore[arg-type]
    "arguments": (
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "a" * 8000}}]},
                {"role": "user", "content": "go on"},
            ]
        },
        2000,
    ),
}


def check_too_large(error: dict[str, Any], tokens: int) -> None:
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "retry_after" not in error
    figures = [int(each) for each in re.findall(r"\d+", error["message"])]
    assert figures[1] == 1000
    assert tokens <= figures[0] <= tokens * 1.05 + 20


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_alone_exceeds_the_limit_is_refused_for_good(name: str) -> None:
    body, tokens = TOO_LARGE[name]
    async with limited(plays(text_answer("hi")), "tpm=1000", "rpm=10") as (client, upstream):
        for path in (PATH, f"/openai{PATH}"):
            refused = await client.post(path, json=body, headers=ANNA)
            assert refused.status_code == 429
            assert "retry-after" not in refused.headers
            assert refused.headers["x-should-retry"] == "false"
            check_too_large(refused.json()["error"], tokens)
        async with open_socket(client, fields=ANNA) as socket:
            failure = (await socket.ask(body)).error
        assert failure is not None
        check_too_large(failure, tokens)
        assert upstream.requests == []
        assert await left(client) == 1000
        assert await left(client, "requests") == 7  # each has cost us a body to read


async def test_the_bytes_of_a_picture_are_not_counted() -> None:
    since = Since()
    async with limited(plays(text_answer("hi")), "tpm=1100") as (client, _):
        small = chat([IMAGE, {"type": "text", "text": "c" * 100}])  # type: ignore[arg-type]
        assert (await client.post(PATH, json=small, headers=ANNA)).status_code == 200
        await check_left(client, 1100 - 1026, of=1100, since=since)


# --- Clients that leave before the end


async def leaves_http(client: Client, body: dict[str, Any]) -> None:
    async with client.stream("POST", PATH, json=body, headers=ANNA) as response:
        await anext(response.aiter_bytes())


async def leaves_before_an_answer(client: Client, body: dict[str, Any]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(client.post, PATH, json={**body, "stream": False}, headers=ANNA))
        await until(lambda: client.app.gateway.active == 1)
        nursery.cancel_scope.cancel()


async def leaves_socket(client: Client, body: dict[str, Any]) -> None:
    async with open_socket(client, fields=ANNA) as socket:
        await socket.send(body)
        await socket.frame()


async def cancels(client: Client, body: dict[str, Any]) -> None:
    async with open_socket(client, fields=ANNA) as socket:
        await socket.send(body)
        await socket.until("Hi")
        await socket.send(CANCEL)
        await socket.until("[DONE]")


@pytest.mark.parametrize("leave", [leaves_http, leaves_before_an_answer, leaves_socket, cancels])
async def test_who_leaves_early_is_charged_for_the_input(leave: Any) -> None:
    since = Since()
    async with limited(plays(HELD, hold=True), "tpm=10000", "concurrent=1") as (client, _):
        for times in (1, 2, 3):
            await leave(client, chat("c" * 4000))
            await until(lambda: client.app.gateway.active == 0)
            used = 10_000 - await left(client)  # with what has come of the answer: at most one token
            assert times * 1000 - since.gain(10_000) <= used <= times * 1001


async def test_tools_sent_again_and_again_and_left_are_not_let_in() -> None:
    async with limited(plays(HEAD, hold=True), "tpm=400000") as (client, upstream):
        statuses = []
        for _ in range(6):
            async with client.stream("POST", PATH, json=chat("hi", tools=TOOLS), headers=ANNA) as response:
                statuses.append(response.status_code)
        assert statuses == [200] + [429] * 5
        assert len(upstream.requests) <= 1


# --- Bodies that are refused


async def post(client: Client, content: bytes, **headers: str) -> httpx.Response:
    fields = {"Content-Type": "application/json", **ANNA, **headers}
    return await client.post(PATH, content=content, headers=fields)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"x" * 2000, {}, 413),
        (json.dumps(chat()).encode(), {"Content-Type": "text/plain"}, 415),
        (json.dumps(chat()).encode(), {"X-Stream-Format": "xml"}, 400),
        (json.dumps(chat(model="none")).encode(), {}, 404),
    ],
)
async def test_a_refused_body_counts_as_a_request(
    content: bytes, headers: dict[str, str], status: int
) -> None:
    toml = "[server]\nmax_body = 1000\nallow_unlisted = false\n"
    async with limited(plays(text_answer("hi")), "rpm=3", toml=toml) as (client, _):
        answers = [await post(client, content, **headers) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [status] * 3 + [429] * 2
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == list("21000")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
        assert (await client.post(PATH, json=chat(), headers=ANNA)).status_code == 429


async def test_a_refused_message_counts_as_a_request() -> None:
    async with (
        limited(plays(text_answer("hi")), "rpm=2") as (client, _),
        open_socket(client, fields=ANNA) as socket,
    ):
        errors = [(await socket.ask(body)).error for body in ("{", "[]", chat())]
    assert [error and error["status"] for error in errors] == [400, 400, 429]


async def test_a_message_that_never_ends_counts_as_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_pace, "_GRACE", 0.1)
    statuses = []
    async with (
        limited(plays(text_answer("hi")), "rpm=2") as (client, _),
        open_raw(port_of(client), PATH, "Authorization: Bearer gw-anna") as raw,
    ):
        for _ in range(3):
            await raw.send(frame(TEXT, b"{", fin=False))
            while (got := await raw.frame()) is not None and b'"[DONE]"' not in got.payload:
                statuses.append(json.loads(got.payload)["data"]["error"]["status"])
            await raw.send(frame(0, b"}"))
    assert statuses == [408, 408, 429]


@pytest.mark.parametrize(
    ("limit", "toml", "status"), [("concurrent=1", "", 429), ("tpm=999", "[server]\nmax_streams = 1\n", 503)]
)
async def test_what_is_refused_for_the_moment_does_not_count(limit: str, toml: str, status: int) -> None:
    async with (
        limited(plays(HELD, hold=True), "rpm=4", limit, toml=toml) as (client, _),
        client.stream("POST", PATH, json=chat(), headers=ANNA),
    ):
        answers = [await client.post(PATH, json=chat(), headers=ANNA) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [status] * 3
        assert await left(client, "requests") == 3


async def test_many_bad_bodies_at_once_get_no_further_than_the_limit() -> None:
    statuses: list[int] = []
    async with limited(plays(text_answer("hi")), "rpm=5") as (client, _):

        async def send_bad() -> None:
            statuses.append((await post(client, b"{")).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(25):
                nursery.start_soon(send_bad)
    assert sorted(statuses) == [400] * 5 + [429] * 20


# --- A large body


async def test_others_run_while_a_large_body_is_weighed() -> None:
    charge = Charge(KeyHolder(ClientKey(id="a", sha256=b"", tpm=10**9)))
    request = parse_chat_request(json.dumps(chat("ж" * 16 * 1024 * 1024), ensure_ascii=False))
    turns = 0

    async def run_beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_beside)
        await charge.weigh(request)
        nursery.cancel_scope.cancel()
    assert turns >= 16  # one for each MiB of characters
