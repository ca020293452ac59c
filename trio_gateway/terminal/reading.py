"""Standard input: reads lines and blocks of a conversation, or piped text.

It knows where a prompt is to be printed, and nothing of what the text means.
"""

from __future__ import annotations

import contextlib
import select
import sys
from typing import TYPE_CHECKING, Final

try:
    import termios
except ImportError:  # not a Unix
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["echo_off", "piped_text", "read_block", "read_line", "read_message"]

# Seconds within which the next line of a pasted text comes, over a slow line too; nobody types as fast.
_PASTE: Final = 0.05


def read_line(prompt: str) -> str:
    """A line of stdin. The prompt goes to stderr, except on a terminal: line editing must know of it."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return input(prompt)
    print(prompt, end="", file=sys.stderr, flush=True)
    return input()


def read_message(prompt: str, *, joins: bool) -> str:
    """A line of stdin; with *joins*, all lines of a pasted text, where line editing does not join them."""
    lines = [read_line(prompt)]
    while joins and _more_waits():
        lines.append(read_line("... "))
    return "\n".join(lines)


def _more_waits() -> bool:
    """Whether more of a pasted text has come already."""
    before = termios.tcgetattr(sys.stdin)
    # Line by line, a last line that has no end yet would not show.
    at_once = [*before[:3], before[3] & ~termios.ICANON, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSANOW, at_once)
    try:
        return bool(select.select([sys.stdin], [], [], _PASTE)[0])
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


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
