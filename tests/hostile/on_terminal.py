"""The terminal client on a pseudo-terminal, and what is shown there, styling of its own apart."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from tests.client.scripted import CLIENT, child_env

# Colours, rows that are drawn anew, automatic wrap, and readline's switch for pasted text.
_OWN_SEQUENCES = re.compile(r"\x1b\[(?:[\d;]*m|\d+F|G|J|\?7[hl]|\?2004[hl])")


def shown_on_terminal(*args: str, typed: str = "", term: str = "xterm-256color") -> str:
    """What the client writes to a terminal, without the client's own sequences and a terminal's CR LF."""
    parent, child = pty.openpty()
    command = [sys.executable, CLIENT, *args]
    environ = child_env(TERM=term)
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environ) as process:
        os.close(child)
        os.write(parent, typed.encode())
        written = b"".join(iter(lambda: _read(parent), b""))
        process.wait(20)
    os.close(parent)
    return _OWN_SEQUENCES.sub("", written.decode("utf-8", "replace")).replace("\r\n", "\n")


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # how Linux reports that the other side of a terminal is closed
        return b""
