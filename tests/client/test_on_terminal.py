"""The client at a terminal: status line, pasted text, Tab, lines of earlier sessions, the clipboard."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from tests.client.scripted import GOOD, OK_HEAD, Part, answer_bytes, cut_after, http, serving, streaming
from tests.client.window import Window
from tests.on_terminal import CTRL_D, UP, XTERM, terminal

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
