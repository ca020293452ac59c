"""Servers under load: start on their core, answer, and are ended."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.streams.processes import start, stop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["CHAT", "Launch", "NotStartedError", "Server", "free_port", "health_answered", "launched"]

CHAT: Final = "/v1/chat/completions"
_START_SECONDS: Final = 90.0
"""Longest time until a server answers; LiteLLM takes a dozen seconds where little else runs."""
_POLL: Final = 0.005
_LAST_LINES: Final = 2000
"""Bytes of a log that are shown when its server does not start."""


class NotStartedError(Exception):
    """A server ended, or did not answer in time; the text ends with its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers chat requests."""

    name: str
    port: int
    pid: int
    headers: Sequence[str] = ()
    path: str = CHAT

    @property
    def options(self) -> list[str]:
        """The load generator's options that make it ask this server."""
        return [f"--path={self.path}", *(f"--header={header}" for header in self.headers)]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started."""

    name: str
    command: Sequence[str]
    port: int
    headers: Sequence[str] = ()
    environ: Mapping[str, str] | None = None
    """Its environment; None: that of this process."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def launched(launch: Launch, core: int, folder: Path) -> Iterator[Server]:
    """The server of *launch*, ready: it has answered a chat request. Its log is in *folder*.

    Raises :exc:`NotStartedError`.
    """
    server_log = folder / f"{launch.name}.log"
    with server_log.open("wb") as log:
        process = start(launch.command, core, log.fileno(), launch.environ)
    try:
        server = Server(launch.name, launch.port, process.pid, launch.headers)
        end = time.monotonic() + _START_SECONDS
        while not _answers(server):
            if process.poll() is not None or time.monotonic() > end:
                last = server_log.read_bytes()[-_LAST_LINES:].decode("utf-8", "replace")
                raise NotStartedError(f"{launch.name} did not start:\n{last}")
            time.sleep(_POLL)
        yield server
    finally:
        stop(process)


def _answers(server: Server) -> bool:
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "bench:tokens=1;"}]}
    headers = dict(header.split(": ", 1) for header in server.headers)
    headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", server.path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status == 200 and b"#000000;" in response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def health_answered(process: subprocess.Popen[bytes], port: int, path: str) -> float:
    """Wait until a GET of *path* is answered by status 200; the instant, of the monotonic clock."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.monotonic()
        except (OSError, http.client.HTTPException):
            time.sleep(_POLL)
        finally:
            connection.close()
    raise NotStartedError(f"{path} was not answered")
