"""The matrix of the README: which clients were tried, how each is driven, and what each shows."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import trio

from tests.compat.drivers import PROMPT, TOOL, Json, Seen, look_up

if TYPE_CHECKING:
    from tests.compat.sdks import Drive

__all__ = ["README", "ROOT", "ROWS", "Matrix", "Row", "ask_sdk", "cells", "run_driver"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- matrix: written by .ci/compat --write-matrix -->\n", "<!-- end of the matrix -->\n"
HEAD = "| client | tried | text | reasoning | error in mid-answer | tools | usage |\n|---|---|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Row:
    """How a client is driven."""

    kind: Literal["sdk", "module", "script"]  # through sdks.py, by a process of Python, by one of Node
    driver: str


ROWS = {
    "OpenAI Python": Row("sdk", "python"),
    "OpenAI Python, async": Row("sdk", "python-async"),
    "OpenAI Python, `.stream()`": Row("module", "openai_helper:drive"),
    "OpenAI Node": Row("sdk", "node"),
    "AI SDK": Row("script", "ai_sdk.mjs"),
    "LangChain `ChatOpenAI`": Row("module", "langchain:openai"),
    "LangChain `ChatDeepSeek`": Row("module", "langchain:deepseek"),
    "LiteLLM": Row("module", "litellm_sdk:drive"),
    "Pydantic AI": Row("module", "pydantic_ai_agent:drive"),
    "`llm`": Row("module", "llm_command:drive"),
    "httpx-sse": Row("module", "events:httpx_sse"),
    "httpx-sse, format `phases`": Row("module", "events:httpx_sse_phases"),
    "curl": Row("module", "events:curl"),
    "curl, format `phases`": Row("module", "events:curl_phases"),
}


async def run_driver(row: Row, url: str, cuts: list[str], *, folder: Path, environ: dict[str, str]) -> Seen:
    """Run a driver in a process of its own, in *folder*; its last line is what it saw."""
    command = ["node", row.driver]
    if row.kind == "module":
        command = [sys.executable, "-m", f"{__package__}.drivers", row.driver]
    told = await trio.run_process([*command, url, *cuts], cwd=folder, env=environ, capture_stdout=True)
    return Seen(**json.loads(told.stdout.splitlines()[-1]))


async def ask_sdk(drive: Drive, version: str, url: str, cuts: list[str]) -> Seen:
    """Ask one of OpenAI's own clients, which is of that version."""
    asked: list[Json] = [{"role": "user", "content": PROMPT}]

    def body(model: str, messages: list[Json] = asked, **more: object) -> Json:
        return {"model": model, "messages": messages, "stream": True, **more}

    said, wants, *failed = await drive(
        url,
        body("default", stream_options={"include_usage": True}),
        {**body("mock-tools", tools=[TOOL]), "stream": False},
        *map(body, cuts),
    )
    assert wants.completion is not None
    message = wants.completion["choices"][0]["message"]
    (call,) = message["tool_calls"]
    result = look_up(**json.loads(call["function"]["arguments"]))
    spoken = [*asked, message, {"role": "tool", "tool_call_id": call["id"], "content": result}]
    (second,) = await drive(url, body("mock-tools", spoken, tools=[TOOL]))
    (usage,) = (chunk["usage"] for chunk in said.chunks if chunk.get("usage"))
    raised = [each.error or {"kinds": [""], "message": ""} for each in failed]
    return Seen(
        version=version,
        text=said.joined("content"),
        reasoning=said.joined("reasoning_content"),
        reasoning_at="delta.reasoning_content",
        errors=[(f"`{error['kinds'][0]}`", error["message"]) for error in raised],
        tools=second.joined("content"),
        usage=[usage["prompt_tokens"], usage["completion_tokens"]],
    )


def cells(seen: Seen) -> list[str]:
    """A client's cells, from "reasoning" on, where all it showed has been found right."""
    (how,) = {how for how, _ in seen.errors}  # the same wherever the answer broke off
    reasoning = f"`{seen.reasoning_at}`" if seen.reasoning else "does not show it"
    tools = "yes, by itself" if seen.calls_tools else "yes"
    return [reasoning, how, tools, "yes" if seen.usage else "does not show it"]


@dataclass(slots=True)
class Matrix:
    """The table in the document, a line a client, and the lines that are to take their place."""

    writing: bool
    lines: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, *, writing: bool) -> Matrix:
        """Read it from the document.

        Raises:
            ValueError: the document has no place for it.
        """
        _, table, _ = _parts()
        rows = table.removeprefix(HEAD).splitlines()
        return cls(writing, {row.split(" | ")[0].removeprefix("| "): row for row in rows})

    def take(self, client: str, version: str, cells: list[str]) -> None:
        """Compare a row with the document's, whatever the version; or keep it for :meth:`write`."""
        row = f"| {client} | {version} | yes | {' | '.join(cells)} |"
        if self.writing:
            self.lines[client] = row
        else:
            assert _without_version(row) == _without_version(self.lines[client])

    def write(self) -> None:
        """Write the table, if that was asked for."""
        if self.writing:
            before, _, after = _parts()
            rows = [self.lines[client] for client in ROWS if client in self.lines]
            table = HEAD + "".join(f"{row}\n" for row in rows)
            README.write_text(before + BEGIN + table + END + after, encoding="utf-8")


def _parts() -> tuple[str, str, str]:
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    table, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} has no place for the matrix")
    return before, table, after


def _without_version(row: str) -> str:
    return re.sub(r"^(.*? \| )[\w.+-]+( \| )", r"\1\2", row)
