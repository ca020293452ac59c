"""A server that plays a script, and the client as a process: what the client's tests share."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeAlias

import trio

import client
from trio_gateway.core.client_api import ChunkHead, PhasesEncoder, sse
from trio_gateway.core.events import Done, Event, Finish, OutputDelta, PromptSummary, ReasoningLine, Usage
from trio_gateway.core.phases import Phase
from trio_gateway.core.sse import SSEEvent

CLIENT = str(Path(client.__file__))
HEAD = ChunkHead(id="chatcmpl-1", created=1_700_000_000, model="default")
PROMPT, REASONING, FINAL = Phase

Part: TypeAlias = bytes | float | Callable[[], object]
"""A step of a script: bytes to send, seconds to wait for the client to leave, or something to do."""


def encoded(*events: Event) -> bytes:
    """*events* as the gateway writes them."""
    encoder = PhasesEncoder(HEAD, request_id="req-1", include_usage=True)
    return sse(encoder.encode(events))


def answer_bytes(*words: str, reasoning: Sequence[str] = ("Adding 2 and 2...",)) -> bytes:
    summary, lines = PromptSummary('Processing: "2+2?"...'), [ReasoningLine(line) for line in reasoning]
    deltas = [OutputDelta(0, word) for word in words]
    return encoded(summary, *lines, *deltas, Finish(0, "stop"), Usage({"completion_tokens": 7}), Done())


def cut_after(body: bytes, text: str) -> bytes:
    """*body* up to and with the event that holds *text*."""
    end = body.index(b"\n\n", body.index(text.encode()))
    return body[: end + 2]


GOOD = answer_bytes("The answer", " is 4.")
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def http(status: str, body: object, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + content


def error_frame(message: str, code: str) -> bytes:
    error = {"message": message, "type": "upstream_error", "param": None, "code": code}
    told = {"status": 502, "phase": "final_output", "request_id": "req-1"}
    choices = [{"index": 0, "delta": {}, "finish_reason": "error"}]
    return sse([("error", json.dumps({"error": error | told, "choices": choices})), ("message", "[DONE]")])


class InThread(ABC):
    """A server in a thread and a loop of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._started = threading.Event()

    @abstractmethod
    async def listen(self, nursery: trio.Nursery, handlers: trio.Nursery) -> int:
        """Listen in *nursery*, on a port that is given back; serve connections in *handlers*."""

    async def _serve(self) -> None:
        self._token, self._over = trio.lowlevel.current_trio_token(), trio.Event()
        async with trio.open_nursery() as handlers:
            async with trio.open_nursery() as nursery:
                self.url = f"http://127.0.0.1:{await self.listen(nursery, handlers)}"
                self._started.set()
                await self._over.wait()
                nursery.cancel_scope.cancel()
            # The client has left: what is still on its way from it is for the handlers to note.
            handlers.cancel_scope.deadline = trio.current_time() + 5

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=trio.run, args=(self._serve,))
        thread.start()
        assert self._started.wait(10)
        try:
            yield self
        finally:
            self._token.run_sync_soon(self._over.set)
            thread.join(10)


class Server(InThread):
    """Plays one script a connection (the last one again for any further), and keeps what was asked."""

    def __init__(self, scripts: Sequence[Sequence[Part]]) -> None:
        super().__init__()
        self.heads: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.left = threading.Event()
        self._scripts = list(scripts)

    async def listen(self, nursery: trio.Nursery, handlers: trio.Nursery) -> int:
        serve = functools.partial(trio.serve_tcp, self._play, 0, host="127.0.0.1", handler_nursery=handlers)
        listeners = await nursery.start(serve)
        return int(listeners[0].socket.getsockname()[1])

    async def _play(self, stream: trio.SocketStream) -> None:
        received = b""
        async for chunk in stream:
            received += chunk
            head, end, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if end and len(body) >= int(length[1] if length else 0):
                break
        else:
            return  # the client left first
        self.heads.append(head.decode())
        self.bodies.append(json.loads(body) if body else {})
        with contextlib.suppress(trio.BrokenResourceError):  # the client may leave at any point
            await self._follow(self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0], stream)

    async def _follow(self, script: Sequence[Part], stream: trio.SocketStream) -> None:
        for part in script:
            if isinstance(part, bytes):
                await stream.send_all(part)
            elif callable(part):
                part()
            else:
                with trio.move_on_after(part) as waiting, contextlib.suppress(trio.BrokenResourceError):
                    await stream.receive_some()
                if not waiting.cancelled_caught:
                    self.left.set()
        await stream.aclose()


@contextlib.contextmanager
def serving(*scripts: Sequence[Part]) -> Iterator[Server]:
    with Server(scripts).running() as server:
        yield server


@contextlib.contextmanager
def streaming(body: bytes) -> Iterator[Server]:
    with serving([OK_HEAD, body]) as server:
        yield server


CLEARED = {
    "PORT",
    "NO_COLOR",
    "FORCE_COLOR",
    "GATEWAY_URL",
    "GATEWAY_API_KEY",
    "http_proxy",
    "HTTP_PROXY",
    "ALL_PROXY",
    "PYTHONUNBUFFERED",
}


def child_env(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
    return kept | {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error", "TERM": "dumb"} | more


def run_client(*args: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    """The command, as a process of its own, in development mode with warnings as errors."""
    command, options = [sys.executable, CLIENT, *args], {"capture_stdout": True, "capture_stderr": True}
    process = functools.partial(trio.run_process, command, check=False, env=child_env(**env), **options)
    return trio.run(functools.partial(process, stdin=stdin))


def start_client(*args: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """The command as a process to talk with while it runs."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, CLIENT, *args], env=child_env(), stdin=stdin, stdout=pipe, stderr=pipe, bufsize=0
    )


def read(pipe: IO[bytes] | None, size: int = -1) -> bytes:
    assert pipe is not None
    return pipe.read(size)


def chunk(text: str, phase: str | None) -> SSEEvent:
    told = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return SSEEvent("message", json.dumps(told | ({"phase": phase} if phase else {})))


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def until_shown(text: str) -> Callable[[], None]:
    """A step that waits for *text* on stdout, as capsys has it when this is called."""
    stdout: Any = sys.stdout

    def wait() -> None:
        end = time.monotonic() + 20
        while text not in stdout.getvalue() and time.monotonic() < end:
            time.sleep(0.01)

    return wait
