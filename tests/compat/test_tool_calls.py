"""Tool calls as real upstreams send them, read by OpenAI's own clients: chunks, ``.stream()`` and whole answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("openai", reason="the extra `compat` is not installed")

from tests.field_cases import CASES, answer_of, check_calls
from tests.support import Json, chat, open_gateway, open_upstream, plays, settings

if TYPE_CHECKING:
    from tests.compat.sdks import Drive, Outcome

pytestmark = pytest.mark.compat

CALLS = [case for case in CASES if "calls" in case]
"""Those cases in which the upstream calls tools."""


def asked(case: Json, **more: object) -> Json:
    """The request, with the tools that are called; for strict ones the helpers parse the arguments."""
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    tools = [
        {"type": "function", "function": {"name": name, "strict": True, "parameters": parameters}}
        for name in sorted({name for _, name, _ in case["calls"]})
    ]
    return {**chat(model=case.get("model", "m"), tools=tools), **case.get("request", {}), **more}


async def read_by(drive: Drive, *, helper: bool = False, **more: object) -> list[Outcome]:
    """What the client gave for each of the cases."""
    async with (
        open_upstream(plays(*map(answer_of, CALLS))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        url = str(client.base_url).rstrip("/")
        outcomes = await drive(url, *(asked(case, **more) for case in CALLS), helper=helper)
    assert [outcome.error for outcome in outcomes] == [None] * len(CALLS)
    return outcomes


def whole(outcome: Outcome) -> list[Json]:
    assert outcome.completion is not None
    calls: list[Json] = outcome.completion["choices"][0]["message"]["tool_calls"]
    assert {call["type"] for call in calls} == {"function"}
    return calls


def parts(call: Json) -> list[str]:
    return [call["id"], call["function"]["name"], call["function"]["arguments"]]


async def test_whole_answers(drive: Drive) -> None:
    for case, outcome in zip(CALLS, await read_by(drive), strict=True):
        check_calls(case, list(map(parts, whole(outcome))))


async def test_the_helper_puts_them_together(drive: Drive) -> None:
    for case, outcome in zip(CALLS, await read_by(drive, helper=True), strict=True):
        calls = whole(outcome)
        check_calls(case, list(map(parts, calls)))
        for call in calls:
            function = call["function"]
            assert function["parsed_arguments"] == json.loads(function["arguments"])


async def test_chunks_put_together_by_position(drive: Drive) -> None:
    for case, outcome in zip(CALLS, await read_by(drive, stream=True), strict=True):
        calls: list[list[str]] = []
        for chunk in outcome.chunks:
            for choice in chunk["choices"]:
                for fragment in choice["delta"].get("tool_calls") or []:
                    if fragment["index"] == len(calls):
                        calls.append(["", "", ""])
                    function = fragment.get("function", {})
                    texts = (fragment.get("id"), function.get("name"), function.get("arguments"))
                    held = calls[fragment["index"]]
                    held[:] = [before + (text or "") for before, text in zip(held, texts, strict=True)]
        check_calls(case, calls)
