"""Standard input: reads lines and blocks of a conversation, or piped text.

It knows where a prompt is to be printed, and nothing of what the text means.
"""

from __future__ import annotations

import contextlib
import select
import sys
from typing import TYPE_CHECKING

try:
    import termios
except ImportError:  # not a Unix
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["echo_off", "piped_text", "read_block", "read_line"]


def read_line(prompt: str) -> str:
    """A line of stdin. The prompt goes to stderr, except on a terminal: line editing must know of it."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return input(prompt)
    print(prompt, end="", file=sys.stderr, flush=True)
    return input()


def read_block(first: str) -> str:
    lines = [first.removeprefix('"""')]
    while not lines[-1].endswith('"""'):
        lines.append(read_line("... ").rstrip())
    return "\n".join(lines).removesuffix('"""').strip("\n")


@contextlib.contextmanager
def echo_off() -> Iterator[None]:
    """Keys pressed in this context are not shown where they would stand in an answer; they are not lost."""
    if termios is None or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def piped_text(timeout: float | None) -> str:
    """What is piped in. It must begin or end within *timeout* seconds, if any, else it is left alone."""
    if sys.stdin.isatty():
        return ""
    if timeout is not None and not select.select([sys.stdin], [], [], timeout)[0]:
        return ""
    return sys.stdin.read().strip("\n")
