"""One prompt: what is sent, and what is shown where."""

from __future__ import annotations

import json
import re

import pytest

from client import main
from tests.client.scripted import GOOD, answer_bytes, chunk, encoded, http, serving, streaming
from trio_gateway.core.client_api import sse
from trio_gateway.core.events import Done, Finish, OutputDelta, PromptSummary, Usage


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


def test_an_answer_in_a_pipe_loses_its_control_characters_and_nothing_else(
    typed: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with streaming(answer_bytes("a\tb\x1b[31m \r\n", "[b]:smile:\n")) as server:
        assert main(["--url", server.url, "--prompt", "2+2?"]) == 0
    assert capsys.readouterr().out == "a\tb[31m \n[b]:smile:\n"


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
