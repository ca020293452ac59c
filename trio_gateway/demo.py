"""The command ``trio-gateway demo``: mock model, gateway, one question, and what to do next."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["main"]

TRACE: Final = Path(__file__).parent / "mock" / "demo.jsonl"
"""The recorded answer that is replayed, one JSON object."""
PROMPT: Final = (
    "A train leaves at 9:40 and arrives at 13:15, with a stop of 20 minutes. How long does it move?"
)

# Seconds the two servers get to start; it takes one of them a second on a slow machine.
_PATIENCE: Final = 20.0
_PAUSE: Final = 0.05
_HOST: Final = "127.0.0.1"
# Variables that would make the gateway another one than the demo's.
_FOREIGN: Final = ("GATEWAY_CONFIG", "GATEWAY_API_KEYS_FILE", "UPSTREAM_API_KEY", "UPSTREAM_API_KEY_FILE")
_MODEL: Final = ("UPSTREAM_MODEL", "LOG_LEVEL")

_NEXT: Final = """
That was the mock model. Next:
  UPSTREAM_URL=http://localhost:8000 {run} serve    in front of your own model
  {run} chat                                        ask it, here; or open http://localhost:8080/"""


class _DemoError(Exception):
    """The demo cannot run; the message is one line, with the remedy."""


def main(argv: Sequence[str] | None = None, *, prog: str = "trio-gateway demo") -> int:
    """Run the demo. Exit code: the terminal client's; 1 as well where a server does not start."""
    parser = argparse.ArgumentParser(prog, description="Ask the mock model one question through the gateway.")
    parser.parse_args(argv)
    try:
        return _demo()
    except _DemoError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _demo() -> int:
    from .terminal.command_line import main as chat

    port, mock_port = _free_port("PORT", 8080), _free_port("MOCK_PORT", 9000)
    clean = {name: value for name, value in os.environ.items() if name not in (*_FOREIGN, *_MODEL)}
    own = {"HOST": _HOST, "PORT": str(port), "MOCK_PORT": str(mock_port), "LOG_FORMAT": "json"}
    environ = {**clean, **own, "UPSTREAM_URL": f"http://{_HOST}:{mock_port}"}
    with ExitStack() as servers:
        mock = ("mock", "--traces", str(TRACE), "--tokens-per-second", "60")
        servers.enter_context(_serving(mock, mock_port, environ))
        servers.enter_context(_serving(("serve",), port, environ))
        code = chat(["--url", f"http://{_HOST}:{port}", "--model", "trace-0", "--prompt", PROMPT])
    if code == 0:
        run = "./run" if os.environ.get("RUN_BY_SCRIPT") else "trio-gateway"
        print(_NEXT.format(run=run), file=sys.stderr)
    return code


def _free_port(variable: str, usual: int) -> int:
    text = os.environ.get(variable) or str(usual)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise _DemoError(f"{variable}={text}: write a port from 1 to 65535")
    port = int(text)
    if _listens(port):
        raise _DemoError(f"port {port} is busy; choose another one: {variable}={port % 65535 + 1}")
    return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((_HOST, port)) == 0


@contextmanager
def _serving(words: Sequence[str], port: int, environ: Mapping[str, str]) -> Iterator[None]:
    """Run one command of the package while it is needed; it listens on *port*."""
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "trio_gateway", *words]
        process = subprocess.Popen(command, env=dict(environ), stdout=log, stderr=log)  # noqa: S603
        try:
            until = time.monotonic() + _PATIENCE
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    output = log.read().decode(errors="replace").strip()
                    raise _DemoError(f"{words[0]} did not start: {output or 'it says nothing'}")
                time.sleep(_PAUSE)
            yield
        finally:
            process.terminate()
            process.wait()
