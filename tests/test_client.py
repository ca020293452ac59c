"""The terminal client against a scripted server: what is shown where, and how the command ends."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import client
from client import Answer, Piece, ProtocolError, main
from trio_gateway.core.encoder import ChunkHead, PhasesEncoder, sse
from trio_gateway.core.events import Done, Event, Finish, OutputDelta, PromptSummary, ReasoningLine, Usage
from trio_gateway.core.phases import Phase
from trio_gateway.core.sse import SSEDecoder, SSEEvent

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


class Server:
    """Plays one script a connection (the last one again for any further), and keeps what was asked."""

    def __init__(self, scripts: Sequence[Sequence[Part]]) -> None:
        self.url = ""
        self.heads: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.left = threading.Event()
        self._scripts = list(scripts)
        self._started = threading.Event()

    async def serve(self) -> None:
        self._token, self._scope = trio.lowlevel.current_trio_token(), trio.CancelScope()
        with self._scope:
            async with trio.open_nursery() as nursery:
                listeners = await nursery.start(
                    functools.partial(trio.serve_tcp, self._play, 0, host="127.0.0.1")
                )
                self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
                self._started.set()

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
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=trio.run, args=(self.serve,))
        thread.start()
        assert self._started.wait(10)
        try:
            yield self
        finally:
            self._token.run_sync_soon(self._scope.cancel)
            thread.join(10)


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


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """What is on stdin; nothing unless called."""
    with contextlib.ExitStack() as files:

        def put(text: str) -> None:
            path = tmp_path / "stdin"
            path.write_text(text, encoding="utf-8")
            monkeypatch.setattr(sys, "stdin", files.enter_context(path.open(encoding="utf-8")))

        put("")
        yield put


# --- Answer


def feed(answer: Answer, data: bytes) -> list[Piece]:
    pieces = [answer.feed(event) for event in SSEDecoder().feed(data)]
    return [piece for piece in pieces if piece is not None]


def test_an_answer_is_read_by_phase() -> None:
    answer = Answer()
    pieces = feed(answer, GOOD)
    assert [(piece.phase, piece.text) for piece in pieces if piece.text] == [
        (PROMPT, '[Prompt Summary] Processing: "2+2?"...'),
        (PROMPT, "\n\n"),
        (REASONING, "[Reasoning Summary] Adding 2 and 2..."),
        (REASONING, "\n\n"),
        (FINAL, "The answer"),
        (FINAL, " is 4."),
    ]
    assert [piece.phase for piece in pieces if piece.opens] == list(Phase)
    assert answer.done
    assert answer.exit_code == 0
    assert answer.as_dict() == {
        "prompt_summary": 'Processing: "2+2?"...',
        "reasoning_summary": "Adding 2 and 2...",
        "content": "The answer is 4.",
        "finish_reason": "stop",
        "usage": {"completion_tokens": 7},
        "error": None,
    }


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1), st.data())
def test_any_cutting_gives_the_content_exactly(words: list[str], data: st.DataObject) -> None:
    body = answer_bytes(*words)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=6)))
    answer, decoder = Answer(), SSEDecoder()
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        for event in decoder.feed(body[start:end]):
            answer.feed(event)
    assert (answer.content, answer.done, answer.error) == ("".join(words), True, None)


def chunk(text: str, phase: str | None) -> SSEEvent:
    told = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return SSEEvent("message", json.dumps(told | ({"phase": phase} if phase else {})))


def opening(phase: str) -> SSEEvent:
    return SSEEvent("phase", json.dumps({"phase": phase}))


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([opening("final_output"), opening("prompt_summary")], "prompt_summary after final_output"),
        ([opening("final_output"), chunk("x", "reasoning_summary")], "reasoning_summary after final_output"),
        ([opening("prompt_summary"), opening("prompt_summary")], "came twice"),
        ([opening("epilogue")], "not an answer of the gateway"),
        ([chunk("x", None)], "outside of a phase"),
        ([SSEEvent("message", "{")], "not an answer of the gateway"),
        ([SSEEvent("message", '{"x": ' + "[" * 200_000)], "not an answer of the gateway"),
        ([SSEEvent("message", '{"choices": [{"delta": {"content": 5}}]}')], "not an answer of the gateway"),
    ],
)
def test_what_the_format_does_not_allow(events: list[SSEEvent], complaint: str) -> None:
    answer = Answer()
    for event in events[:-1]:
        answer.feed(event)
    with pytest.raises(ProtocolError, match=complaint):
        answer.feed(events[-1])


def test_a_refusal_is_shown_as_the_answer() -> None:
    answer = Answer()
    told = {"choices": [{"delta": {"content": None, "refusal": "I will not."}}], "phase": "final_output"}
    answer.feed(SSEEvent("message", json.dumps(told)))
    assert answer.content == "I will not."


def test_the_first_error_stands() -> None:
    answer = Answer()
    answer.feed(SSEEvent("error", '{"error": {"message": "gone", "code": "upstream_closed"}}'))
    answer.fail("truncated", "the stream ended")
    assert answer.error == {"message": "gone", "code": "upstream_closed"}
    assert answer.exit_code == 1


# --- One prompt, as a process


def test_the_answer_alone_goes_to_stdout() -> None:
    with streaming(GOOD) as server:
        done = run_client("--url", server.url, "--prompt", "2+2?", stdin=b"")
    assert done.returncode == 0
    assert done.stdout == b"The answer is 4.\n"
    assert done.stderr.decode() == (
        '[Prompt Summary] Processing: "2+2?"...\n[Reasoning Summary] Adding 2 and 2...\n'
    )
    assert server.heads[0].startswith("POST /v1/chat/completions ")
    assert "\r\nX-Stream-Format: phases\r\n" in server.heads[0]
    assert server.bodies[0] == {
        "model": "default",
        "messages": [{"role": "user", "content": "2+2?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_answer_is_shown_as_it_comes() -> None:
    seen, first = threading.Event(), cut_after(GOOD, "The answer")
    with (
        serving([OK_HEAD, first, lambda: seen.wait(20), GOOD[len(first) :]]) as server,
        start_client("--url", server.url, "--prompt", "2+2?") as process,
    ):
        assert read(process.stdout, 100) == b"The answer"
        seen.set()
        assert process.communicate(timeout=20)[0] == b" is 4.\n"
    assert process.returncode == 0


def test_a_gateway_that_is_not_there() -> None:
    with serving([b""]) as server:
        url = server.url
    done = run_client("--url", url, "--prompt", "hi")
    assert (done.returncode, done.stdout) == (1, b"")
    told = done.stderr.decode()
    assert re.fullmatch(r"error: cannot reach 127\.0\.0\.1:\d+; .*\./run serve.*\n", told)


def test_ctrl_c_closes_the_connection_and_ends_with_130() -> None:
    with (
        serving([OK_HEAD, cut_after(GOOD, "The answer"), 20.0]) as server,
        start_client("--url", server.url, "--prompt", "2+2?") as process,
    ):
        assert read(process.stdout, 100) == b"The answer"
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=20)
        assert server.left.wait(5)
    assert (process.returncode, rest) == (130, b"\n")
    assert b"stopped by Ctrl-C" in told
    assert b"Traceback" not in told


def test_ctrl_c_while_the_prompt_is_piped_in_ends_with_130() -> None:
    with start_client(stdin=subprocess.PIPE) as process:
        time.sleep(2)  # it says nothing by which to see that it reads
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130


def test_whoever_reads_stdout_may_leave() -> None:
    words = ["word\n"] * 20_000
    with (
        streaming(answer_bytes(*words)) as server,
        start_client("--url", server.url, "--prompt", "2+2?") as process,
    ):
        assert read(process.stdout, 5) == b"word\n"
        assert process.stdout is not None
        process.stdout.close()
        assert b"Traceback" not in read(process.stderr)
    assert process.returncode == 1


def test_piped_text_is_joined_to_the_prompt() -> None:
    with streaming(GOOD) as server:
        assert run_client("--url", server.url, "--prompt", "Explain:", stdin=b"x = 1\n").returncode == 0
        assert (
            run_client(
                "--url", server.url, stdin="naïve \udcff?".encode("utf-8", "surrogateescape")
            ).returncode
            == 0
        )
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert asked == ["Explain:\n\nx = 1", "naïve \ufffd?"]


def test_an_idle_stdin_does_not_hold_up_a_prompt() -> None:
    with (
        streaming(GOOD) as server,
        start_client("--url", server.url, "--prompt", "2+2?", stdin=subprocess.PIPE) as process,
    ):
        assert process.wait(20) == 0
        assert read(process.stdout) == b"The answer is 4.\n"
    assert server.bodies[0]["messages"][-1]["content"] == "2+2?"


def test_a_closed_stdin_is_an_empty_one() -> None:
    with streaming(GOOD) as server:
        command = [
            "sh",
            "-c",
            'exec "$@" <&-',
            "sh",
            sys.executable,
            CLIENT,
            "--url",
            server.url,
            "--prompt",
            "2+2?",
        ]
        done = subprocess.run(command, env=child_env(), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, b"The answer is 4.\n")


# --- One prompt, in this process


def test_json_is_all_there_is_on_stdout(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--prompt", "2+2?", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["content"] == "The answer is 4."
    assert list(json.loads(told.out)) == [
        "prompt_summary", "reasoning_summary", "content", "finish_reason", "usage", "error"
    ]  # fmt: skip
    assert told.err == ""


def test_raw_is_what_was_received(typed: object, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    body = b": ping\r\n\r\n" + GOOD.replace(b"\n", b"\r\n")
    with streaming(body) as server:
        assert main(["--url", server.url, "--prompt", "2+2?", "--raw"]) == 0
    assert capsysbinary.readouterr() == (body, b"")


def test_a_prompt_that_is_not_text_is_sent_all_the_same(typed: object) -> None:
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--prompt", "a\udcffb"]) == 0
    assert server.bodies[0]["messages"][-1]["content"] == "a?b"


def test_hide_reasoning(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--prompt", "2+2?", "-R"]) == 0
    assert capsys.readouterr() == ("The answer is 4.\n", '[Prompt Summary] Processing: "2+2?"...\n')


def test_summaries_are_shown_without_blank_lines(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming(answer_bytes("4", reasoning=["One.", "\n\nTwo. ", "Three."])) as server:
        assert main(["--url", server.url, "--prompt", "2+2?"]) == 0
    shown = capsys.readouterr().err.splitlines()
    assert shown[1:] == ["[Reasoning Summary] One.", "Two.", "Three."]


def test_a_summary_may_come_in_any_pieces(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    pieces = ["One", " and ", "a half. \n", "\n", "Two.", "\n\n"]
    told = [("message", chunk(piece, "reasoning_summary").data) for piece in pieces]
    with streaming(sse([*told, ("message", "[DONE]")])) as server:
        assert main(["--url", server.url, "--prompt", "2+2?"]) == 0
    assert capsys.readouterr().err == "One and a half.\nTwo.\n"


def test_summaries_are_text_not_markup(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    line = "[bold]x[/bold] [/] :smile: " + "long " * 60 + "\x1b[31mred\x07\x9b0m"
    with streaming(answer_bytes("4", reasoning=[line])) as server:
        assert main(["--url", server.url, "--prompt", "2+2?"]) == 0
    shown = capsys.readouterr().err.splitlines()
    assert shown[1] == "[Reasoning Summary] " + re.sub(r"[\x00-\x1f\x80-\x9f]", "", line)


def test_an_answer_that_is_not_for_a_terminal_is_left_as_it_is(
    typed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with streaming(answer_bytes("a\tb\x1b[31m \r\n", "[b]:smile:\n")) as server:
        assert main(["--url", server.url, "--prompt", "2+2?"]) == 0
    assert capsys.readouterr().out == "a\tb\x1b[31m \r\n[b]:smile:\n"


@pytest.mark.parametrize(
    ("usage", "speed"),
    [
        (Usage({"completion_tokens": 7}), r"7 tokens with reasoning, \d+ a second"),
        (None, r"1 characters of output, "),
    ],
)
def test_verbose_tells_the_times(
    usage: Usage | None, speed: str, typed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [usage] if usage else []
    body = encoded(PromptSummary("p"), OutputDelta(0, "4"), Finish(0, "length"), *more, Done())
    with streaming(body) as server:
        assert main(["--url", server.url, "--prompt", "2+2?", "-v"]) == 0
    shown = capsys.readouterr().err
    times = r" +\d+\.\d{3} s  first byte\n +\S+ s  prompt_summary\n.*\n +\S+ s  final_output\n"
    assert re.match(times, shown)
    assert "The model ended with: length\n" in shown
    assert re.search(rf"s  end: {speed}", shown)


def test_one_piece(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    completion = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 1},
        "phases": {"prompt_summary": "Processing: x", "reasoning_summary": "Adding."},
    }
    with serving([http("200 OK", completion)]) as server:
        assert main(["--url", server.url, "--prompt", "x", "--no-stream"]) == 0
        assert capsys.readouterr() == ("4\n", "[Prompt Summary] Processing: x\n[Reasoning Summary] Adding.\n")
        assert main(["--url", server.url, "--prompt", "x", "--no-stream", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["--url", server.url, "--prompt", "x", "--no-stream", "--raw"]) == 0
        assert json.loads(capsys.readouterr().out) == completion
    assert (told["prompt_summary"], told["reasoning_summary"]) == ("Processing: x", "Adding.")
    assert (told["content"], told["finish_reason"], told["usage"]) == ("4", "stop", {"completion_tokens": 1})
    assert server.bodies[0]["stream"] is False
    assert "stream_options" not in server.bodies[0]


def test_model_system_and_key_are_sent(
    typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "from-env\n")
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--prompt", "x", "--model", "m", "--system", "Be brief."]) == 0
        assert main(["--url", server.url, "--prompt", "x", "--key", "from-option", "-v"]) == 0
    assert server.bodies[0]["model"] == "m"
    assert server.bodies[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "\r\nAuthorization: Bearer from-env\r\n" in server.heads[0]
    assert "\r\nAuthorization: Bearer from-option\r\n" in server.heads[1]
    told = capsys.readouterr()
    assert "from-" not in told.out + told.err


SLOW = {
    "message": "Slow\n\x1b[2Jdown",
    "type": "rate_limit_error",
    "param": None,
    "code": "rate_limit_exceeded",
}
RATE_LIMITED = {"error": SLOW}


def in_chunks(*parts: bytes) -> bytes:
    """The chunks of a body that has not ended yet."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


CHUNKED = OK_HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
TWICE = GOOD.replace(b'"phase": "reasoning_summary"', b'"phase": "prompt_summary"')
WRONG: dict[str, tuple[list[Part], str, str]] = {
    "error frame": (
        [OK_HEAD, cut_after(GOOD, "The answer") + error_frame("reset", "upstream_closed")],
        "The answer",
        "error: reset (code upstream_closed, status 502, phase final_output, request_id req-1)",
    ),
    "no [DONE]": ([OK_HEAD, cut_after(GOOD, '"stop"')], "The answer is 4.", "without [DONE]"),
    "empty": ([OK_HEAD], "", "without [DONE]"),
    "phases out of order": ([OK_HEAD, TWICE], "", "prompt_summary came twice"),
    "endless line": ([OK_HEAD, b"data: " + b"x" * 1_100_000], "", "longer than"),
    "cut body": ([CHUNKED, b"5\r\n: pin"], "", "the connection broke"),
    "refused": (
        [http("429 Too Many Requests", RATE_LIMITED, "Retry-After: 7")],
        "",
        "error: Slow [2Jdown (code rate_limit_exceeded, status 429, retry_after 7)",
    ),
    "another server": (
        [http("502 Bad Gateway", b"<html>proxy</html>")],
        "",
        "error: the server answered: Bad Gateway (status 502)",
    ),
}


@pytest.mark.parametrize(("script", "content", "complaint"), WRONG.values(), ids=WRONG)
def test_what_goes_wrong_ends_with_1(
    script: list[Part], content: str, complaint: str, typed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(script) as server:
        assert main(["--url", server.url, "--prompt", "x", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["content"] == content
    assert json.loads(told.out)["error"]["message"]
    assert complaint in told.err
    assert len(told.err.splitlines()) == 1


def test_an_error_stands_on_a_line_of_its_own(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming(cut_after(GOOD, "The answer")) as server:
        assert main(["--url", server.url, "--prompt", "x"]) == 1
    assert capsys.readouterr().out == "The answer\n"


def test_done_may_lack_its_empty_line(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming(GOOD.rstrip(b"\n")) as server:
        assert main(["--url", server.url, "--prompt", "x"]) == 0


def test_what_follows_done_is_not_waited_for(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([CHUNKED, in_chunks(GOOD + b"data: nonsense\n\n", b"data: nonsense\n\n"), 20.0]) as server:
        assert main(["--url", server.url, "--prompt", "x"]) == 0
        assert server.left.wait(5)


def test_what_follows_a_breach_of_the_format_is_not_shown(
    typed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving([CHUNKED, in_chunks(b'data: {"phase": "nonsense"}\n\n', GOOD), 20.0]) as server:
        assert main(["--url", server.url, "--prompt", "x"]) == 1
        assert server.left.wait(5)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("more", [[], ["--no-stream"], ["--health"]])
def test_silence(
    more: list[str], typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONNECT_TIMEOUT", "STREAM_TIMEOUT", "WHOLE_TIMEOUT"):
        monkeypatch.setattr(client, name, 0.2)
    with serving([20.0]) as server:
        assert main(["--url", server.url, "--prompt", "x", *more]) == 1
    assert "the gateway has gone silent" in capsys.readouterr().err


# --- Where the gateway is, and usage


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/openai/v1"])
def test_forms_of_the_url(ending: str, typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with streaming(GOOD) as server:
        assert main(["--url", server.url + ending, "--prompt", "x"]) == 0
    assert server.heads[0].startswith("POST /v1/chat/completions ")


def test_the_environment_names_the_gateway(
    typed: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with streaming(GOOD) as server:
        monkeypatch.setenv("PORT", server.url.rpartition(":")[2])
        assert main(["--prompt", "x"]) == 0
        monkeypatch.setenv("GATEWAY_URL", server.url.removeprefix("http://"))
        monkeypatch.setenv("PORT", "1")
        assert main(["--prompt", "x"]) == 0
    assert len(server.heads) == 2


def test_a_password_in_the_url_is_not_shown(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([b""]) as server:
        url = server.url
    assert main(["--url", url.replace("//", "//me:secret@"), "--prompt", "x"]) == 1
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--prompt", " "],
        ["--prompt"],
        ["--url", "ftp://host", "--prompt", "x"],
        ["--url", "http://host:port", "--prompt", "x"],
        ["--url", "http://host:70000", "--prompt", "x"],
        ["--url", "http://", "--prompt", "x"],
        ["--key", "se\ncret", "--prompt", "x"],
        ["--key", "secrét", "--prompt", "x"],
        ["--raw", "--json", "--prompt", "x"],
        ["--json", "--interactive"],
        ["--pro", "x"],
        ["--ws"],
    ],
)
def test_usage_errors_end_with_2(args: list[str], typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage:" in told.err
    assert "ecr" not in told.err


# --- Health


@pytest.mark.parametrize(
    ("status", "code"), [("ok", 0), ("degraded", 0), ("draining", 0), ("unavailable", 1)]
)
def test_health(status: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    upstream = {"state": "half_open", "failure_rate": 0.25, "calls": 40, "in_flight": 3, "generation": 2}
    told = {
        "status": status,
        "version": "1.2.3",
        "uptime_s": 12.4,
        "active_streams": 5,
        "upstreams": {"main": upstream},
    }
    with serving([http("200 OK", told)]) as server:
        assert main(["--url", server.url, "--health"]) == code
        shown = capsys.readouterr().out.splitlines()
        assert main(["--url", server.url, "--health", "--json"]) == code
        assert json.loads(capsys.readouterr().out) == told
    assert shown[0] == f"status {status}, version 1.2.3, up 12 s, active streams 5"
    assert [line.split() for line in shown[2:]] == [
        ["upstream", "state", "failure", "rate", "calls", "in", "flight"],
        ["main", "half_open", "25%", "40", "3"],
    ]
    assert server.heads[0].startswith("GET /health ")


@pytest.mark.parametrize(
    "answer",
    [http("200 OK", b"<html>"), http("404 Not Found", {"error": {"message": "no"}}), b"HTTP/1.1 200 OK\r\n"],
)
def test_no_health(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([answer]) as server:
        assert main(["--url", server.url, "--health"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_during_health(capsys: pytest.CaptureFixture[str]) -> None:
    with serving([interrupt, 20.0]) as server:
        assert main(["--url", server.url, "--health"]) == 130
        assert server.left.wait(5)


# --- A conversation


SESSION = '''\
one

/system Be brief.
/model other
"""two

three"""
/clear
/system
/help
/nonsense
"""/bye"""
/bye
never
'''


def test_a_conversation(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    typed(SESSION)
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--interactive", "--prompt", "zero"]) == 0
    told = capsys.readouterr()
    answered = {"role": "assistant", "content": "The answer is 4."}
    assert [body["messages"] for body in server.bodies] == [
        [user("zero")],
        [user("zero"), answered, user("one")],
        [
            {"role": "system", "content": "Be brief."},
            user("zero"),
            answered,
            user("one"),
            answered,
            user("two\n\nthree"),
        ],
        [user("/bye")],
    ]
    assert [body["model"] for body in server.bodies] == ["default", "default", "other", "other"]
    assert told.out == "The answer is 4.\n" * 4
    assert "/clear         forget the conversation\n" in told.err
    assert "'/nonsense' is not understood" in told.err


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def test_ctrl_c_stops_the_answer_and_keeps_the_session(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("long\nand?\n")
    half = cut_after(GOOD, "The answer")
    stdout: Any = sys.stdout  # as capsys has it

    def shown() -> None:
        end = time.monotonic() + 20
        while "The answer" not in stdout.getvalue() and time.monotonic() < end:
            time.sleep(0.01)

    with serving([interrupt, 20.0], [OK_HEAD, half, shown, interrupt, 20.0], [OK_HEAD, GOOD]) as server:
        assert main(["--url", server.url, "--interactive", "--prompt", "first"]) == 0
        assert server.left.wait(5)
    told = capsys.readouterr()
    assert server.bodies[2]["messages"] == [
        user("long"),
        {"role": "assistant", "content": "The answer"},
        user("and?"),
    ]
    assert told.err.count("stopped by Ctrl-C") == 2
    assert told.out == "The answer\nThe answer is 4.\n"


ON_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


@contextlib.contextmanager
def terminal(*args: str, **env: str) -> Iterator[Terminal]:
    """The client on a pseudo-terminal of its own, as its controlling terminal."""
    parent, child = pty.openpty()
    command = [sys.executable, "-c", ON_TERMINAL, CLIENT, *args]
    with subprocess.Popen(command, stdin=child, env=child_env(**env)) as process:
        os.close(child)
        try:
            yield Terminal(parent, process)
        finally:
            process.kill()  # it has ended, unless the test has failed
            os.close(parent)


class Terminal:
    """What a person at the keyboard does and sees."""

    def __init__(self, fd: int, process: subprocess.Popen[bytes]) -> None:
        self._fd, self._process, self.seen = fd, process, ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, text: str) -> str:
        """Read on until *text*; everything up to it."""
        while text not in self.seen:
            more = self._read()
            assert more, f"{text!r} did not come before the end: {self.seen!r}"
            self.seen += more
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def insist(self, key: str, text: str) -> str:
        """Press *key* until *text* comes: readline misses a Ctrl-C that comes just before it waits."""
        for _ in range(20):
            self.type(key)
            if text in self.seen or select.select([self._fd], [], [], 1)[0]:
                return self.expect(text)
        raise AssertionError(f"no answer to {key!r} after {self.seen!r}")

    def end(self) -> tuple[str, int]:
        """What it says up to its end, and its exit code."""
        while more := self._read():
            self.seen += more
        return self.seen, self._process.wait(20)

    def _read(self) -> str:
        assert select.select([self._fd], [], [], 20)[0], f"silent after {self.seen!r}"
        try:
            return os.read(self._fd, 65536).decode(errors="replace")
        except OSError:  # how Linux says that the other side of a terminal is closed
            return ""


def test_a_conversation_on_a_terminal() -> None:
    half = cut_after(GOOD, "The answer")
    scripts: list[list[Part]] = [[OK_HEAD, GOOD], [OK_HEAD, half, 20.0], [OK_HEAD, GOOD]]
    with serving(*scripts) as server, terminal("--url", server.url) as screen:
        screen.expect(">>> ")
        screen.type("2+2?\r")
        assert "Reasoning Summary" in screen.expect("The answer is 4.")
        screen.expect(">>> ")
        screen.type("/system Be brief.\r")
        screen.expect(">>> ")
        screen.type("and 3+3?\r")
        screen.expect("The answer")
        screen.type("\x03")
        screen.expect("stopped by Ctrl-C")
        assert server.left.wait(5)
        screen.expect(">>> ")
        screen.type("half a line")
        screen.insist("\x03", "Ctrl-D or /bye leaves.")
        screen.type("go on\r")
        screen.expect("The answer is 4.")
        screen.expect(">>> ")
        screen.type("\x04")
        rest, code = screen.end()
    assert code == 0
    assert "Traceback" not in rest
    assert [len(body["messages"]) for body in server.bodies] == [1, 4, 6]
    assert server.bodies[2]["messages"][0] == {"role": "system", "content": "Be brief."}


def test_each_phase_has_its_colour_and_the_model_none() -> None:
    body = answer_bytes("fo\x1b[2Jur", "\x9b1m!\n", reasoning=["\x1b]0;title\x07"])
    with streaming(body) as server, terminal("--url", server.url, "--prompt", "x", TERM="xterm") as screen:
        shown, code = screen.end()
    assert code == 0
    assert "\x1b[36m[Prompt Summary]" in shown
    assert "\x1b[35m[Reasoning Summary] ]0;title\x1b[0m" in shown
    assert "\x1b[32mfo[2Jur\x1b[0m\x1b[32m1m!" in shown


def test_no_color() -> None:
    env = {"TERM": "xterm", "NO_COLOR": "1"}
    with streaming(GOOD) as server, terminal("--url", server.url, "--prompt", "x", **env) as screen:
        shown, code = screen.end()
    assert code == 0
    assert "The answer is 4." in shown
    assert "\x1b" not in shown


def test_a_pipe_has_no_colour() -> None:
    with streaming(GOOD) as server:
        done = run_client("--url", server.url, "--prompt", "x", "-v", TERM="xterm", FORCE_COLOR="1")
    assert b"\x1b" not in done.stdout + done.stderr
