"""Keys that an upstream sends back: redacted in every field, by status, in streams and over WebSocket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import (
    HEAD,
    Client,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    upstream_toml,
)
from tests.websocket.talking import PATH, open_socket

if TYPE_CHECKING:
    from tests.support import Json

OWN = "sk-own-CANARY-0123456789"
CLIENTS = "sk-client-CANARY-9876543210"
MADE_HERE = "gw-" + "CANARY-_" * 5 + "xyz"
KEYS = (OWN, CLIENTS, MADE_HERE)
BEARER = {"Authorization": f"Bearer {CLIENTS}"}


def error_body(key: str) -> bytes:
    error = {"message": f"bad key {key}!", "type": f"t_{key}", "code": f"c_{key}", "param": f"p.{key}"}
    return json.dumps({"error": error}).encode()


def by_status(key: str, status: int) -> bytes:
    body = error_body(key)
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


def in_stream(key: str, *, after: bytes = b"", event: bytes = b"") -> bytes:
    return HEAD + after + event + b"data: " + error_body(key) + b"\n\n"


ANSWERS = {
    "400": lambda key: by_status(key, 400),
    "401": lambda key: by_status(key, 401),
    "404": lambda key: by_status(key, 404),
    "429": lambda key: by_status(key, 429),
    "500": lambda key: by_status(key, 500),
    "first event": in_stream,
    "named event": lambda key: in_stream(key, event=b"event: error\n"),
    "after output": lambda key: in_stream(key, after=sse_chunk({"content": "Four"})),
    "text": lambda key: b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%s" % (len(key), key.encode()),
    "halved by the cut": lambda key: in_stream("x" * 505 + key),
}


async def every_answer(client: Client) -> list[bytes]:
    """What a client gets as one object, as either stream, and over a WebSocket."""
    bodies: list[Json] = [chat(stream=False), chat(stream=True)]
    answers = [await client.post(PATH, json=body, headers=BEARER) for body in bodies]
    answers += [await client.post(f"/openai{PATH}", json=body, headers=BEARER) for body in bodies]
    async with open_socket(client, fields=BEARER) as socket:
        await socket.send(chat())
        frames = await socket.until('"data": "[DONE]"')
    return [
        *(answer.content for answer in answers),
        *(str(answer.headers).encode() for answer in answers),
        "".join(frames).encode(),
    ]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("passes", [True, False])
async def test_no_key_leaves_the_gateway_in_an_error(
    answer: object, passes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(answer)
    upstream_keys = [CLIENTS, MADE_HERE] if passes else [OWN, MADE_HERE]
    for key in upstream_keys:
        async with open_upstream(plays(answer(key))) as upstream:
            own = "pass_through_key = true" if passes else "api_key_env = 'OWN_KEY'"
            toml = upstream_toml(upstream.url, upstream=f"{own}\nmax_attempts = 1")
            async with open_gateway(settings(toml, OWN_KEY=OWN)) as client:
                answers = await every_answer(client)
                answers.append((await client.get("/health")).content + (await client.get("/metrics")).content)
            assert upstream.headers[0]["authorization"] == f"Bearer {CLIENTS if passes else OWN}"
        for sent in answers:
            assert key.encode() not in sent
            assert b"CANARY" not in sent
        assert b'"error"' in answers[0]
    assert "CANARY" not in "".join(capsys.readouterr())


async def test_each_upstream_has_its_own_key_redacted() -> None:
    first, second = "sk-first-CANARY-1", "sk-second-CANARY-2"
    async with (
        open_upstream(plays(by_status(first, 503))) as a,
        open_upstream(plays(by_status(second, 400))) as b,
    ):
        toml = f"""
            [upstreams.a]
            url = "{a.url}"
            api_key_env = "A_KEY"
            max_attempts = 1
            [upstreams.b]
            url = "{b.url}"
            api_key_env = "B_KEY"
            [models.default]
            upstreams = ["a", "b"]
        """
        async with open_gateway(settings(toml, A_KEY=first, B_KEY=second)) as client:
            answers = await every_answer(client)
    assert len(b.requests) > 0
    for sent in answers:
        assert b"CANARY" not in sent
    assert json.loads(answers[0])["error"] == {
        "message": "bad key ***!",
        "type": "t_***",
        "param": "p.***",
        "code": "c_***",
    }
