"""A hostile server and the terminal client: nothing of the server's text drives or reorders a terminal."""

from __future__ import annotations

import io
import json
import re
import sys
from argparse import Namespace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.scripted import OK_HEAD, answer_bytes, error_frame, http, run_client, serving, streaming
from tests.hostile.on_terminal import shown_on_terminal
from trio_gateway.core.sse import SSEDecoder
from trio_gateway.terminal.ask import take
from trio_gateway.terminal.received import Answer
from trio_gateway.terminal.screen import Screen

if TYPE_CHECKING:
    from pathlib import Path

DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
EVIL = (
    "A\x1b]52;c;ZXZpbA==\x07B\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\C\x1b[2J\x9b31m\x9d0;t\x9c"
    "\rover\x08\x7f\x85\u2028\u2029\u202e\u202a\u2066\u2069\u200e\u200f é漢😀Z"
)
OPTIONS = {"raw": False, "json": False, "verbose": False, "hide_reasoning": False}


class FakeTerminal(io.StringIO):
    """A stream that counts as a terminal."""

    def isatty(self) -> bool:
        return True


def shown(chunks: list[bytes], **options: bool) -> str:
    """What the client writes to a terminal for an answer that arrives in these pieces."""
    before = sys.stdout, sys.stderr
    terminal = sys.stdout = sys.stderr = FakeTerminal()
    try:
        screen, decoder, answer = Screen(Namespace(**{**OPTIONS, **options})), SSEDecoder(), Answer()
        for chunk in chunks:
            take(chunk, decoder, screen, answer)
        screen.finish(answer)
    finally:
        sys.stdout, sys.stderr = before
    return terminal.getvalue()


def cut(body: bytes, places: set[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


texts = st.text(st.sampled_from(EVIL) | st.sampled_from("[]0123456789;m\\ ab\n\t"), min_size=1)
ways = st.sampled_from([{}, {"json": True}, {"raw": True}, {"verbose": False, "hide_reasoning": True}])


@pytest.fixture(autouse=True)
def _no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


@given(st.lists(texts, min_size=1, max_size=6), texts, st.sets(st.integers(0, 10**6), max_size=9), ways)
def test_an_answer_is_shown_alike_however_it_is_cut(
    words: list[str], line: str, places: set[int], way: dict[str, bool]
) -> None:
    body = answer_bytes(*words, reasoning=[line])
    whole = shown([body], **way)
    assert shown(cut(body, places), **way) == whole
    assert not DRIVES.search(whole)
    if not way:
        assert DRIVES.sub("", "".join(words)) in whole


@given(texts)
def test_a_sequence_split_over_deltas_is_none(text: str) -> None:
    body = answer_bytes(*text)  # a character a delta
    for pieces in ([body], [bytes([byte]) for byte in body]):
        assert not DRIVES.search(shown(pieces))


@given(st.lists(texts, min_size=1))
def test_json_is_ascii_and_exact(words: list[str]) -> None:
    written = shown([answer_bytes(*words)], json=True)
    assert written.isascii()
    assert not DRIVES.search(written)
    assert json.loads(written)["content"] == "".join(words)


HEALTH = {
    "status": EVIL,
    "version": EVIL,
    "uptime_s": 1.0,
    "active_streams": 1,
    "upstreams": {
        EVIL: {"state": EVIL, "failure_rate": 0.0, "calls": 0, "in_flight": 0, "last_error_class": EVIL}
    },
}
FIELDS = ("message", "type", "param", "code", "status", "phase", "request_id")
ERROR = {"error": dict.fromkeys(FIELDS, EVIL)}
MARKUP = (
    f"**{EVIL}** [a](http://x/{EVIL}) `{EVIL}` &#x202e;&#8294;&#27;\n```{EVIL}\n{EVIL}\n```\n"
    f"| {EVIL} | b |\n|--|--|\n"
)
STREAM = answer_bytes(EVIL, MARKUP, reasoning=[EVIL])
NO_JSON = {"error": {"message": "x"}, "choices": EVIL}


def json_bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


PLAYED: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "stream": (OK_HEAD + STREAM, ()),
    "verbose": (OK_HEAD + STREAM, ("-v",)),
    "json": (OK_HEAD + STREAM, ("--json",)),
    "raw": (OK_HEAD + STREAM, ("--raw",)),
    "finish": (OK_HEAD + answer_bytes("x").replace(b'"stop"', json_bytes(EVIL)), ("-v",)),
    "usage": (OK_HEAD + answer_bytes("x").replace(b": 7", b": -" + b"9" * 300), ("-v",)),
    "error": (http("400 X", json_bytes(ERROR)), ()),
    "error as json": (http("400 X", json_bytes(ERROR)), ("--json",)),
    "error in the stream": (OK_HEAD + error_frame(EVIL, EVIL), ()),
    "error in the stream as json": (OK_HEAD + error_frame(EVIL, EVIL), ("--json",)),
    "page": (http(f"502 {EVIL[:3]}", EVIL.encode(), "Retry-After: 1\x1b[2J"), ()),
    "no gateway": (OK_HEAD + b"data: " + json_bytes(NO_JSON) + b"\n\n", ()),
    "one object": (
        http("200 OK", json_bytes({"choices": [{"message": {"content": EVIL}}]})),
        ("--no-stream",),
    ),
    "health": (http("200 OK", json_bytes(HEALTH)), ("--health", "-v")),
    "health as json": (http("200 OK", json_bytes(HEALTH)), ("--health", "--json")),
    "health raw": (http("200 OK", json_bytes(HEALTH)), ("--health", "--raw")),
}


@pytest.mark.parametrize("name", PLAYED)
def test_nothing_of_the_server_drives_a_terminal(name: str) -> None:
    answer, options = PLAYED[name]
    with serving([answer]) as server:
        prompt = () if "--health" in options else ("--prompt", "x")
        seen = shown_on_terminal("--url", server.url, *prompt, *options)
    assert not DRIVES.search(seen)
    assert "Traceback" not in seen
    if "json" in name:
        assert seen.isascii()
    if name in {"stream", "verbose", "error", "health"}:
        assert "]52;c;ZXZpbA==" in seen


def test_a_conversation_and_what_it_saves(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    lines = f"hello\n/save {path}\n/load {path}\n/bye\n"
    with streaming(answer_bytes(EVIL)) as server:
        seen = shown_on_terminal("--url", server.url, "--interactive", typed=lines, term="dumb")
    assert "\rover" not in seen
    assert not DRIVES.search(seen.replace("\r", ""))  # readline's own, where a line is typed
    assert "ZXZpbA" in seen
    saved = path.read_text(encoding="utf-8")
    assert not DRIVES.search(saved)
    assert "漢" in saved
    assert json.loads(saved)["messages"][1]["content"] == EVIL


@pytest.mark.parametrize("option", ["--json", "--raw"])
def test_a_program_gets_the_exact_text(option: str) -> None:
    with streaming(STREAM) as server:
        out = run_client("--url", server.url, "--prompt", "x", option).stdout
    if option == "--raw":
        assert out == STREAM
    else:
        assert out.isascii()
        assert json.loads(out)["content"] == EVIL + MARKUP
