"""What is written of the client is true: its help is the command's own, and its session was held."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import client
from tests.client.scripted import CLIENT, child_env
from tests.support import open_pair
from trio_gateway.terminal import repl as chat

if TYPE_CHECKING:
    import pytest


def blocks(name: str) -> list[str]:
    """The blocks of plain text in a document."""
    document = (Path(CLIENT).parent / name).read_text(encoding="utf-8")
    return re.findall(r"^```text\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


HELP, COMMANDS = blocks("docs/client.md")
(SESSION,) = [text for text in blocks("README.md") if text.startswith("$ python client.py\n")]


def without_reasoning(session: str) -> str:
    """*session* without the lines of the reasoning summary: how they are written is not the client's."""
    return re.sub(r"(\[Reasoning Summary\] ).*\n(.*\n)*?(?=The answer|This is)", r"\1", session)


def settled(text: str) -> str:
    """*text* as any Python writes it: from 3.13 on the value of an option stands behind its last spelling."""
    return " ".join(re.sub(r"(-\w) ([A-Z]+), (--[\w-]+) \2", r"\1, \3 \2", text).split())


def test_the_help_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert settled(client.command_line().format_help()) == settled(HELP), (
        "COLUMNS=100 python client.py --help"
    )
    assert f"{chat.COMMANDS}\n" == COMMANDS


async def test_the_session_can_be_held(tmp_path: Path) -> None:
    _, _, lines = SESSION.partition("\n")
    typed = "".join(re.findall(r"^(?:>>>|\.\.\.) (.*\n)", lines, re.MULTILINE))
    async with open_pair() as gateway:
        done = await trio.run_process(
            [sys.executable, CLIENT, "--interactive", "--url", str(gateway.base_url)],
            stdin=typed.encode(),
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=tmp_path,
            env=child_env(),
        )
    assert done.returncode == 0
    wanted = re.sub(r"^(>>>|\.\.\.) .*\n", r"\1 ", lines, flags=re.MULTILINE)
    assert without_reasoning(done.stdout.decode()) == without_reasoning(wanted)
    assert (tmp_path / "talk.json").is_file()
