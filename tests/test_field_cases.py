"""Cases from the field, played over a gateway and a scripted upstream."""

from __future__ import annotations

import json
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest

from tests.field_cases import CASES, answer_of, check_calls
from tests.support import Answer, Json, Upstream, chat, open_gateway, open_upstream, plays, settings

if TYPE_CHECKING:
    import httpx


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_case(case: Json, streamed: bool) -> None:
    asked = {"model": case.get("model", "m"), **case.get("request", {}), "stream": streamed}
    body = {**chat(**asked), "gateway": {"reasoning": "raw"}}
    async with (
        open_upstream(plays(answer_of(case))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        url = str(client.base_url).rstrip("/") + case.get("path", "/v1/chat/completions")
        response = await client.post(
            url, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
    _check_sent(case, upstream)
    message = _streamed(response) if streamed else _whole(response)
    check_calls(case, message["calls"])
    assert message["content"] == case.get("output", "" if "calls" in case else "4")
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
