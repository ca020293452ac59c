"""One prompt, with the client as a process: streams, signals, exit codes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time

from tests.client.scripted import (
    CLIENT,
    GOOD,
    OK_HEAD,
    answer_bytes,
    child_env,
    cut_after,
    read,
    run_client,
    serving,
    start_client,
    streaming,
)


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
