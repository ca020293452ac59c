"""``--ws``, against a WebSocket server that plays scripts."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from client import main
from tests.client.scripted import (
    GOOD,
    InThread,
    cut_after,
    error_frame,
    http,
    interrupt,
    run_client,
    serving,
    until_shown,
)
from trio_gateway.core.sse import DONE, SSEDecoder
from trio_gateway.terminal import websocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Step: TypeAlias = "str | int | float | Callable[[], object] | None"
"""Text to send, a code to close with, seconds to wait for a message, something to do; None: drop the line."""


def frames(stream: bytes) -> list[str]:
    """The messages that say the same as *stream*."""
    events = SSEDecoder().feed(stream)
    datas = [json.dumps(DONE) if event.data == DONE else event.data for event in events]
    return [f'{{"event": "{e.event}", "data": {data}}}' for e, data in zip(events, datas, strict=True)]


HALF = frames(cut_after(GOOD, "The answer"))
CANCELLED = frames(error_frame("The request was cancelled.", "cancelled"))


class SocketServer(InThread):
    """Plays one script a connection (the last one again for any further), and keeps what it was told."""

    def __init__(self, scripts: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        self.paths: list[str] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.messages: list[Any] = []
        self.closed: list[int] = []
        self._scripts = list(scripts)

    async def listen(self, nursery: trio.Nursery, handlers: trio.Nursery) -> int:
        serve = functools.partial(serve_websocket, self._play, "127.0.0.1", 0, None, handler_nursery=handlers)
        server = await nursery.start(serve)
        return int(server.port)

    async def _play(self, request: WebSocketRequest) -> None:
        self.paths.append(request.path)
        self.headers.append(dict(request.headers))
        peer = await request.accept()
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        with contextlib.suppress(ConnectionClosed):  # the client may leave at any point
            self.messages.append(json.loads(await peer.get_message()))
            for step in script:
                await self._do(step, peer)
            await peer.get_message()
        if peer.closed is not None:
            self.closed.append(peer.closed.code)

    async def _do(self, step: Step, peer: WebSocketConnection) -> None:
        match step:
            case str():
                await peer.send_message(step)
            case float():
                with trio.move_on_after(step):
                    self.messages.append(json.loads(await peer.get_message()))
            case int():
                await peer.aclose(step)
            case None:
                await trio.aclose_forcefully(peer._stream)
            case _:
                step()


@contextlib.contextmanager
def playing(*scripts: Sequence[Step]) -> Iterator[SocketServer]:
    with SocketServer(scripts).running() as server:
        yield server


def test_an_answer_over_websocket_looks_like_any_other() -> None:
    with playing(frames(GOOD)) as server:
        done = run_client("--url", server.url, "--ws", "--prompt", "2+2?", "--key", "secret")
    assert (done.returncode, done.stdout) == (0, b"The answer is 4.\n")
    assert done.stderr.decode() == (
        '[Prompt Summary] Processing: "2+2?"...\n[Reasoning Summary] Adding 2 and 2...\n'
    )
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0][b"x-stream-format"] == b"phases"
    assert server.headers[0][b"authorization"] == b"Bearer secret"
    assert server.messages[0]["messages"] == [{"role": "user", "content": "2+2?"}]
    assert server.messages[0]["stream"] is True
    assert server.closed == [1000]


def test_the_url_may_have_a_path_and_a_user(typed: object) -> None:
    with serving([http("404 Not Found", b"")]) as server:
        url = server.url.replace("//", "//me:secret@") + "/gateway/"
        assert main(["--url", url, "--ws", "--prompt", "x"]) == 1
    assert server.heads[0].startswith("GET /gateway/v1/chat/completions ")
    assert f"\r\nhost: {server.url.removeprefix('http://')}\r\n" in server.heads[0].lower()


def test_raw_is_a_message_a_line(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with playing(frames(GOOD)) as server:
        assert main(["--url", server.url, "--ws", "--prompt", "x", "--raw"]) == 0
    assert capsys.readouterr() == ("\n".join([*frames(GOOD), ""]), "")


WRONG: dict[str, tuple[list[Step], str, str]] = {
    "error frame": ([*HALF, *frames(error_frame("reset", "upstream_closed"))], "The answer", "error: reset"),
    "restart": ([*HALF, 1012], "The answer", "1012 SERVICE_RESTART"),
    "flood": ([1008], "", "1008 POLICY_VIOLATION"),
    "closed as if done": ([*HALF, 1000], "The answer", "1000 NORMAL_CLOSURE"),
    "dropped": ([*HALF, None], "The answer", "1006 ABNORMAL_CLOSURE"),
    "a message too large": (["x" * 1_100_000], "", "1009 MESSAGE_TOO_BIG"),
    "not an envelope": (["{}"], "", "not an answer of the gateway"),
    "not JSON": (["nonsense"], "", "not an answer of the gateway"),
    "phases out of order": ([HALF[-1], HALF[0]], "The answer", "prompt_summary after final_output"),
}


@pytest.mark.parametrize(("script", "content", "complaint"), WRONG.values(), ids=WRONG)
def test_what_goes_wrong_ends_with_1(
    script: list[Step], content: str, complaint: str, typed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with playing(script) as server:
        assert main(["--url", server.url, "--ws", "--prompt", "x", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["content"] == content
    assert complaint in told.err
    assert len(told.err.splitlines()) == 1


REFUSED = {
    "a status and an error": (
        http("401 Unauthorized", {"error": {"message": "Wrong key.", "code": "invalid_api_key"}}),
        "error: Wrong key. (code invalid_api_key, status 401)",
    ),
    "a status alone": (
        b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nAllow: POST\r\n\r\n",
        "error: the server answered: Method Not Allowed (status 405)",
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "error: the gateway has gone silent"),
    "nothing": (b"", "error: the gateway has gone silent"),
}


@pytest.mark.parametrize(("answer", "complaint"), REFUSED.values(), ids=REFUSED)
def test_no_upgrade(
    answer: bytes,
    complaint: str,
    typed: object,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "CONNECT_TIMEOUT", 0.5)
    with serving([answer]) as server:
        assert main(["--url", server.url, "--ws", "--prompt", "x"]) == 1
    assert capsys.readouterr().err.startswith(complaint)


@pytest.mark.parametrize(
    ("ready", "complaint"), [(b"SSH-2.0-OpenSSH_9.6\r\n", "cannot reach 127.0.0.1:"), (b"", "gone silent")]
)
def test_tls_where_there_is_none(
    ready: bytes,
    complaint: str,
    typed: object,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "CONNECT_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listening = threading.Thread(target=greet, args=(listener, ready))
        listening.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert main(["--url", url, "--ws", "--prompt", "x"]) == 1
        listening.join(10)
    assert complaint in capsys.readouterr().err


def greet(listener: socket.socket, ready: bytes) -> None:
    """Say *ready* to one client, and wait until it has left."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(ConnectionResetError):
        connection.sendall(ready)
        while connection.recv(4096):
            pass


def test_nobody_there(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([b""]) as server:
        url = server.url
    assert main(["--url", url, "--ws", "--prompt", "x"]) == 1
    assert "./run serve starts it" in capsys.readouterr().err


def test_a_silent_line_is_asked_whether_it_lives(
    typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "STREAM_TIMEOUT", 0.1)
    with playing([0.5, *frames(GOOD)]) as server:  # thinks, and answers pings meanwhile
        assert main(["--url", server.url, "--ws", "--prompt", "x"]) == 0
    monkeypatch.setattr(websocket, "CONNECT_TIMEOUT", 0.8)  # it has to connect in that time, too
    monkeypatch.setattr(websocket, "PARTING_TIMEOUT", 0.1)
    with playing([lambda: time.sleep(2.0)]) as server:  # answers nothing at all
        assert main(["--url", server.url, "--ws", "--prompt", "x"]) == 1
    assert "the gateway has gone silent" in capsys.readouterr().err


def test_a_server_that_does_not_part_is_left(
    typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "PARTING_TIMEOUT", 0.1)
    with playing([*frames(GOOD), lambda: time.sleep(1)]) as server:
        assert main(["--url", server.url, "--ws", "--prompt", "x"]) == 0
    assert capsys.readouterr().out == "The answer is 4.\n"


def test_ctrl_c_cancels_at_the_gateway_and_keeps_the_session(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("and?\n")
    with playing(
        [*HALF, until_shown("The answer"), interrupt, 5.0, HALF[-1], *CANCELLED], frames(GOOD)
    ) as server:
        assert main(["--url", server.url, "--ws", "--interactive", "--prompt", "first"]) == 0
    first, cancel, second = server.messages
    assert cancel == {"type": "cancel"}
    assert [turn["content"] for turn in first["messages"]] == ["first"]
    assert [turn["role"] for turn in second["messages"]][-1] == "user"
    assert server.closed == [1000, 1000]
    told = capsys.readouterr()
    assert told.err.count("stopped by Ctrl-C") == 1
    assert "cancelled" not in told.err
    assert told.out.endswith("The answer is 4.\n")


@pytest.mark.parametrize("impatient", [False, True])
def test_a_cancel_that_is_not_confirmed_is_not_waited_for(
    impatient: bool, typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "PARTING_TIMEOUT", 30.0 if impatient else 0.2)
    again: list[Step] = [interrupt] if impatient else []
    began = time.monotonic()
    with playing([*HALF, until_shown("The answer"), interrupt, 5.0, *again]) as server:
        assert main(["--url", server.url, "--ws", "--prompt", "x"]) == 130
        assert time.monotonic() - began < 5
    assert server.messages[1:] == [{"type": "cancel"}]
    assert capsys.readouterr().err.count("stopped by Ctrl-C") == 1


def test_ctrl_c_while_it_connects(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([interrupt, 20.0]) as server:
        assert main(["--url", server.url, "--ws", "--prompt", "x"]) == 130
        assert server.left.wait(5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("way", [["--prompt", "x"], ["--interactive"]])
def test_without_the_library_one_line_says_what_to_do(
    way: list[str], typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["--ws", *way]) == 2
    assert capsys.readouterr() == (
        "",
        "error: --ws needs trio-websocket: python -m pip install trio-websocket\n",
    )
