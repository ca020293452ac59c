"""The README is true: its commands are run as they stand, and what it shows is what they give."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.running import running
from tests.support import chat, open_mock, open_pair
from tests.websocket.talking import PATH
from trio_gateway.mock import Options

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [text for kind, text in BLOCKS if kind == "sh"]
CURLS = [text for text in COMMANDS if text.startswith("curl")]
SHOWN = next(text for kind, text in BLOCKS if kind == "text" and text.startswith("event: phase"))

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def free_port() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


async def run(command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(300):
        return await trio.run_process(
            ["sh", "-c", command],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, **environ},
        )


def normal(stream: str) -> list[str]:
    """A stream's lines, without what differs from run to run: the common keys, and how the model's thinking
    happened to fall into lines."""
    text = re.sub(r'^data: \{(…|"id": .*?"model": "default"), ', "data: {…, ", stream, flags=re.MULTILINE)
    lines = [line for line in text.split("\n") if not re.search(r'"content": "\\n[^\\]', line)]
    return [re.sub(r"\[Reasoning Summary\] [^\"]*", "[Reasoning Summary] ", line) for line in lines if line]


@needs_curl
async def test_the_first_curl_line_gives_what_is_shown() -> None:
    async with open_pair(options=Options(port=0, tokens_per_second=50)) as client:
        done = await run(CURLS[0].replace("http://localhost:8080", str(client.base_url).rstrip("/")))
    assert done.returncode == 0
    assert normal(done.stdout.decode()) == normal(SHOWN)


@needs_curl
async def test_the_second_curl_line_gives_one_object() -> None:
    async with open_pair() as client:
        done = await run(CURLS[1].replace("http://localhost:8080", str(client.base_url).rstrip("/")))
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"] == "The answer is 4."
    assert answer["phases"]["prompt_summary"] == 'Processing: "What is 2+2?"...'


async def test_a_key_that_is_made_as_shown_opens_the_gateway(tmp_path: Path) -> None:
    (block,) = [text for text in COMMANDS if "keys add" in text]
    add, serve = re.sub(r"\./run (?=keys|serve)", f"{sys.executable} -m trio_gateway ", block).splitlines()
    serve = "exec env " + serve.replace("0.0.0.0", "127.0.0.1")
    key = (await run(f"cd {tmp_path} && {add}", PYTHONPATH=str(ROOT))).stdout.decode().strip()
    async with (
        open_mock() as url,
        running(["sh", "-c", f"cd {tmp_path} && {serve}"], UPSTREAM_URL=url, PYTHONPATH=str(ROOT)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client,
    ):
        assert (await client.post(PATH, json=chat())).status_code == 401
        served = await client.post(PATH, json=chat(), headers={"Authorization": f"Bearer {key}"})
        assert served.text.endswith("data: [DONE]\n\n")
        assert served.headers["x-ratelimit-limit-requests"] == "60"


@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="./run would make an environment: run ./run test")
async def test_the_demo_shows_the_three_phases() -> None:
    assert "./run demo\n./run test\n" in COMMANDS
    done = await run("./run demo", PORT=free_port(), MOCK_PORT=free_port())
    log = done.stderr.decode()
    assert done.returncode == 0, log
    answer = done.stdout.decode()
    assert answer.count("\n") <= 8
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("[Prompt Summary]")]
    assert shown.endswith(answer)
    # Before it ./run may say that it sets up the environment.
    prompt, reasoning, *_ = log[log.index("[Prompt Summary]") :].splitlines()
    assert prompt == shown.splitlines()[0]
    # Which thoughts come together, and so what a line names, depends on how fast the machine is.
    assert reasoning.startswith("[Reasoning Summary] ")
    for summaries in (log, shown.removesuffix(answer)):
        assert "3 hours and 15 minutes" not in summaries  # the result
    assert "./run serve" in log.rpartition("Next:")[2]


@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="./run would make an environment: run ./run test")
async def test_run_works_in_the_folder_it_is_called_from(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("server.prot = 1")
    done = await run(f"cd {tmp_path} && {ROOT}/run serve --check-config --config gateway.toml")
    assert done.stderr.decode() == 'gateway.toml: unknown key server.prot; did you mean "port"?\n'


@pytest.mark.parametrize("word", ["serve", "test"])
@pytest.mark.parametrize("there", [True, False])
async def test_run_installs_nothing_through_a_link(tmp_path: Path, word: str, there: bool) -> None:
    """Behind it is another checkout's environment, or one that is gone."""
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    shutil.copy(ROOT / "run", here)
    python = other / "bin" / "python"
    if there:
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
        python.chmod(0o755)
    (here / ".venv").symlink_to(other)
    done = await run(f"{here}/run {word}", PYTHON=str(python))
    lock = "requirements-test" if word == "test" else "requirements"
    assert done.stderr.decode() == (
        f"run: {here}/.venv is a link to {other}, whose packages are not those of .ci/{lock}.lock;"
        f" remove the link (rm .venv) and ./run {word} makes an environment of its own\n"
    )
    assert done.returncode == 1
    assert not (tmp_path / "called").exists()
    assert (here / ".venv").is_symlink()


async def test_run_names_a_wrong_word() -> None:
    done = await run("./run sevre")
    assert done.returncode == 2
    assert 'no job "sevre"' in done.stderr.decode()


async def test_every_job_the_readme_names_exists() -> None:
    named = set(re.findall(r"\./run (\w+)", README))
    usage = (await run("./run help")).stdout.decode()
    assert named
    assert named <= set(re.findall(r"^  (\w+)", usage, re.MULTILINE))


@pytest.mark.parametrize(
    ("what", "pattern", "there"),
    [
        (
            "variables",
            r"^\| `([A-Z_]+)`",
            lambda name: any(name in p.read_text() for p in ROOT.glob("trio_gateway/**/*.py")),
        ),
        ("files", r"\]\(([\w./-]+)\)", lambda name: (ROOT / name).is_file()),
    ],
)
def test_what_the_readme_names_is_there(what: str, pattern: str, there: Callable[[str], bool]) -> None:
    names = re.findall(pattern, README, re.MULTILINE)
    assert names
    assert [name for name in names if not there(name) and name != "MOCK_PORT"] == []
