"""Cases from the field: what clients and upstreams really send, played over a gateway and a scripted upstream.

Each line of ``data/field_cases.jsonl`` says why it is there and, where it was built after a public report, which one
(``source``). ``deltas`` are what the upstream answers with (one that says ``4`` if absent) before its ``finish``, or
``stream`` is all lines of its body; ``sent`` is what it must have seen at places of the body. ``calls`` (an id that is
null may be any of the gateway's, but no two the same), ``reasoning`` and the ``output`` (``4`` if absent) are what
the client must get, as a stream and as one object.
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
    answer = HEAD + _body(case)
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
    calls = case.get("calls", [])
    ids = [call[0] for call in message["calls"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert message["calls"] == [
        [wanted or got, *rest] for got, (wanted, *rest) in zip(ids, calls, strict=True)
    ]
    assert message["content"] == case.get("output", "" if calls else "4")
    if "reasoning" in case:
        assert message["reasoning"] == case["reasoning"]


def _body(case: Json) -> bytes:
    if "stream" in case:
        return (
            "\n".join(line + "\n" if line.startswith("data") else line for line in case["stream"]) + "\n"
        ).encode()
    deltas = case.get("deltas", [{"content": "4"}])
    return b"".join(map(sse_chunk, deltas)) + sse_chunk(finish=case.get("finish", "stop")) + DONE


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
