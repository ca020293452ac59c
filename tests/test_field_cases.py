"""Cases from the field: what clients and upstreams really send, played over a gateway and a scripted upstream.

Each line of ``data/field_cases.jsonl`` says why it is there. ``deltas`` are what the upstream answers with (one
that says ``4`` if absent), ``sent`` is what it must have seen at places of the body; ``calls``, ``reasoning`` and
the output ``4`` are what the client must get, as a stream and as one object.
"""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import (
    DONE,
    HEAD,
    Answer,
    Json,
    Upstream,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
)

if TYPE_CHECKING:
    import httpx

FILE = Path(__file__).parent / "data" / "field_cases.jsonl"
CASES: list[Json] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_case(case: Json, streamed: bool) -> None:
    deltas = case.get("deltas", [{"content": "4"}])
    answer = HEAD + b"".join(map(sse_chunk, deltas)) + sse_chunk(finish="stop") + DONE
    asked = {"model": case.get("model", "m"), **case.get("request", {}), "stream": streamed}
    body = {**chat(**asked), "gateway": {"reasoning": "raw"}}
    async with (
        open_upstream(plays(answer)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        url = str(client.base_url).rstrip("/") + case.get("path", "/v1/chat/completions")
        response = await client.post(
            url, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
    _check_sent(case, upstream)
    message = _streamed(response) if streamed else _whole(response)
    for call, expected in zip(message["calls"], case.get("calls", []), strict=True):
        assert call[expected[0] == "*" :] == expected[expected[0] == "*" :]  # an id of the gateway's own
    assert message["content"] == ("" if "calls" in case else "4")
    if "reasoning" in case:
        assert message["reasoning"] == case["reasoning"]


def _check_sent(case: Json, upstream: Upstream) -> None:
    (sent,) = upstream.requests
    for path, value in case.get("sent", {}).items():
        assert reduce(_member, path.split("."), sent) == value, path


def _member(value: Any, step: str) -> Any:
    return value[int(step)] if isinstance(value, list) else value[step]


def _streamed(response: httpx.Response) -> Json:
    """The message as a client puts it together."""
    answer = Answer(response)
    assert (answer.error, answer.done) == (None, 1)
    calls: dict[int, list[str]] = {}
    reasoning = ""
    for delta in (choice["delta"] for each in answer.objects for choice in each.get("choices", [])):
        reasoning += delta.get("reasoning_content", "")
        for part in delta.get("tool_calls", []):
            call = calls.setdefault(part["index"], ["", "", ""])
            function = part.get("function", {})
            for place, text in enumerate((part.get("id"), function.get("name"), function.get("arguments"))):
                call[place] += text or ""
    return {"content": answer.output, "reasoning": reasoning, "calls": list(calls.values())}


def _whole(response: httpx.Response) -> Json:
    assert response.status_code == 200, response.text
    message = response.json()["choices"][0]["message"]
    calls = [[call["id"], *call["function"].values()] for call in message.get("tool_calls", [])]
    return {
        "content": message["content"] or "",
        "reasoning": message.get("reasoning_content", ""),
        "calls": calls,
    }
