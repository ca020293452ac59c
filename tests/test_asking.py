"""An upstream is asked the way it can be asked: what the client gets, what the upstream saw, what is learned."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.support import (
    HEAD,
    Answer,
    Client,
    Json,
    Upstream,
    ask,
    chat,
    open_gateway,
    open_upstream,
    settings,
    sse_chunk,
    text_answer,
    upstream_toml,
)
from trio_gateway.core.config.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

STREAM = text_answer("4")
WHOLE = {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}]}  # fmt: skip
TOOL_LOOP = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "1"},
]  # fmt: skip


def refusal(message: str, status: int = 400) -> bytes:
    body = json.dumps({"error": {"message": message}}).encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def whole(body: Json) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@asynccontextmanager
async def picky(
    answer: Callable[[Json], bytes], *, upstream: str = "", model: str = ""
) -> AsyncIterator[tuple[Client, Upstream]]:
    """A gateway before an upstream that answers each body as *answer* says."""
    seen: list[Upstream] = []

    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(answer(seen[0].requests[number]))

    async with open_upstream(script) as server:
        seen.append(server)
        toml = upstream_toml(server.url, upstream=upstream, model=model)
        async with open_gateway(settings(toml)) as client:
            yield client, server


async def said(client: Client, body: Json) -> str:
    """The final output, streamed or whole."""
    response = await client.post("/v1/chat/completions", json=body)
    if body.get("stream") is False:
        assert response.status_code == 200, response.text
        assert response.headers["x-gateway-attempts"] == "1"
        return str(response.json()["choices"][0]["message"]["content"])
    answer = Answer(response)
    assert (answer.error, answer.done) == (None, 1)
    return answer.output


def no_usage(body: Json) -> bytes:
    return (
        refusal("stream_options: Extra inputs are not permitted", 422) if "stream_options" in body else STREAM
    )


def no_stream(body: Json) -> bytes:
    return refusal("Streaming is not supported for this model") if body.get("stream") else whole(WHOLE)


def no_usage_no_stream(body: Json) -> bytes:
    return no_usage(body) if "stream_options" in body else no_stream(body)


def no_usage_in_stream(body: Json) -> bytes:
    error = {"error": {"message": "stream_options is not supported", "code": 400}}
    return HEAD + b"data: " + json.dumps(error).encode() + b"\n\n" if "stream_options" in body else STREAM


def no_switch(body: Json) -> bytes:
    return refusal("Unknown field: chat_template_kwargs") if "chat_template_kwargs" in body else STREAM


def demands_reasoning(body: Json) -> bytes:
    lacks = any(each.get("tool_calls") and "reasoning_content" not in each for each in body["messages"])
    return refusal("reasoning_content is missing in assistant tool call message") if lacks else STREAM


def refuses_reasoning(body: Json) -> bytes:
    bears = any("reasoning_content" in each for each in body["messages"])
    return refusal("messages.1.reasoning_content: not permitted") if bears else STREAM


CASES: dict[str, tuple[Callable[[Json], bytes], Json, str, int]] = {
    "token counts": (no_usage, chat(), "", 2),
    "token counts, of a whole answer": (no_usage, chat(stream=False), "", 2),
    "token counts, in the stream": (no_usage_in_stream, chat(), "", 2),
    "a stream that nobody asked for": (no_stream, chat(stream=False), "", 2),
    "first the counts, then the stream": (no_usage_no_stream, chat(stream=False), "", 3),
    "the model's switch": (no_switch, chat(reasoning_effort="none"), 'thinking_switch = "thinking"', 2),
    "reasoning beside tool calls": (demands_reasoning, {"messages": TOOL_LOOP}, "", 2),
    "reasoning beside tool calls, of a known family": (
        demands_reasoning,
        {"messages": TOOL_LOOP, "model": "deepseek-v4-pro"},
        "",
        1,
    ),
    "reasoning that is not wanted": (refuses_reasoning, {"messages": TOOL_LOOP, "model": "kimi-k2.5"}, "", 2),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_what_the_gateway_added_is_taken_back_and_that_is_learned(
    case: tuple[Callable[[Json], bytes], Json, str, int],
) -> None:
    answer, body, model, requests = case
    strict = "max_attempts = 1\nbreaker = {consecutive = 1}"
    async with picky(answer, upstream=strict, model=model) as (client, upstream):
        assert await said(client, body) == "4"
        assert len(upstream.requests) == requests
        assert await said(client, body) == "4"
        assert len(upstream.requests) == requests + 1, "it was learned"
        health = (await client.get("/health")).json()["upstreams"]["a"]
        metrics = (await client.get("/metrics")).text
    assert (health["state"], health["failure_rate"], health["calls"]) == ("closed", 0.0, 2)
    assert 'gateway_attempts_total{upstream="a"} 2.0' in metrics
    if not upstream.requests[-1]["stream"]:
        assert upstream.headers[-1]["accept"] == "application/json"


async def test_what_was_learned_is_the_models_alone() -> None:
    async with picky(no_usage) as (client, upstream):
        for model in ("one", "two", "one"):
            assert await said(client, chat(model=model)) == "4"
    assert ["stream_options" in each for each in upstream.requests] == [True, False, True, False, False]


async def test_a_stream_is_still_asked_for_where_the_client_wants_one() -> None:
    async with picky(no_stream) as (client, upstream):
        await said(client, chat(stream=False))
        refused = await ask(client, chat())
    assert refused.error is not None
    assert [each["stream"] for each in upstream.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (lambda _: refusal("stream_options is no good"), chat(stream_options={"include_usage": True})),
        (lambda _: refusal("reasoning_content is missing"), chat()),
        (lambda _: refusal("temperature is no good"), chat()),
        (lambda _: refusal("stream_options is no good", 403), chat()),
        (lambda _: HEAD + sse_chunk({"content": "a"}) + b'data: {"error": {"message": "stream_options", "code": 400}}\n\n', chat()),
    ],
    ids=["the client's own", "nothing lacks it", "another field", "another status", "after the first event"],
)  # fmt: skip
async def test_what_is_not_the_gateways_own_is_not_asked_again(
    answer: Callable[[Json], bytes], body: Json
) -> None:
    async with picky(answer) as (client, upstream):
        assert (await ask(client, body)).error is not None
    assert len(upstream.requests) == 1


async def test_a_refusal_whatever_is_left_out_teaches_nothing() -> None:
    answers = iter([refusal("stream_options"), refusal("stream_options, still"), STREAM])
    async with picky(lambda _: next(answers)) as (client, upstream):
        assert (await ask(client, chat())).error is not None
        assert (await ask(client, chat())).output == "4"
    assert ["stream_options" in each for each in upstream.requests] == [True, False, True]


async def test_a_large_body_is_encoded_again() -> None:
    async with picky(no_usage) as (client, upstream):
        assert await said(client, chat("x" * 600_000)) == "4"
    assert [len(each["messages"][0]["content"]) for each in upstream.requests] == [600_000] * 2


async def test_an_address_with_a_query_and_a_key_in_a_header_of_its_own() -> None:
    targets: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            head = await stream.receive_some(65536)
            while b"\r\n\r\n" not in head:
                head += await stream.receive_some(65536)
            targets.append(head.partition(b"\r\n")[0])
            assert b"\r\napi-key: sk-1" in head
            assert b"authorization" not in head.lower()
            if head.startswith(b"POST"):
                await stream.send_all(refusal("not at /d?api-version=1&sig=hidden-in-query"))

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        url = f"http://127.0.0.1:{port}/d/chat/completions?api-version=1&sig=hidden-in-query"
        toml = f'[upstreams.azure]\nurl = "{url}"\napi_key_file = "key"\napi_key_header = "api-key"\n'
        files = {"gateway.toml": toml, "key": "sk-1"}
        config = load_settings({"GATEWAY_CONFIG": "gateway.toml"}, read_text=files.__getitem__)
        async with open_gateway(config) as client:
            response: httpx.Response = await client.post("/v1/chat/completions", json=chat(stream=False))
        nursery.cancel_scope.cancel()
    query = b"?api-version=1&sig=hidden-in-query HTTP/1.1"
    assert b"POST /d/chat/completions" + query in targets
    assert set(targets) <= {b"POST /d/chat/completions" + query, b"GET /d/models" + query}
    assert response.json()["error"]["message"] == "not at /d?api-version=1&sig=***"
