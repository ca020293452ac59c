"""Clients that give the bare events, in both formats: ``curl`` and ``httpx-sse``. The round trip is by hand."""

import json
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TypeAlias

import httpx
from httpx_sse import connect_sse

from tests.compat.drivers import PROMPT, TOOL, Json, Seen, look_up

Ask: TypeAlias = Callable[[str, Json], Iterator[tuple[str, str]]]
"""Posts a body to a URL, and gives each event's name and data."""


def curl(url: str, cuts: list[str]) -> Seen:
    return _drive(_curl, url + "/openai", cuts, _curl_version())


def curl_phases(url: str, cuts: list[str]) -> Seen:
    return _drive(_curl, url, cuts, _curl_version())


def httpx_sse(url: str, cuts: list[str]) -> Seen:
    return _drive(_httpx_sse, url + "/openai", cuts, version("httpx-sse"))


def httpx_sse_phases(url: str, cuts: list[str]) -> Seen:
    return _drive(_httpx_sse, url, cuts, version("httpx-sse"))


def _curl_version() -> str:
    told = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split()[1]


def _curl(url: str, body: Json) -> Iterator[tuple[str, str]]:
    command = ["curl", "-sSN", "--fail-with-body", url, "-H", "Content-Type: application/json"]
    told = subprocess.run([*command, "-d", json.dumps(body)], capture_output=True, text=True, check=True)
    for event in told.stdout.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        if "data" in fields:  # else a comment, in a silence
            yield fields.get("event", "message"), fields["data"]


def _httpx_sse(url: str, body: Json) -> Iterator[tuple[str, str]]:
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        connect_sse(client, "POST", url, json=body) as source,
    ):
        for event in source.iter_sse():
            yield event.event, event.data


def _drive(ask: Ask, base: str, cuts: list[str], seen: str) -> Seen:
    def answer(model: str, messages: list[Json], **more: object) -> "_Answer":
        body = {"model": model, "messages": messages, "stream": True, **more}
        return _Answer(list(ask(base + "/v1/chat/completions", body)))

    asked: list[Json] = [{"role": "user", "content": PROMPT}]
    said = answer("default", asked, stream_options={"include_usage": True})
    (usage,) = (chunk["usage"] for chunk in said.chunks if chunk.get("usage"))
    call = answer("mock-tools", asked, tools=[TOOL]).tool_call
    result = look_up(**json.loads(call["function"]["arguments"]))
    wants = {"role": "assistant", "content": None, "tool_calls": [call]}
    spoken = [*asked, wants, {"role": "tool", "tool_call_id": call["id"], "content": result}]
    thoughts = said.content("prompt_summary", "reasoning_summary")
    return Seen(
        version=seen,
        text=said.content("final_output"),
        reasoning=thoughts or said.joined("reasoning_content", said.chunks),
        reasoning_at="delta.content" if thoughts else "delta.reasoning_content",
        errors=[answer(model, asked).error(ask) for model in cuts],
        tools=answer("mock-tools", spoken, tools=[TOOL]).content("final_output"),
        usage=[usage["prompt_tokens"], usage["completion_tokens"]],
    )


class _Answer:
    """The events of one answer."""

    def __init__(self, events: list[tuple[str, str]]) -> None:
        assert events[-1] == ("message", "[DONE]")
        self.events = [(name, json.loads(data)) for name, data in events[:-1]]
        self.chunks: list[Json] = [data for name, data in self.events if name != "phase"]

    def content(self, *phases: str) -> str:
        return self.joined("content", [chunk for chunk in self.chunks if chunk.get("phase") in phases])

    def joined(self, key: str, chunks: list[Json]) -> str:
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        return "".join(delta.get(key) or "" for delta in deltas)

    @property
    def tool_call(self) -> Json:
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]
        head, *tail = (call for delta in deltas for call in delta.get("tool_calls") or [])
        head["function"]["arguments"] += "".join(call["function"]["arguments"] for call in tail)
        return head  # type: ignore[no-any-return]

    def error(self, ask: Ask) -> tuple[str, str]:
        name, chunk = self.events[-1]
        if "error" not in chunk:
            return "", ""
        how = "`event: error`" if name == "error" else "`error` in a chunk"
        return how + "; exit code 0" * (ask is _curl), chunk["error"]["message"]
