"""The client on a pseudo-terminal, as a person has it: mostly with the gateway and the mock model behind it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.client.scripted import CLIENT, GOOD, answer_bytes, child_env, cut_after, streaming
from tests.client.window import STYLING, Window
from tests.on_terminal import CTRL_C, CTRL_D, UP, XTERM, terminal
from tests.support import open_pair
from trio_gateway.core.text.control_characters import drop_controls
from trio_gateway.mock import Options, RecordedTrace
from trio_gateway.terminal.text import parse_markdown

if TYPE_CHECKING:
    from pathlib import Path


# --- A session with the gateway and the mock model


async def test_a_session(tmp_path: Path) -> None:
    talk = RecordedTrace("First I add two and two. " * 40, "word " * 400, prompt="What is 2+2?")
    mock = Options(port=0, tokens_per_second=40, traces=(talk,))
    async with open_pair(options=mock) as gateway:
        with terminal("--url", str(gateway.base_url), "--model", "trace-0") as screen:
            await screen.expect(">>> ")
            screen.type("What is 2+2?\r")
            assert "[Prompt Summary] " in await screen.expect("[Reasoning Summary] ")
            screen.type(CTRL_C)  # in the middle of its thinking
            await screen.expect("stopped by Ctrl-C")
            await screen.expect(">>> ")
            screen.type(UP)
            await screen.expect("What is 2+2?")
            screen.type("\r")
            await screen.expect("word word")
            screen.type(CTRL_C)  # in the middle of its output
            await screen.expect("stopped by Ctrl-C")
            await screen.expect(">>> ")
            screen.type("half a line")
            await screen.expect("half a line")  # a Ctrl-C drops what readline has not read yet, and it hangs
            await screen.insist(CTRL_C, "Ctrl-D or /bye leaves.")
            await screen.expect(">>> ")
            screen.type(f"/save {tmp_path}/a talk.json\r")
            await screen.expect("Saved in ")
            await screen.expect(">>> ")
            screen.type(CTRL_D)
            rest, code = await screen.end()
    assert code == 0
    assert "Traceback" not in rest
    saved = json.loads((tmp_path / "a talk.json").read_text())
    assert [turn["role"] for turn in saved["messages"]] == ["user", "assistant"]
    assert 2 <= saved["messages"][1]["content"].count("word") < 400


async def test_what_was_saved_is_loaded_and_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    async with open_pair() as gateway:
        with terminal("--url", str(gateway.base_url), "--system", "Be brief.") as screen:
            await screen.expect(">>> ")
            screen.type('"""What\r')
            await screen.expect("... ")
            screen.type('is 2+2?"""\r')
            await screen.expect("The answer is 4.")
            await screen.expect(">>> ")
            screen.type(f"/save {path}\r/clear\r/system\r/model other\r/load {path}\r")
            await screen.expect("Talking to default about ")
            assert await screen.expect("so far.") == f"{path}: 2 messages so far."
            screen.type(f"/save {path}.again\r/load {tmp_path}/none\r/load {CLIENT}\r/bye\r")
            await screen.expect("No such file")
            await screen.expect("holds no conversation")
            assert (await screen.end())[1] == 0
        saved = json.loads(path.read_text())
        assert saved == json.loads(path.with_name("talk.json.again").read_text())
        assert saved["model"] == "default"
        assert saved["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What\nis 2+2?"},
            {"role": "assistant", "content": "The answer is 4."},
        ]
        response = await gateway.post("/v1/chat/completions", json=saved | {"stream": False})
        assert response.status_code == 200


async def test_a_bare_command_on_a_terminal_begins_a_conversation() -> None:
    async with open_pair() as gateway:
        port = str(gateway.base_url.port)
        with terminal(env={"PORT": port}) as screen:
            await screen.expect(">>> ")
            screen.type(CTRL_D)
            assert (await screen.end())[1] == 0


# --- Colour


async def test_summaries_are_dim_and_the_answer_has_the_terminals_own_colours() -> None:
    body = answer_bytes("fo\x1b[2Jur", "\x9b1m!\n", reasoning=["\x1b]0;title\x07"])
    with streaming(body) as server, terminal("--url", server.url, "--prompt", "x", env=XTERM) as screen:
        shown, code = await screen.end()
    assert code == 0
    assert "\x1b[2m[Prompt Summary]" in shown
    assert "\x1b[2m[Reasoning Summary] ]0;title\x1b[0m" in shown
    assert re.search(r"\r\n(\x1b\[\?7l)?fo\[2Jur1m!", shown)


MARKED = "# Title\n\nIt is **4**,\nas `2+2` is.\n"


@pytest.mark.parametrize("more", [(), ("-v",), ("--interactive",)])
async def test_no_color(more: tuple[str, ...]) -> None:
    env = XTERM | {"NO_COLOR": "1"}
    with (
        streaming(answer_bytes(MARKED)) as server,
        terminal("--url", server.url, "--prompt", "x", *more, env=env) as screen,
    ):
        await screen.expect("as `2+2` is.")
        if "--interactive" in more:
            await screen.expect(">>> ")
            screen.type(CTRL_D)
        code = (await screen.end())[1]
    assert code == 0
    assert re.sub(r"\x1b\[\?2004[hl]", "", screen.seen).count("\x1b") == 0  # readline's, for pasting


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}])
async def test_health_in_colour_and_not(env: dict[str, str]) -> None:
    async with open_pair() as gateway:
        with terminal("--url", str(gateway.base_url), "--health", env=XTERM | env) as screen:
            shown, code = await screen.end()
    assert code == 0
    assert "main" in shown
    assert "closed" in shown
    assert ("\x1b[32mclosed" in shown) is not bool(env)
    assert ("\x1b" in shown) is not bool(env)


def test_a_pipe_has_no_colour() -> None:
    command = [sys.executable, CLIENT, "--prompt", "x", "-v", "--url"]
    env = child_env(TERM="xterm", FORCE_COLOR="1")
    with streaming(GOOD) as server:
        done = subprocess.run([*command, server.url], env=env, capture_output=True, input=b"", check=True)
    assert done.stdout == b"The answer is 4.\n"
    assert b"\x1b" not in done.stderr


# --- Markdown


async def shown_in(columns: int, rows: int, *output: str) -> Window:
    with streaming(answer_bytes(*output)) as server:
        arguments = ("--url", server.url, "--prompt", "x")
        with terminal(*arguments, columns=columns, rows=rows, env=XTERM) as screen:
            shown, code = await screen.end()
    assert code == 0
    return Window(shown, columns=columns, rows=rows)


SUMMARIES = '[Prompt Summary] Processing: "2+2?"...\n\n[Reasoning Summary] Adding 2 and 2...\n\n'


@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
@pytest.mark.parametrize("columns", [41, 80])
async def test_an_answer_is_typeset(columns: int, ending: str) -> None:
    fills = "=" * (columns - 1)
    window = await shown_in(columns, 24, f"**{fills}**\n*x*\n\n| aa | b |\n|---|---|\n| 1 | 2 |{ending}")
    assert window.text.startswith(f"{SUMMARIES}{fills}\nx\n\n aa ")
    assert window.text.splitlines()[-1].split() == ["1", "2"]


async def test_an_answer_taller_than_the_window_is_shown_once() -> None:
    items = [f"- item **{number}**\n" for number in range(20)]
    window = await shown_in(41, 8, *items)
    assert window.text == SUMMARIES + "\n".join(f" • item {number}" for number in range(20))


async def test_what_is_typeset_was_cleaned() -> None:
    body = answer_bytes("**bold** \x1b[2J\x1b]0;title\x07\x9b1m")
    with streaming(body) as server, terminal("--url", server.url, "--prompt", "x", env=XTERM) as screen:
        shown, _ = await screen.end()
    assert "bold [2J]0;title1m" in Window(shown).text
    assert not re.search("\x1b\\[2J|\x1b]|\x9b", shown)


async def test_an_answer_that_broke_off_is_set_as_far_as_it_came() -> None:
    body = cut_after(answer_bytes("It is **4**", ", and"), "It is")
    with streaming(body) as server, terminal("--url", server.url, "--prompt", "x", env=XTERM) as screen:
        shown, code = await screen.end()
    assert code == 1
    assert "\nIt is 4\nerror: " in Window(shown).text


def typeset(text: str, width: int = 60) -> str:
    """*text* as it is typeset, without styling; all that is left must be harmless."""
    markdown, out = parse_markdown(drop_controls(text)), io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system="standard").print(markdown)
    return "\n".join(line.rstrip() for line in re.sub(STYLING, "", out.getvalue()).splitlines())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**a**\nb", "a\nb"),
        ("`x` <b>bold</b>", "x <b>bold</b>"),
        ("*x*\n\n<script>\nalert(1)\n</script>", "x\n\n<script>\nalert(1)\n</script>"),
        (r"*so* \(a_1\) and \[\frac{1}{2}\]", "so a_1 and 1/2"),
        ("[here](http://else.where)", "here (http://else.where)"),
        ("see ![a](http://b/c.png)", "see !a (http://b/c.png)"),
    ],
)
def test_what_is_typeset_and_what_is_not(text: str, shown: str) -> None:
    assert typeset(text) == shown


MARKUP = st.sampled_from(
    [
        *("*", "_", "`", "#", "\n", " ", "- ", "> ", "|", "[x](", ")", "<b>", "```", "\x1b["),
        *("&#27;", "&#13;", "&#x202e;", "&#8295;", "&#x9b;", "&#x2028;", "\u202e"),
    ]
)


@given(st.lists(MARKUP | st.text(max_size=5)).map("".join), st.integers(10, 80))
def test_no_text_however_marked_up_drives_the_terminal(text: str, width: int) -> None:
    markdown, out = parse_markdown(drop_controls(text)), io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system="standard").print(markdown)
    shown = re.sub(STYLING, "", out.getvalue())
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown) is None


# --- Forty columns


async def test_a_narrow_window() -> None:
    async with open_pair() as gateway:
        url = str(gateway.base_url)
        with terminal("--url", url, "--health", columns=40, env=XTERM) as screen:
            shown, code = await screen.end()
        assert code == 0
        assert max(len(line) for line in Window(shown, columns=200).lines) <= 40
        with terminal("--url", url, columns=40, env=XTERM) as screen:
            await screen.expect(">>> ")
            screen.type("What is 2+2, when all is said and done?\r")
            await screen.expect("The")
            await screen.expect(">>> ")
            screen.type(UP)
            await screen.expect("said and")
            screen.type(f"\x15{CTRL_D}")  # the line away, then leave
            assert (await screen.end())[1] == 0
