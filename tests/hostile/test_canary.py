"""Canary: unique words in keys, prompt, reasoning and answer go through everything, and are then looked for.

The process is one of its own, at its most talkative level, so that what libraries write counts too.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector import open_collector
from tests.running import OWN, running
from tests.support import DONE, HEAD, chat, key_line, open_upstream, plays, sse_chunk
from tests.websocket.talking import PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLIENT_KEY = "gw-canary-key-of-a-client"
COLLECTOR_KEY = "canary-key-of-the-collector"
WRONG_KEY = "gw-canary-key-that-is-wrong"
UPSTREAM_KEY = "sk-canary-key-of-the-upstream"
PROMPT = "Tell me of the canaryprompt in the mine, please."
SYSTEM = "You are a canarysystem."
NAMED = "canary-user-name"
THOUGHT = "canarythought"
ANSWER = "canaryanswer"
WORD = "canary"

WHOLE = (
    HEAD
    + sse_chunk({"content": f"<think>First the {THOUGHT} has to be looked at closely.\n</think>"})
    + sse_chunk({"content": f"It is the {ANSWER}."})
    + sse_chunk(finish="stop")
    + DONE
)
ECHO = f"bad key {UPSTREAM_KEY}".encode()
# What an upstream does, and whether the answer is an error.
UPSTREAMS = {
    "answers": (WHOLE, False),
    "breaks off": (HEAD + sse_chunk({"content": f"It is the {ANSWER}"}), True),
    "refuses with our key": (b"HTTP/1.1 401 X\r\nContent-Length: %d\r\n\r\n%s" % (len(ECHO), ECHO), True),
    "fails": (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", True),
    "is broken": (HEAD + b'data: {"choices": [{"delta": {"content": "canaryanswer', True),
}
JSON = {"Content-Type": "application/json"}
TRACEPARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
TRACED = find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None
SECRET = (CLIENT_KEY, WRONG_KEY, UPSTREAM_KEY)


@asynccontextmanager
async def open_tracing(collected: list[bytes]) -> AsyncIterator[str]:
    """The address of a collector; *collected* gets what it was sent."""
    with open_collector() as collector:
        yield collector.url
        collected += collector.bodies


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize(("answer", "fails"), UPSTREAMS.values(), ids=UPSTREAMS)
async def test_s5_no_key_and_no_text_is_in_a_log_a_metric_a_trace_or_an_error(
    answer: bytes, fails: bool, log_format: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(
        key_line("canary-key-of-a-client", "metrics").replace("canary-key-of-a-client", "alice", 1)
    )
    body = chat(PROMPT, user=NAMED)
    body["messages"].insert(0, {"role": "system", "content": SYSTEM})
    secret = tmp_path / "secret"
    secret.write_text(UPSTREAM_KEY)
    good, wrong = ({"Authorization": f"Bearer {key}"} | TRACEPARENT for key in (CLIENT_KEY, WRONG_KEY))
    outside: list[str] = []
    collected: list[bytes] = []
    async with (
        open_upstream(plays(answer)) as upstream,
        open_tracing(collected) as endpoint,
        running(
            OWN,
            UPSTREAM_URL=upstream.url,
            UPSTREAM_API_KEY_FILE=str(secret),
            GATEWAY_API_KEYS_FILE=str(keys),
            LOG_LEVEL="debug",
            LOG_FORMAT=log_format,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_HEADERS=f"x-key={COLLECTOR_KEY}",
        ) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client,
    ):
        streamed = await client.post(PATH, json=body, headers=good)
        whole = await client.post(PATH, json={**body, "stream": False}, headers=good)
        for each in (streamed, whole):
            assert not any(key in each.text + str(each.headers) for key in SECRET)
        if fails:
            outside.append(whole.text)  # an error object: it bears no text of the prompt either
        else:
            assert ANSWER in streamed.text
            assert ANSWER in whole.text
        refused = [
            await client.post(PATH, json=body, headers=wrong),
            await client.post(PATH, content=b'{"messages": "canaryprompt', headers=good | JSON),
            await client.post(PATH, json={**body, "n": 99}, headers=good),
            await client.get(f"/canary?key={CLIENT_KEY}"),
        ]
        assert all(each.status_code >= 400 for each in refused)
        outside += [each.text for each in refused[:3]]
        assert not any(key in each.text for each in refused for key in SECRET[1:])
        metrics = (await client.get("/metrics", headers=good)).text
        assert "gateway_requests_total{" in metrics
        outside += [(await client.get("/health")).text, metrics]
        assert upstream.headers[0]["authorization"] == f"Bearer {UPSTREAM_KEY}"
        assert await gateway.stop() == 0
    log = "\n".join(line.replace("/canary", "/") for line in gateway.log)
    assert "alice" in log
    assert [line for line in log.splitlines() if WORD in line] == []
    assert [text for text in outside if WORD in text] == []
    assert bool(collected) is TRACED
    assert [body for body in collected if WORD.encode() in body] == []


def test_the_search_would_find_each_of_them() -> None:
    assert all(WORD in text for text in (*SECRET, PROMPT, SYSTEM, NAMED, THOUGHT, ANSWER))
