"""The commands of ``trio-gateway``: each word starts its program, and a wrong one is named."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from trio_gateway import demo
from trio_gateway.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("word", ["serve", "chat", "mock", "demo", "keys"])
def test_each_command_has_its_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: trio-gateway {word} ")


def test_a_wrong_word_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sevre"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "'sevre'" in told
    assert all(word in told for word in ("serve", "chat", "mock", "demo", "keys"))


@pytest.mark.parametrize("words", [["serve", "--config", "FILE"], ["--config", "FILE", "serve"]])
def test_options_may_stand_on_either_side(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.toml").write_text("server.port = 1\n")
    file = str(tmp_path / "gateway.toml")
    assert main([*(file if word == "FILE" else word for word in words), "--check-config"]) == 0
    assert capsys.readouterr().out == "configuration: ok\n"


def test_a_word_after_chat_is_the_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert main(["chat", "What is 2+2?", "--url", "http://127.0.0.1:1"]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["PORT", "MOCK_PORT"])
def test_the_demo_names_a_port_that_it_cannot_use(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        port, other = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        monkeypatch.setenv("PORT", str(other))
        monkeypatch.setenv(variable, str(port))
        assert demo.main([]) == 1
        assert f"port {port} is busy; choose another one: {variable}=" in capsys.readouterr().err
    monkeypatch.setenv(variable, "many")
    assert demo.main([]) == 1
    assert f"{variable}=many: write a port" in capsys.readouterr().err
