"""The client on a terminal of its own."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import termios
from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

from tests.client.scripted import CLIENT, child_env

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


UP, CTRL_C, CTRL_D = "\x1b[A", "\x03", "\x04"
ON_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


XTERM = {"TERM": "xterm"}


class Terminal:
    """What a person at the keyboard does and sees."""

    def __init__(self, fd: int, process: subprocess.Popen[bytes]) -> None:
        self._fd, self._process = fd, process
        self._waits = ""  # what was seen since what was last expected
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def expect(self, text: str) -> str:
        """Read on until *text*; everything up to it."""
        while text not in self._waits:
            assert await self._read(), f"{text!r} did not come before the end: {self._waits!r}"
        before, _, self._waits = self._waits.partition(text)
        return before + text

    async def insist(self, key: str, text: str) -> str:
        """Press *key* until *text* comes: readline misses a Ctrl-C that comes just before it waits."""
        for _ in range(20):
            self.type(key)
            with trio.move_on_after(1):
                return await self.expect(text)
        raise AssertionError(f"no answer to {key!r} after {self._waits!r}")

    async def end(self) -> tuple[str, int]:
        """What it says up to its end, and its exit code."""
        while await self._read():
            pass
        return self._waits, self._process.wait(20)

    async def _read(self) -> str:
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(self._fd)
        try:
            more = os.read(self._fd, 65536).decode(errors="replace")
        except OSError:  # how Linux says that the other side of a terminal is closed
            return ""
        self.seen += more
        self._waits += more
        return more


@contextlib.contextmanager
def terminal(
    *args: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Terminal]:
    """The client on a pseudo-terminal of its own, as its controlling terminal."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (rows, columns))
    command = [sys.executable, "-c", ON_TERMINAL, CLIENT, *args]
    with subprocess.Popen(command, stdin=child, env=child_env(**env)) as process:
        os.close(child)
        try:
            yield Terminal(parent, process)
        finally:
            process.kill()  # it has ended, unless the test has failed
            os.close(parent)
