"""What goes wrong, and where the gateway is: error lines and exit codes."""

from __future__ import annotations

import json

import pytest

from client import main
from tests.client.scripted import GOOD, OK_HEAD, Part, cut_after, error_frame, http, serving, streaming
from trio_gateway.terminal import ask as exchange
from trio_gateway.terminal import health
from trio_gateway.terminal import http_client as connection

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
    "endless line": ([OK_HEAD, b"data: " + b"x" * 17_000_000], "", "longer than"),
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
    for module, name in (
        (connection, "CONNECT_TIMEOUT"),
        (health, "CONNECT_TIMEOUT"),
        (exchange, "STREAM_TIMEOUT"),
        (exchange, "WHOLE_TIMEOUT"),
    ):
        monkeypatch.setattr(module, name, 0.2)
    with serving([20.0]) as server:
        assert main(["--url", server.url, "--prompt", "x", *more]) == 1
    assert "the gateway has gone silent" in capsys.readouterr().err


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
