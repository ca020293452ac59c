"""OpenAI's own clients behind one interface: requests go in, and what the caller of the client saw comes out."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import openai
import pytest
import trio

if TYPE_CHECKING:
    from tests.support import Json

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request gave; ``error`` is what the client raised or threw."""

    chunks: list[Json] = field(default_factory=list)
    completion: Json | None = None
    error: Json | None = None

    def joined(self, key: str) -> str:
        """All text under that key of the deltas."""
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]
        return "".join(delta.get(key) or "" for delta in deltas)

    @property
    def finish_reasons(self) -> list[str]:
        reasons = [choice["finish_reason"] for chunk in self.chunks for choice in chunk["choices"]]
        return [reason for reason in reasons if reason]


Drive: TypeAlias = Callable[..., Awaitable[list[Outcome]]]
"""``await drive(url, *bodies, max_retries=0, helper=False)``: one request after another to the gateway at *url*.

With *helper* each is sent by the client's ``.stream()``, which puts the completion together from the chunks.
"""


async def drive_python(url: str, *bodies: Json, max_retries: int = 0, helper: bool = False) -> list[Outcome]:
    def run() -> list[Outcome]:
        with openai.OpenAI(**_options(url, max_retries)) as client:
            return [one(client, body) for body in bodies]

    def one(client: openai.OpenAI, body: Json) -> Outcome:
        chunks: list[Json] = []
        try:
            if helper:
                with client.chat.completions.stream(**body) as stream:
                    return Outcome(completion=stream.get_final_completion().to_dict())
            answer: Any = client.chat.completions.create(**body)
            if not body.get("stream"):
                return Outcome(completion=answer.to_dict())
            for chunk in answer:
                chunks.append(chunk.to_dict())  # noqa: PERF401  (what came before an error counts)
        except openai.OpenAIError as error:
            return Outcome(chunks, error=_described(error))
        return Outcome(chunks)

    return await trio.to_thread.run_sync(run)


async def drive_python_async(
    url: str, *bodies: Json, max_retries: int = 0, helper: bool = False
) -> list[Outcome]:
    async def run() -> list[Outcome]:
        async with openai.AsyncOpenAI(**_options(url, max_retries)) as client:
            return [await one(client, body) for body in bodies]

    async def one(client: openai.AsyncOpenAI, body: Json) -> Outcome:
        chunks: list[Json] = []
        try:
            if helper:
                async with client.chat.completions.stream(**body) as stream:
                    return Outcome(completion=(await stream.get_final_completion()).to_dict())
            answer: Any = await client.chat.completions.create(**body)
            if not body.get("stream"):
                return Outcome(completion=answer.to_dict())
            async for chunk in answer:
                chunks.append(chunk.to_dict())  # noqa: PERF401  (what came before an error counts)
        except openai.OpenAIError as error:
            return Outcome(chunks, error=_described(error))
        return Outcome(chunks)

    return await trio.to_thread.run_sync(lambda: asyncio.run(run()))


def install_node_clients(folder: Path) -> None:
    """Put the clients that live in Node into *folder*, as the lock says; skips the test where there is no Node."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("needs node and npm")
    for name in ("package.json", "package-lock.json", "driver.mjs", "ai_sdk.mjs"):
        shutil.copy(HERE / name, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    subprocess.run([npm, "ci", *quiet], cwd=folder, check=True, capture_output=True, timeout=120)


def node_driver(folder: Path) -> Drive:
    """OpenAI's Node client, installed in *folder*."""

    async def drive_node(
        url: str, *bodies: Json, max_retries: int = 0, helper: bool = False
    ) -> list[Outcome]:
        requests = [{"max_retries": max_retries, "helper": helper, "body": body} for body in bodies]
        told = await trio.run_process(
            ["node", "driver.mjs"],
            cwd=folder,
            stdin=json.dumps({"url": url + "/openai/v1", "requests": requests}).encode(),
            capture_stdout=True,
        )
        return [Outcome(**outcome) for outcome in json.loads(told.stdout)]

    return drive_node


def _options(url: str, max_retries: int) -> dict[str, Any]:
    return {
        "base_url": url + "/openai/v1",
        "api_key": "unused",
        "max_retries": max_retries,
        "timeout": 10.0,
    }


def _described(error: openai.OpenAIError) -> Json:
    told = {name: getattr(error, name, None) for name in ("code", "param")}
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {**told, "status": getattr(error, "status_code", None), "kinds": kinds, "message": str(error)}
