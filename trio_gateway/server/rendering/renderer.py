"""Renderer: passes texts to its worker processes, and ends slow ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from ...core.errors import RequestError, error_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["Renderer"]

_DEADLINE: Final = 1.0
"""Seconds for one text."""
_START: Final = 5.0
"""Seconds for the process to start, on a busy machine."""
_NO_TEXT: Final = b'""\n'
_WORKERS: Final = 2
"""Processes at most: one client occupies one of them."""
_AT_ONCE: Final = 8
"""Texts of one client that wait or are rendered at a time."""
_WAITING: Final = 64
"""The same of all clients."""
_MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of one rendered text."""
_READ: Final = 64 * 1024

_BUSY: Final = error_for("overloaded", "Other texts are being rendered: try again.", retry_after=1.0)
_TOO_MANY: Final = error_for(
    "rate_limit_exceeded",
    f"More than {_AT_ONCE} texts of yours are being rendered: try again.",
    retry_after=1.0,
)
# Longer than the page waits for a place: the text is as slow the next time, unless the machine was busy.
_TOO_SLOW: Final = error_for(
    "overloaded",
    f"The text could not be rendered within {_DEADLINE:g} s: show it as it stands.",
    retry_after=10.0,
)


class Renderer:
    """Renders Markdown outside this process, a text of each client at a time.

    A client's own texts wait for each other first. So in the line for a worker each client stands with one
    text, and while one client's texts are slow, there is another worker for all others.
    """

    def __init__(self) -> None:
        self._places = trio.Semaphore(_WORKERS)
        self._workers = tuple(_Worker() for _ in range(_WORKERS))
        self._idle = list(self._workers)
        self._of: Counter[str | None] = Counter()
        self._turns: dict[str, trio.StrictFIFOLock] = {}

    async def render(self, text: str, owner: str | None) -> bytes:
        """The JSON object with the blocks of *text*; *owner*: whose request it is, None where nothing says.

        Raises:
            RequestError: 429 or 503, there are too many at once, or it took too long.
        """
        line = json.dumps(text).encode() + b"\n"
        with self._counted(owner):
            async with self._turn(owner), self._places:
                worker = self._idle.pop()  # the last that was used: the others may end
                try:
                    # Shielded, as an answer that nobody reads would be taken for that of the next text.
                    with trio.CancelScope(shield=True):
                        answer = await worker.ask(line)
                finally:
                    self._idle.append(worker)
        if answer is None:
            raise RequestError(_TOO_SLOW)
        return answer

    async def aclose(self) -> None:
        """End the processes; the next text would start another one."""
        for worker in self._workers:
            await worker.aclose()

    def _turn(self, owner: str | None) -> AbstractAsyncContextManager[object]:
        return nullcontext() if owner is None else self._turns.setdefault(owner, trio.StrictFIFOLock())

    @contextmanager
    def _counted(self, owner: str | None) -> Iterator[None]:
        if self._of.total() >= _WAITING:
            raise RequestError(_BUSY)
        if self._of[owner] >= _AT_ONCE:
            raise RequestError(_TOO_MANY)
        self._of[owner] += 1
        try:
            yield
        finally:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]
                if owner is not None:
                    self._turns.pop(owner, None)


class _Worker:
    """One worker process, which starts with its first text."""

    def __init__(self) -> None:
        self._process: trio.Process | None = None

    async def ask(self, line: bytes) -> bytes | None:
        """What the process answers; None where it does not, and has been ended."""
        if self._process is not None and self._process.poll() is not None:  # it was idle for long
            await self.aclose()
        try:
            if self._process is None:  # the start has time of its own, so that a first text gets no more
                with trio.fail_after(_START):
                    self._process = await _start()
                    await _exchange(self._process, _NO_TEXT)
            with trio.fail_after(_DEADLINE):
                answer = await _exchange(self._process, line)
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            answer = b""
        if answer.endswith(b"\n"):
            return answer
        await self.aclose()
        return None

    async def aclose(self) -> None:
        """End the process; the next text starts another one."""
        process, self._process = self._process, None
        if process is not None:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        await trio.aclose_forcefully(pipe)


async def _exchange(process: trio.Process, line: bytes) -> bytes:
    assert process.stdin is not None  # noqa: S101  # both are pipes, as it was started
    assert process.stdout is not None  # noqa: S101
    await process.stdin.send_all(line)
    answer = bytearray()
    while not answer.endswith(b"\n") and len(answer) < _MAX_ANSWER:
        part = await process.stdout.receive_some(_READ)
        if not part:
            break
        answer += part
    return bytes(answer)


async def _start() -> trio.Process:
    package = __package__ or ""
    root = str(Path(__file__).parents[len(package.split("."))])
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", f"{package}.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a traceback would hold the text
        # Keys stay here. The search path goes with it, as this package need not be installed.
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])},
    )
