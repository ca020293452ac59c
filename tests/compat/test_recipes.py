"""The recipes of docs/clients.md are run as they stand, but for the gateway's address."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

pytest.importorskip("openai", reason="the extra `compat` is not installed")

from tests.compat.matrix import ROOT
from tests.support import open_pair

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.compat

SECTIONS = re.findall(
    r"^## (.*)\n((?:(?!## ).*\n)*)", (ROOT / "docs" / "clients.md").read_text(encoding="utf-8"), re.MULTILINE
)
RECIPES = {
    name: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for name, text in SECTIONS
}
SHOW_NO_REASONING = {"llm"}
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "python": lambda text: [sys.executable, "-c", text],
    "js": lambda text: ["node", "--input-type=module", "-e", text],
    "sh": lambda text: ["sh", "-e", "-c", text],
}


async def run(kind: str, text: str, folder: Path, home: Path) -> str:
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LLM_USER_PATH": str(home),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with trio.fail_after(60):
        done = await trio.run_process(COMMANDS[kind](text), cwd=folder, env=environ, capture_stdout=True)
    return done.stdout.decode()


@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_works(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name == "curl" and not shutil.which("curl"):
        pytest.skip("needs curl")
    *files, (kind, text) = RECIPES[name]
    folder = request.getfixturevalue("node_clients") if kind == "js" else tmp_path
    async with open_pair() as client:
        url = str(client.base_url).rstrip("/")
        for _, file in files:
            (tmp_path / "extra-openai-models.yaml").write_text(file.replace("http://localhost:8080", url))
        told = await run(kind, text.replace("http://localhost:8080", url), folder, tmp_path)
    assert "The answer is 4." in (told if name != "curl" else content(told))
    assert ("[Reasoning Summary] " in told) == (name not in SHOW_NO_REASONING)


def content(stream: str) -> str:
    return "".join(re.findall(r'"content": "([^"]*)"', stream))


def test_the_document_names_no_client_without_a_recipe_that_runs() -> None:
    assert {kind for (*_, (kind, _)) in RECIPES.values()} <= set(COMMANDS)
    assert len(RECIPES) == 8
