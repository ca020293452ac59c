"""Bad input over the wire: always a 4xx with an OpenAI error object that names the field, never a traceback."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support import Json, ask, chat, open_gateway, open_upstream, plays, settings, text_answer, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = {"Content-Type": "application/json"}
TOO_DEEP = b'{"messages": ' + b"[" * 100_000


def body(**fields: object) -> bytes:
    return json.dumps({**chat(), **fields}).encode()


CASES: dict[str, tuple[bytes, int, str | None, str]] = {
    # name: body, status, param, something of the message
    "empty body": (b"", 400, None, "JSON"),
    "no json": (b"{", 400, None, "JSON"),
    "trailing garbage": (body() + b"x", 400, None, "JSON"),
    "byte-order mark": (b"\xef\xbb\xbf" + body(), 400, None, "byte-order mark"),
    "not utf-8": (b'{"model": "\xff"}', 400, None, "UTF-8"),
    "top-level array": (b"[]", 400, None, "list"),
    "top-level string": (b'"hi"', 400, None, "string"),
    "top-level null": (b"null", 400, None, "null"),
    "no messages": (b"{}", 400, "messages", "messages"),
    "empty messages": (body(messages=[]), 400, "messages", "messages"),
    "messages not a list": (body(messages="hi"), 400, "messages", "string"),
    "message not an object": (body(messages=[5]), 400, "messages[0]", "5"),
    "role a number": (body(messages=[{"role": 1, "content": "x"}]), 400, "messages[0].role", "number 1"),
    "message without role": (body(messages=[{"content": "x"}]), 400, "messages[0].role", "nothing"),
    "content a number": (body(messages=[{"role": "user", "content": 5}]), 400, "messages[0].content", "5"),
    "nan": (b'{"messages": [{"role": "user", "content": "x"}], "top_p": NaN}', 400, "top_p", "NaN"),
    "infinity": (
        b'{"messages": [{"role": "user", "content": "x"}], "top_p": -Infinity}',
        400,
        "top_p",
        "Infinity",
    ),
    "a number out of range": (
        b'{"messages": [{"role": "user", "content": "x"}], "top_p": 1e999}',
        400,
        "top_p",
        "number",
    ),
    "a number of 5,000 digits": (
        b'{"messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 5000 + b"}",
        400,
        "seed",
        "digits",
    ),
    "too deep": (TOO_DEEP, 400, None, "64"),
    "too many values": (body(x=[[]] * 100_000), 400, None, "100,000"),
    "too deep, and large": (b'{"x": ' + b" " * 300_000 + b"[" * 65, 400, None, "64"),
    "nan, and large": (body(x="y" * 300_000)[:-1] + b', "z": [NaN]}', 400, "z[0]", "NaN"),
    "doubled key": (b'{"model": "a", "model": "b"}', 400, "model", "model"),
    "n too large": (body(n=9), 400, "n", "8"),
    "n a billion": (body(n=10**9), 400, "n", "8"),
    "stream a number": (body(stream=1), 400, "stream", "true or false"),
    "stream a string": (body(stream="true"), 400, "stream", "true or false"),
    "top-level number": (b"5", 400, None, "5"),
    **{
        f"redirected by {name}": (body(**{name: "http://evil"}), 400, name, name)
        for name in ("api_base", "base_url", "api_key", "extra_headers", "user_config")
    },
    "redirected from extra_body": (
        body(extra_body={"extra_body": {"api_base": "http://evil"}}),
        400,
        "extra_body.extra_body.api_base",
        "api_base",
    ),
    "unknown option": (body(gateway={"reasoning": "loud"}), 400, "gateway.reasoning", "raw"),
    "unknown format": (body(gateway={"format": "xml"}), 400, "gateway.format", "xml"),
    "model of 10 KB": (body(model="a" * 10_240), 400, "model", "model"),
    "model with a line end": (body(model="a\r\nX: b"), 400, "model", "model"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_bad_bodies(case: tuple[bytes, int, str | None, str], caplog: pytest.LogCaptureFixture) -> None:
    content, status, param, said = case
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        response = await client.post("/v1/chat/completions", content=content, headers=JSON)
        metrics = (await client.get("/metrics")).text
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert said in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert upstream.requests == []
    assert 'gateway_requests_total{model="other",outcome="refused"} 1.0' in metrics
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


async def test_a_deep_body_costs_nothing() -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        within(1),
    ):
        response = await client.post("/v1/chat/completions", content=TOO_DEEP, headers=JSON)
    assert response.status_code == 400


class Pieces(httpx.AsyncByteStream):
    """A body that does not say how long it is."""

    async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC900  (what httpx asks for)
        for _ in range(64):
            yield b"x" * 32_768


@pytest.mark.parametrize("content", [b"x" * 2_097_152, Pieces()], ids=["by length", "by chunks"])
async def test_a_body_that_is_too_large(content: bytes | Pieces) -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings("[server]\nmax_body = 1_048_576\n", UPSTREAM_URL=upstream.url)) as client,
    ):
        response = await client.post("/v1/chat/completions", content=content, headers=JSON)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
        assert "at most 1,048,576 bytes" in response.json()["error"]["message"]
        assert response.headers["connection"] == "close"
        assert (await client.get("/health/live")).status_code == 200


EXPECTED_JSON = "expected Content-Type: application/json, got "
COMPRESSED = "The body is compressed ({}): send it without Content-Encoding."


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions", "/render"])
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Type": "text/plain"}, EXPECTED_JSON + "text/plain."),
        ({"Content-Type": "text/" + "x" * 4000}, EXPECTED_JSON + "text/" + "x" * 55 + "."),
        ({}, EXPECTED_JSON + "none."),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            EXPECTED_JSON + "application/x-www-form-urlencoded.",
        ),
        ({**JSON, "Content-Encoding": "gzip"}, COMPRESSED.format("gzip")),
        ({"Content-Type": "text/plain", "Content-Encoding": "br, zstd"}, COMPRESSED.format("br, zstd")),
    ],
)
async def test_a_body_that_is_not_json(path: str, headers: dict[str, str], message: str) -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        response = await client.post(path, content=body(), headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (415, "unsupported_media_type")
    assert error["message"] == message


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("OPTIONS", "/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("TRACE", "/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("CONNECT", "/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("POST", "/health", 405, "method_not_allowed", "GET, HEAD"),
        ("POST", "/v1/models", 405, "method_not_allowed", "GET, HEAD"),
        ("GET", "/v1", 404, "not_found", None),
        ("GET", "/v1/chat/completions/", 405, "method_not_allowed", "POST"),
        ("GET", "/openai//chat/completions", 405, "method_not_allowed", "POST"),
        ("POST", "/../etc/passwd", 404, "not_found", None),
        ("GET", "/static/x", 404, "not_found", None),
        ("GET", "/v1/models/no-such-model", 404, "model_not_found", None),
    ],
)
async def test_wrong_methods_and_paths(
    method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        response = await client.request(method, path)
    answer: Json = response.json()
    assert (response.status_code, answer["error"]["code"]) == (status, code)
    assert response.headers.get("allow") == allow
    assert response.headers["content-type"] == "application/json"
    if allow is not None:
        named = "GET" if "GET" in allow else "POST"
        assert answer["error"]["message"].endswith(f" takes {named}, not {method}; see /docs.")


OTHER_APIS = [
    ("POST", "/v1/responses", "OpenAI's Responses API"),
    ("GET", "/openai/v1/responses/resp_1", "OpenAI's Responses API"),
    ("POST", "/v1/messages", "Anthropic's Messages API"),
    ("POST", "/openai/v1/v1/messages/count_tokens", "Anthropic's Messages API"),
    ("POST", "/v1/embeddings", "the embeddings API"),
    ("POST", "/v1/audio/speech", "the audio API"),
    ("POST", "/api/chat", "Ollama's own API"),
    ("GET", "/api/tags", "Ollama's own API"),
]


@pytest.mark.parametrize(("method", "path", "api"), OTHER_APIS)
async def test_an_api_that_is_not_offered_is_named(method: str, path: str, api: str) -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        response = await client.request(method, path)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == (
        f"No route {path}: {api} is not offered yet. Chat is at POST /v1/chat/completions and "
        "POST /openai/v1/chat/completions, models are at GET /v1/models; see /docs."
    )


@pytest.mark.parametrize(
    ("method", "path", "nearest"),
    [
        ("POST", "/v1/chat/completion", "POST /v1/chat/completions"),
        ("POST", "/v1/completions", "POST /v1/chat/completions"),
        ("POST", "/api/v1/chat/completions", "POST /v1/chat/completions"),
        ("POST", "/openai/v1/chat/completions/x", "POST /openai/v1/chat/completions"),
        ("GET", "/v1/model", "GET /v1/models"),
        ("GET", "/healthz", "GET /health"),
        ("GET", "/v1/chat", "POST /v1/chat/completions"),
        ("POST", "/v1/chat/", "POST /v1/chat/completions"),
        ("POST", "/openai/v1/chat", "POST /openai/v1/chat/completions"),
        ("POST", "/chat", "POST /v1/chat/completions"),
        ("GET", "/v1", "GET /v1/models"),
        ("POST", "/v1", "POST /v1/chat/completions"),
        ("GET", "/favicon.ico", "POST /v1/chat/completions"),
        ("HEAD", "/v1/model", ""),
        ("DELETE", "/v1/chat/completions/1", "POST /v1/chat/completions"),
        ("POST", "/" + "x" * 4000, "POST /v1/chat/completions"),
    ],
)
async def test_a_wrong_path_is_shown_the_nearest_route(method: str, path: str, nearest: str) -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        response = await client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    if method != "HEAD":
        error = response.json()["error"]
        assert error["code"] == "not_found"
        assert re.search(rf"(The nearest|Chat) is (at )?{nearest}; see /docs\.$", error["message"])


def whole_url(client: httpx.AsyncClient, path: str) -> str:
    """httpx would take a path that begins with two slashes for a host."""
    return str(client.base_url).rstrip("/") + path


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "//v1//", "/openai", "/openai//v1"])
@pytest.mark.parametrize("end", ["/chat/completions", "/chat//completions/", "//chat/completions//"])
async def test_spellings_of_a_path(base: str, end: str) -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        response = await client.post(whole_url(client, base + end), json=chat(stream=True))
    assert response.status_code == 200
    assert response.headers["x-stream-format"] == ("openai" if "openai" in base else "phases")


@pytest.mark.parametrize("path", ["/docs/", "//docs", "/health//live", "/v1/models/", "/openai//v1/models"])
async def test_spellings_of_other_paths(path: str) -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        response = await client.get(whole_url(client, path))
    assert response.status_code == 200


async def test_a_refusal_of_head_has_no_body() -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        response = await client.head("/v1/chat/completions")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


async def test_an_unlisted_model_where_only_listed_ones_are_allowed() -> None:
    async with open_gateway(settings("[server]\nallow_unlisted = false\n")) as client:
        response = await client.post("/v1/chat/completions", json=chat(model="gpt-9"))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")


async def test_lone_surrogates_become_replacement_characters() -> None:
    content = b'{"messages": [{"role": "user", "content": "a\\ud83d \\ude00\\ud83d\\ude00", "\\udfff": 1}]}'
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        response = await client.post("/v1/chat/completions", content=content, headers=JSON)
    assert response.status_code == 200
    assert upstream.requests[0]["messages"] == [{"role": "user", "content": "a\ufffd \ufffd😀", "\ufffd": 1}]


PROMPTS = {
    "the end": "\n\ndata: [DONE]\n\n",
    "an error": "event: error\ndata: {}\n\n",
    "comments": "\r\r: x\r\r",
    "other line ends": "\u2028\u0085\x00",
    "families": "👩‍👩‍👧‍👦 e\u0301 🏳️‍🌈",
    "right to left": "\u202eשלום\u202c مرحبا",
    "one long word": "x" * 900_000,
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
async def test_a_prompt_that_looks_like_the_stream(prompt: str) -> None:
    async with (
        open_upstream(plays(text_answer(prompt))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat(prompt))
    assert (answer.done, answer.error, answer.phases) == (1, None, ["prompt_summary", "final_output"])
    assert answer.output == prompt
    assert upstream.requests[0]["messages"] == [{"role": "user", "content": prompt}]
