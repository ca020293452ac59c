"""The client at a terminal: status line, pasted text, Tab, lines of earlier sessions, the clipboard."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.client.scripted import GOOD, OK_HEAD, Part, answer_bytes, cut_after, http, serving, streaming
from tests.client.window import Window
from tests.on_terminal import CTRL_D, UP, XTERM, terminal
from trio_gateway.core.client_api import sse

if TYPE_CHECKING:
    from pathlib import Path

BODY = answer_bytes("The answer", " is 4.")
SUMMARY = cut_after(BODY, "[Prompt Summary]")
THOUGHT = cut_after(BODY, "[Reasoning Summary]")
AFTER_SUMMARY, AFTER_THOUGHT = BODY[len(SUMMARY) :], BODY[len(THOUGHT) :]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return XTERM | {"XDG_STATE_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"}


@pytest.mark.parametrize(
    ("script", "meanwhile", "afterwards"),
    [
        ([1.0, OK_HEAD, BODY], "waiting", ""),
        ([OK_HEAD, SUMMARY, 1.0, AFTER_SUMMARY], "waiting", ""),
        ([OK_HEAD, THOUGHT, 1.0, AFTER_THOUGHT], "thinking", "\nthought for 1."),
        ([1.0, http("503 X", {"error": {"message": "no"}})], "waiting", ""),
    ],
)
async def test_a_status_line_while_nothing_comes(
    script: list[Part], meanwhile: str, afterwards: str, env: dict[str, str]
) -> None:
    with serving(script) as server, terminal("--url", server.url, "x", env=env) as screen:
        await screen.expect(f"{meanwhile} 0 s")
        code = (await screen.end())[1]
    shown = Window(screen.seen).text
    assert code == (1 if b"503" in b"".join(part for part in script if isinstance(part, bytes)) else 0)
    assert "waiting" not in shown
    assert "thinking" not in shown
    assert afterwards in shown
    assert ("thought for" in shown) is bool(afterwards)


async def test_the_status_line_counts_the_tokens_of_the_thinking(env: dict[str, str]) -> None:
    raw = {"index": 0, "delta": {"reasoning_content": "abcd " * 80}, "finish_reason": None}
    thinks = sse([("message", json.dumps({"choices": [raw], "phase": "reasoning_summary"}))])
    opened = cut_after(BODY, '{"phase": "reasoning_summary"}')
    script: list[Part] = [OK_HEAD, opened + thinks, 1.0, BODY[len(opened) :]]
    with serving(script) as server, terminal("--url", server.url, "x", env=env) as screen:
        await screen.expect("thinking 0 s, about 100 tokens")
        assert (await screen.end())[1] == 0
    shown = Window(screen.seen).text
    assert "abcd" not in shown
    assert "tokens" not in shown
    assert "\n\n\n" not in shown
    assert [body["gateway"] for body in server.bodies] == [{"reasoning": "both"}]


async def test_the_reasoning_is_not_asked_for_where_nothing_is_counted(env: dict[str, str]) -> None:
    for more in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with streaming(GOOD) as server, terminal("--url", server.url, "x", env=env | more) as screen:
            assert (await screen.end())[1] == 0
        assert ["gateway" in body for body in server.bodies] == [False]


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
async def test_no_status_line_where_nothing_can_be_drawn_anew(
    more: dict[str, str], env: dict[str, str]
) -> None:
    script: list[Part] = [OK_HEAD, THOUGHT, 0.6, AFTER_THOUGHT]
    with serving(script) as server, terminal("--url", server.url, "x", env=env | more) as screen:
        shown, code = await screen.end()
    assert code == 0
    assert "\x1b" not in shown
    assert "thinking" not in shown


async def test_several_pasted_lines_are_one_message(env: dict[str, str]) -> None:
    with streaming(GOOD) as server, terminal("--url", server.url, env=env) as screen:
        await screen.expect(">>> ")
        screen.type("\x1b[200~one\n  漢字\n/bye\x1b[201~")
        await screen.expect("/bye")
        screen.type("\r")
        await screen.expect("is 4.")
        await screen.expect(">>> ")
        screen.type(CTRL_D)
        assert (await screen.end())[1] == 0
    assert [body["messages"][-1]["content"] for body in server.bodies] == ["one\n  漢字\n/bye"]


READLINE = importlib.util.find_spec("readline")
# GNU readline, which takes itself for libedit: a terminal that marks no pasted text does not tell them apart.
LIKE_LIBEDIT = f"""
import importlib.machinery, importlib.util, sys
del sys.modules["readline"]
loader = importlib.machinery.ExtensionFileLoader("readline", {READLINE and READLINE.origin!r})
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("readline", loader))
loader.exec_module(module)
module.__doc__ = "libedit"
sys.modules["readline"] = module
"""


async def test_several_pasted_lines_are_one_message_with_libedit(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "readline.py").write_text(LIKE_LIBEDIT)
    env |= {"PYTHONPATH": str(tmp_path)}
    with streaming(GOOD) as server, terminal("--url", server.url, env=env) as screen:
        await screen.expect(">>> ")
        screen.type("one\n  漢字\nthree")
        await screen.expect("... ")
        await screen.expect("... ")
        screen.type("\r")
        await screen.expect("is 4.")
        await screen.expect(">>> ")
        screen.type("typed\r")
        await screen.expect("is 4.")
        await screen.expect(">>> ")
        screen.type(CTRL_D)
        assert (await screen.end())[1] == 0
    assert [body["messages"][-1]["content"] for body in server.bodies] == ["one\n  漢字\nthree", "typed"]


async def test_tab_completes_commands_and_models(env: dict[str, str]) -> None:
    models = http("200 OK", {"data": [{"id": "small"}, {"id": "large-one"}, {"id": "e\x1b[2Jvil"}]})
    with serving([models]) as server, terminal("--url", server.url, env=env) as screen:
        await screen.expect(">>> ")
        screen.type("/mod\t")
        await screen.expect("el")
        screen.type(" la\t")
        await screen.expect("rge-one")
        screen.type("\r")
        await screen.expect("Talking to large-one.")
        await screen.expect(">>> ")
        screen.type(CTRL_D)
        assert (await screen.end())[1] == 0
    assert "\x1b[2J" not in screen.seen


@pytest.mark.parametrize("more", [(), ("--no-history",)])
async def test_lines_are_recalled_in_the_next_session(more: tuple[str, ...], env: dict[str, str]) -> None:
    with streaming(GOOD) as server:
        for session in range(2):
            with terminal("--url", server.url, *more, env=env) as screen:
                await screen.expect(">>> ")
                if session and more:
                    assert not any(name for _, _, names in os.walk(env["XDG_STATE_HOME"]) for name in names)
                elif session:
                    screen.type(UP)
                    assert "漢字" in await screen.expect("two")
                    screen.type("\x15")
                else:
                    screen.type("\x1b[200~one 漢字\ntwo\x1b[201~\r")
                    await screen.expect("is 4.")
                    await screen.expect(">>> ")
                screen.type(CTRL_D)
                assert (await screen.end())[1] == 0


async def test_the_answer_is_copied_as_it_is(env: dict[str, str]) -> None:
    text = "漢字 \x1b[2J **4**\n"
    with (
        streaming(answer_bytes(text)) as server,
        terminal("--url", server.url, "--interactive", "x", env=env) as screen,
    ):
        await screen.expect(">>> ")
        screen.type("/copy\r")
        coded = (await screen.expect("\x07")).partition("\x1b]52;c;")[2].rstrip("\x07")
        assert base64.b64decode(coded).decode() == text
        await screen.expect(">>> ")
        screen.type(CTRL_D)
        assert (await screen.end())[1] == 0


async def test_an_answer_too_long_for_a_clipboard(env: dict[str, str]) -> None:
    body = answer_bytes("word " * 20_000)
    with streaming(body) as server, terminal("--url", server.url, "--interactive", "x", env=env) as screen:
        await screen.expect(">>> ")
        screen.type("/copy\r")
        assert "\x1b]52" not in await screen.expect("too long for a terminal's clipboard")
        await screen.expect(">>> ")
        screen.type(CTRL_D)
        assert (await screen.end())[1] == 0


async def test_keys_pressed_while_an_answer_comes_are_kept_and_not_shown_in_it(env: dict[str, str]) -> None:
    script: list[Part] = [OK_HEAD, THOUGHT, 1.0, AFTER_THOUGHT]
    with serving(script) as server, terminal("--url", server.url, "--interactive", "x", env=env) as screen:
        await screen.expect("thinking")
        screen.type("/clear\r")
        assert "/clear" not in await screen.expect("is 4.")
        await screen.expect("forgotten")
        await screen.expect(">>> ")
        screen.type(CTRL_D)
        assert (await screen.end())[1] == 0


async def test_a_long_error_is_broken_at_words(env: dict[str, str]) -> None:
    message = (
        "The upstream sent no event of its answer. " * 4 + "first_event_timeout sets how long it may take."
    )
    failed = http(
        "503 X", {"error": {"message": message, "code": "first_event_timeout", "request_id": "r" * 40}}
    )
    with serving([failed]) as server, terminal("--url", server.url, "x", env=env) as screen:
        assert (await screen.end())[1] == 1
    rows = Window(screen.seen).text.splitlines()
    assert len(rows) > 2
    assert " ".join(row.strip() for row in rows).startswith(f"error: {message} (code first_event_timeout")
    assert all(row.startswith("  ") for row in rows[1:])
    assert any("r" * 40 in row for row in rows)
