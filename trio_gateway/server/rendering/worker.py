"""Worker process of the renderer: reads texts, and writes their blocks.

A process, not a thread: the regular expressions of highlighters and of Markdown hold the interpreter's lock
while they match, some for seconds, and a thread cannot be ended. Its parent ends this one at a deadline. It
has no connections and none of the gateway's environment.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Final

from .markdown import render

__all__ = ["main"]

_IDLE: Final = 300
"""Seconds without a text after which the process ends; the next text starts another one."""
_MEMORY: Final = 1024 * 1024 * 1024
"""Bytes of address space."""


def main() -> None:
    """Render until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the gateway
    while True:
        signal.alarm(_IDLE)
        line = sys.stdin.buffer.readline()
        if not line:
            return
        blocks = render(json.loads(line))
        answer = json.dumps({"blocks": blocks}, separators=(",", ":"))
        sys.stdout.buffer.write(answer.encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
