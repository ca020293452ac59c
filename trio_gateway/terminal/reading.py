"""Standard input: reads lines and blocks of a conversation, or piped text.

It knows where a prompt is to be printed, and nothing of what the text means.
"""

from __future__ import annotations

import select
import sys

__all__ = ["piped_text", "read_block", "read_line"]


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


def piped_text(timeout: float | None) -> str:
    """What is piped in. It must begin or end within *timeout* seconds, if any, else it is left alone."""
    if sys.stdin.isatty():
        return ""
    if timeout is not None and not select.select([sys.stdin], [], [], timeout)[0]:
        return ""
    return sys.stdin.read().strip("\n")
