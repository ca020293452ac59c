"""OpenAI's own clients against the format ``openai``: an answer that was cut never looks whole to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

pytest.importorskip("openai", reason="the extra `compat` is not installed")

from tests.compat.sdks import Drive, Outcome, drive_python, drive_python_async
from tests.support import (
    DONE,
    HEAD,
    Client,
    Json,
    Script,
    chat,
    open_gateway,
    open_pair,
    open_upstream,
    plays,
    resets,
    settings,
    sse_chunk,
    text_answer,
    upstream_toml,
)

if TYPE_CHECKING:
    from trio_gateway.core.config.settings import Settings

pytestmark = pytest.mark.compat

LIMITS = "max_attempts = 1\nfirst_event_timeout = 0.3\nidle_timeout = 0.3\n"
THINKS = sse_chunk({"content": "<think>First I add two and two.\n"})
SPEAKS = THINKS + sse_chunk({"content": "</think>The answer"})
JSON_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def one_try(url: str) -> Settings:
    """One upstream, one attempt, and a breaker that never opens."""
    return settings(upstream_toml(url, upstream=f"{LIMITS}[upstreams.a.breaker]\nconsecutive = 0\n"))


def base(client: Client) -> str:
    return str(client.base_url).rstrip("/")


def streamed(**more: object) -> Json:
    return {**chat(model="default", stream=True), **more}


def status(line: bytes, body: bytes = b"{}", headers: bytes = b"") -> bytes:
    return JSON_HEAD % (line, len(body), headers, body)


def inband(body: bytes) -> bytes:
    return HEAD + b"data: " + body + b"\n\n"


def in_chunk(sent: bytes) -> bytes:
    """A chunk of which one byte has not come."""
    return b"%x\r\n%s" % (len(sent) + 1, sent)


# What works


async def test_a_stream(drive: Drive) -> None:
    async with open_pair() as client:
        (told,) = await drive(base(client), streamed())
    assert (told.error, told.finish_reasons) == (None, ["stop"])
    assert told.joined("content") == "The answer is 4."
    assert told.joined("reasoning_content").startswith('[Prompt Summary] Processing: "What is 2+2?"...\n\n')
    assert "[Reasoning Summary] " in told.joined("reasoning")
    assert [chunk for chunk in told.chunks if chunk.get("usage")] == []


async def test_usage_and_raw_reasoning(drive: Drive) -> None:
    body = streamed(stream_options={"include_usage": True})
    if drive in (drive_python, drive_python_async):
        body["extra_body"] = {"gateway": {"reasoning": "raw"}}
    else:
        body["gateway"] = {"reasoning": "raw"}
    async with (
        open_upstream(plays(text_answer("<think>Adding.</think>", "4"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        (told,) = await drive(base(client), body)
    assert (told.joined("reasoning_content"), told.joined("content")) == ("Adding.", "4")


async def test_tool_calls(drive: Drive) -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    async with open_pair() as client:
        url = base(client)
        body = {**streamed(tools=tools), "model": "mock-tools"}
        whole, told = await drive(url, {**body, "stream": False}, body)
    calls = [
        call
        for chunk in told.chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or []
    ]
    arguments = "".join(call["function"].get("arguments") or "" for call in calls)
    assert whole.completion is not None
    (call,) = whole.completion["choices"][0]["message"]["tool_calls"]
    assert (calls[0]["function"]["name"], call["function"]["name"]) == ("add", "add")
    assert json.loads(arguments) == json.loads(call["function"]["arguments"])
    assert told.finish_reasons == ["tool_calls"]


async def test_not_streamed_is_the_default(drive: Drive) -> None:
    async with open_pair() as client:
        (told,) = await drive(base(client), chat(model="default"))
    assert told.error is None
    assert told.completion is not None
    message = told.completion["choices"][0]["message"]
    assert (message["content"], told.completion["choices"][0]["finish_reason"]) == (
        "The answer is 4.",
        "stop",
    )
    assert message["reasoning_content"].startswith("[Prompt Summary] ")


# What is cut

TRUNCATIONS: dict[str, tuple[Script, str, int | None, str]] = {
    # name: what the upstream does, the error's code, its status if the answer had not begun, content by then
    "closes at once": (plays(b""), "upstream_closed", 502, ""),
    "closes after its headers": (plays(HEAD), "truncated", 502, ""),
    "never answers": (plays(b"", hold=True), "first_event_timeout", 504, ""),
    "headers, then silence": (plays(HEAD, hold=True), "first_event_timeout", 504, ""),
    "done before anything": (plays(HEAD + DONE), "upstream_empty", 502, ""),
    "error first": (plays(inband(b'{"error": {"message": "boom"}}')), "upstream_error", 502, ""),
    "ends in the reasoning": (plays(HEAD + THINKS), "truncated", None, ""),
    "ends in the output": (plays(HEAD + SPEAKS), "truncated", None, "The answer"),
    "ends inside an event": (plays(HEAD + SPEAKS + b'data: {"choices"'), "truncated", None, "The answer"),
    "chunk cut in the reasoning": (plays(CHUNKED + in_chunk(THINKS)), "truncated", None, ""),
    "chunk cut in the output": (plays(CHUNKED + in_chunk(SPEAKS)), "truncated", None, "The answer"),
    "error in the reasoning": (
        plays(HEAD + THINKS + b'data: {"error": {"message": "boom"}}\n\n'),
        "upstream_error",
        None,
        "",
    ),
    "error in the output": (
        plays(HEAD + SPEAKS + b'data: {"error": {"message": "boom", "code": 429}}\n\n'),
        "rate_limit_exceeded",
        None,
        "The answer",
    ),
    "silence in the reasoning": (plays(HEAD + THINKS, hold=True), "idle_timeout", None, ""),
    "silence in the output": (plays(HEAD + SPEAKS, hold=True), "idle_timeout", None, "The answer"),
    "reset in the reasoning": (resets(HEAD + THINKS), "upstream_closed", None, ""),
    "reset in the output": (resets(HEAD + SPEAKS), "upstream_closed", None, "The answer"),
    "malformed": (plays(HEAD + SPEAKS + b"data: {oops\n\n"), "upstream_protocol", None, "The answer"),
}


@pytest.mark.parametrize("truncation", TRUNCATIONS.values(), ids=TRUNCATIONS.keys())
async def test_a_cut_answer_is_an_error(
    truncation: tuple[Script, str, int | None, str], drive: Drive
) -> None:
    script, code, http, content = truncation
    async with open_upstream(script) as upstream, open_gateway(one_try(upstream.url)) as client:
        told, whole = await drive(base(client), streamed(), chat(model="default"))
    assert told.error is not None
    assert (told.error["code"], told.error["status"]) == (code, http)
    assert ("InternalServerError" if http else "APIError") in told.error["kinds"]
    assert told.joined("content") == content
    assert told.finish_reasons == []
    assert whole.completion is None
    assert whole.error is not None
    assert whole.error["status"] >= 429


async def test_wherever_it_is_cut_it_is_an_error(drive: Drive) -> None:
    answer = text_answer("<think>Hm.</think>", "The", " answer").removesuffix(DONE)
    whole = len(answer.rstrip())  # the last event counts without its blank line, as servers forget it
    cuts = [*range(len(HEAD), whole, 9), whole - 1]

    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(answer[: cuts[number]])

    async with open_upstream(script) as upstream, open_gateway(one_try(upstream.url)) as client:
        outcomes: list[Outcome] = await drive(base(client), *[streamed()] * len(cuts))
    ended = [
        cut for cut, told in zip(cuts, outcomes, strict=True) if told.error is None or told.finish_reasons
    ]
    assert ended == []


# Errors that have a status

ERRORS: dict[str, tuple[bytes, str, int, str | None]] = {
    # name: what the upstream answers, the client's class for it, status, code
    "400": (status(b"400 Bad", b'{"error": {"message": "no", "code": "x"}}'), "BadRequestError", 400, "x"),
    "400 first event": (
        inband(b'{"error": {"message": "no", "type": "invalid_request_error"}}'),
        "BadRequestError",
        400,
        None,
    ),
    "401": (status(b"401 Who"), "InternalServerError", 502, "upstream_auth"),
    "404": (
        status(b"404 None", b'{"error": {"message": "no such model"}}'),
        "NotFoundError",
        404,
        "model_not_found",
    ),
    "413": (status(b"413 Much"), "APIError", 413, None),
    "422": (status(b"422 Odd"), "UnprocessableEntityError", 422, None),
    "429": (status(b"429 Slow"), "RateLimitError", 429, "rate_limit_exceeded"),
    "429 first event": (
        inband(b'{"error": {"message": "slow", "code": 429}}'),
        "RateLimitError",
        429,
        "rate_limit_exceeded",
    ),
    "500": (status(b"500 Oops"), "InternalServerError", 502, "upstream_error"),
    "503": (status(b"503 Busy"), "InternalServerError", 503, "upstream_error"),
}


@pytest.mark.parametrize("answer", ERRORS.values(), ids=ERRORS.keys())
async def test_an_error_has_its_class(answer: tuple[bytes, str, int, str | None], drive: Drive) -> None:
    sent, kind, http, code = answer
    async with open_upstream(plays(sent)) as upstream, open_gateway(one_try(upstream.url)) as client:
        (told,) = await drive(base(client), streamed())
    assert told.error is not None
    assert kind in told.error["kinds"]
    assert (told.error["status"], told.error["code"], told.chunks) == (http, code, [])


async def test_a_mistake_names_its_place(drive: Drive) -> None:
    async with open_pair() as client:
        (told,) = await drive(base(client), {**streamed(), "messages": []})
    assert told.error is not None
    assert (told.error["status"], told.error["param"]) == (400, "messages")


@pytest.mark.parametrize("line", [b"503 Busy", b"429 Slow"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_clients_own_retry_works(line: bytes, stream: bool, drive: Drive) -> None:
    refusal = status(line, headers=b"Retry-After: 1\r\n")
    async with (
        open_upstream(plays(refusal, text_answer("4"))) as upstream,
        open_gateway(one_try(upstream.url)) as client,
    ):
        begun = trio.current_time()
        (told,) = await drive(base(client), chat(model="default", stream=stream), max_retries=2)
        assert trio.current_time() - begun > 1  # it did as Retry-After said
    assert told.error is None
    content = told.completion["choices"][0]["message"]["content"] if told.completion else None
    assert (content or told.joined("content"), len(upstream.requests)) == ("4", 2)


async def test_a_spent_quota_is_not_tried_again(drive: Drive) -> None:
    body = b'{"error": {"message": "pay", "code": "insufficient_quota"}}'
    async with (
        open_upstream(plays(status(b"429 Pay", body))) as upstream,
        open_gateway(one_try(upstream.url)) as client,
    ):
        (told,) = await drive(base(client), streamed(), max_retries=2)
        metrics = (await client.get("/metrics")).text
    assert told.error is not None
    assert ("RateLimitError" in told.error["kinds"], told.error["code"]) == (True, "insufficient_quota")
    assert 'gateway_requests_total{model="default",outcome="refused"}' not in metrics
