"""Running programs: starts the gateway as a process and reads what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


ROOT = Path(__file__).parent.parent


OWN = [sys.executable, "-m", "trio_gateway"]


HYPERCORN = [sys.executable, "-m", "hypercorn", "-k", "trio", "trio_gateway:app"]


# The line that says where a gateway listens: its own, or hypercorn's.
_LISTENS = (
    r'^(?=.*(?:"event": "listening"|event=listening|mock model listening|CTRL)).*?(http://127\.0\.0\.1:\d+)'
)


class Process:
    """A gateway process; its log lines are in ``log`` as they come."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self.url = ""

    async def follow(self, pattern: str, *, task_status: trio.TaskStatus[str]) -> None:
        pending, found = b"", False
        assert self.process.stderr is not None
        async for data in self.process.stderr:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self.log.append(line.decode())
                if not found and (match := re.search(pattern, self.log[-1])):
                    found = True
                    task_status.started(match[1])

    async def stop(self, number: int = signal.SIGTERM, *, within: float = 5) -> int:
        self.process.send_signal(number)
        with trio.fail_after(within):
            return await self.process.wait()


@asynccontextmanager
async def running(command: list[str], **environ: str) -> AsyncIterator[Process]:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    async with trio.open_nursery() as nursery:
        process = Process(
            await trio.lowlevel.open_process(
                command, stderr=subprocess.PIPE, cwd=ROOT, env={**clean, "PORT": "0", **environ}
            )
        )
        try:
            with trio.fail_after(20):
                process.url = await nursery.start(process.follow, _LISTENS)
            yield process
        finally:
            process.process.kill()
            with trio.CancelScope(shield=True):
                await process.process.wait()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def streaming(url: str, body: dict[str, object]) -> AsyncIterator[httpx.Response]:
    """The answer to *body* while it streams."""
    async with (
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        yield response


def run(command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, cwd=ROOT, env={**clean, **environ}, check=False
    )
