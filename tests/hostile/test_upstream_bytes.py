"""What a broken or hostile upstream sends, beside a heartbeat: no step is long, and nothing is held without bound."""

from __future__ import annotations

import json
import zlib
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.hostile.heartbeat import Row, check
from tests.support import (
    DONE,
    HEAD,
    Client,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    until,
    upstream_toml,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support import Json

MEBIBYTE = 1024 * 1024
CHUNKED = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
END = sse_chunk(finish="stop") + DONE
READER = "Failover.run"
"""The task that reads an upstream's answer."""


def whole_answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def zipped(data: bytes) -> bytes:
    return HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + zlib.compress(data, wbits=31)


def choice(delta: object, **more: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, **more}]}).encode()


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def floods() -> Iterator[tuple[str, bytes, int]]:
    """Answers, and the fewest steps that reading each must take."""
    size = 20 * 65536
    yield "comments", HEAD + b":\n" * (size // 2) + END, size // 2 // 128
    yield "empty lines", HEAD + b"\n" * size + END, size // 128
    yield "empty events", HEAD + b"data:\n\n" * (size // 7) + END, size // 7 // 64
    yield "empty objects", HEAD + b"data:{}\n\n" * (size // 9) + END, size // 9 // 64
    yield "chunks of one byte", CHUNKED + b"1\r\n:\r\n" * 60_000 + b"1\r\n\n\r\n" + _chunk(END), 60
    yield "chunks of one comment", CHUNKED + b"2\r\n:\n\r\n" * 60_000 + _chunk(END), 460
    yield "pieces of reasoning", HEAD + sse_chunk({"reasoning_content": "ab "}) * 5_000 + END, 75
    yield "pieces of text", HEAD + sse_chunk({"content": "ab "}) * 5_000 + END, 75
    yield "pieces of arguments", HEAD + _call(0) * 5_000 + END, 75
    yield "tool calls", HEAD + b"".join(_call(number) for number in range(5_000)) + END, 75
    yield "log probabilities alone", HEAD + event(choice({}, logprobs={"content": [0]})) * 5_000 + END, 75
    yield "values in every event", HEAD + event(choice({"x": [[]] * 15_000})) * 20 + END, 1_000
    yield "values in one event", HEAD + event(choice({"x": [[]] * 90_000})) + END, 360
    yield "escapes in one event", HEAD + event(choice({"x": ["\U0001f600"] * 40_000})) + END, 160
    yield "a long text", HEAD + event(choice({"content": "word " * 400_000})) + END, 240
    yield "a long text of escapes", HEAD + event(choice({"content": "\n" * MEBIBYTE})) + END, 128
    yield "a long thought", HEAD + event(choice({"reasoning_content": "0123456789" * 20_000})) + END, 24
    yield "a picture", HEAD + event(choice({"images": [{"url": "x" * 4 * MEBIBYTE}]})) + END, 128
    yield (
        "ill-formed UTF-8",
        HEAD + event(choice({"content": "?"}).replace(b"?", b"\xff" * MEBIBYTE)) + END,
        64,
    )
    message = {"message": {"content": "word " * 400_000}, "finish_reason": "stop"}
    yield "a whole answer", whole_answer(json.dumps({"choices": [message]}).encode()), 240
    yield "a compressed answer", zipped(b":\n" * 200_000 + sse_chunk({"content": "4"}) + END), 1_500


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


def _whole_call(index: int) -> bytes:
    function = {"name": "look_up", "arguments": "abcdefgh" * 8}
    return event(choice({"tool_calls": [{"index": index, "id": f"call_{index}", "function": function}]}))


def _call(index: int) -> bytes:
    return sse_chunk({"tool_calls": [{"index": index, "function": {"arguments": "abcdefgh"}}]})


FLOODS = {name: (answer, steps) for name, answer, steps in floods()}


@asynccontextmanager
async def answering(answer: bytes, server: str = "") -> AsyncIterator[Client]:
    """A gateway whose upstream answers every request so."""
    async with open_upstream(plays(answer)) as upstream:
        toml = upstream_toml(upstream.url, upstream="max_attempts = 1", server=server)
        async with open_gateway(settings(toml)) as client:
            yield client


async def played(answer: bytes, body: Json) -> None:
    """Let an upstream send *answer*, and read what the gateway makes of it."""
    async with answering(answer) as client:
        response = await client.post("/v1/chat/completions", json=body, timeout=60)
    assert response.status_code in {200, 502}
    assert response.text.endswith("data: [DONE]\n\n") or response.json()


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_an_answer_never_holds_the_event_loop(name: str, stream: bool) -> None:
    answer, steps = FLOODS[name]
    body = chat(stream=stream, gateway={"reasoning": "raw"} if name == "a long thought" else {})
    await check(Row(name, partial(played, answer, body), task=READER, slices=steps))


def endless() -> Iterator[tuple[str, bytes]]:
    """Answers of a megabyte, most of which a client that wants its answer in one piece would have to be sent."""
    yield "text", sse_chunk({"content": "four " * 50}) * 4_000
    yield "reasoning", sse_chunk({"reasoning_content": "four " * 50}) * 4_000
    yield "reasoning in the text", sse_chunk({"content": "<think>" + "four " * 200_000})
    yield "a refusal", sse_chunk({"refusal": "four " * 50}) * 4_000
    yield "arguments", _call(0).replace(b"abcdefgh", b"four " * 50) * 4_000
    yield "tool calls", b"".join(_whole_call(10**5 * number) for number in range(2_000))
    yield (
        "log probabilities",
        event(choice({"content": "x"}, logprobs={"content": [{"token": "x" * 250}]})) * 4_000,
    )
    yield "fields nobody knows", event(choice({"x": [[]] * 100})) * 4_000


ENDLESS = dict(endless())


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_gathered_answer_has_a_bound_and_its_upstream_is_hung_up_on(name: str) -> None:
    async with answering(HEAD + ENDLESS[name] + END, server="max_answer = 200_000") as client:
        body = chat(stream=False, gateway={"reasoning": "raw"})
        response = await client.post("/v1/chat/completions", json=body)
        metrics = (await client.get("/metrics")).text
    assert (response.status_code, response.json()["error"]["code"]) == (502, "answer_too_large")
    assert "200000 bytes" in response.json()["error"]["message"]
    assert 'gateway_breaker_calls_total{outcome="neutral",upstream="a"} 1.0' in metrics
    assert 'gateway_attempts_total{upstream="a"} 1.0' in metrics
    assert "gateway_held_bytes 0.0" in metrics


@pytest.mark.parametrize("name", ENDLESS)
async def test_the_same_answer_passes_where_it_is_streamed(name: str) -> None:
    async with answering(HEAD + ENDLESS[name] + END, server="max_answer = 200_000") as client:
        response = await client.post("/v1/chat/completions", json=chat(gateway={"reasoning": "raw"}))
    assert '"finish_reason": "stop"' in response.text
    assert "error" not in response.text


async def test_what_is_held_is_shown() -> None:
    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "x" * 100_000}))
        await stream.receive_some(1)

    async with open_upstream(script) as upstream, open_gateway(settings(UPSTREAM_URL=upstream.url)) as client:
        async with trio.open_nursery() as nursery:
            body = chat(stream=False)
            nursery.start_soon(partial(client.post, "/v1/chat/completions", json=body))
            await until(lambda: client.app.gateway._held.held == 100_000)
            assert "gateway_held_bytes 100000.0" in (await client.get("/metrics")).text
            nursery.cancel_scope.cancel()
        await until(lambda: client.app.gateway._held.held == 0)
