"""The gateway as a library: what its documentation shows runs, and wrong values are refused in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from quart_trio import QuartTrio

import trio_gateway
from trio_gateway import DEFAULT_MODELS, ConfigError, ModelConfig, Settings, create_app, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = (Path(__file__).parent.parent / "docs" / "embedding.md").read_text(encoding="utf-8")


def test_the_program_of_the_documentation_passes_its_test(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for text in blocks:
        name = re.match(r'"""(\w+\.py)', text)
        assert name
        (tmp_path / name[1]).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\npythonpath = .\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # of the outer run
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_all_that_the_documentation_names_is_there() -> None:
    named = set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE))
    assert named
    assert named <= set(trio_gateway.__all__)
    assert set(trio_gateway.__all__) <= set(dir(trio_gateway)) | {*trio_gateway._HOMES}


def test_every_way_to_configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("server.port = 1\n[upstreams.main]\nurl = 'http://file'")
    tables = {"server": {"port": 2}, "upstreams": {"main": {"url": "http://dict"}}}
    monkeypatch.setenv("PORT", "3")
    seen = [
        load_settings(environ={}),
        load_settings(file, environ={}),
        load_settings(str(file), environ={"UPSTREAM_URL": "http://env"}),
        load_settings(tables, environ={}),
        load_settings(tables, environ={"UPSTREAM_URL": "http://env"}, upstream_url="http://given"),
        load_settings({"upstreams": {"gpu": {"url": "http://gpu"}}}, upstream_url="http://given"),
    ]
    told = [(each.config.server.port, each.config.upstreams["main"].url) for each in seen]
    assert told == [
        (8080, "http://localhost:9000/v1"),
        (1, "http://file/v1"),
        (1, "http://env/v1"),
        (2, "http://dict/v1"),
        (2, "http://given/v1"),
        (3, "http://given/v1"),
    ]
    assert tables == {"server": {"port": 2}, "upstreams": {"main": {"url": "http://dict"}}}
    app = create_app(seen[3])
    assert isinstance(app, QuartTrio)
    assert app.settings is seen[3]
    assert isinstance(app.settings, Settings)


def test_models_in_code_beat_the_environment() -> None:
    models: dict[str, ModelConfig | Mapping[str, Any]] = {
        "default": {"upstream_model": "code"},
        "r1": DEFAULT_MODELS["deepseek-r1"],
    }
    config = load_settings(models=models, environ={"UPSTREAM_MODEL": "env"}).config
    assert config.models["default"].upstream_model == "code"
    assert config.models["r1"].markers == DEFAULT_MODELS["deepseek-r1"].markers
    assert config.models["r1"].upstreams == ("main",)
    own = load_settings(models={"x": ModelConfig(hedge_after=1.0)}, environ={}).config.models["x"]
    assert own.hedge_after == 1.0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"config": {"server": {"prot": 1}}}, 'config: unknown key server.prot; did you mean "port"?'),
        (
            {"config": {"server": {"port": None}}},
            "config: server.port: expected an integer from 0 up to 65535, found nothing",
        ),
        (
            {"config": {"server": object()}},
            "config: expected tables, arrays, strings and numbers, found something else",
        ),
        ({"upstream_url": "gpu:8000"}, 'upstream_url = "gpu:8000": write http://gpu:8000'),
        (
            {"models": {"x": {"dialect": "old"}}},
            'models: models.x.dialect: expected "harmony" or "tags", found "old"',
        ),
        (
            {"models": {"x": {"match": object()}}},
            'models["x"]: expected tables, arrays, strings and numbers, found something else',
        ),
    ],
)
def test_a_wrong_value_is_one_line(arguments: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_app(**arguments, environ={})  # type: ignore[arg-type]
    assert str(caught.value) == line


def test_settings_are_complete() -> None:
    with pytest.raises(TypeError, match="settings are complete"):
        create_app(load_settings(environ={}), upstream_url="http://h")
    with pytest.raises(TypeError, match="expected a path"):
        create_app(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"markers": 5}, "markers: expected an array, found 5"),
        ({"markers": [["<a>", ""]]}, "markers[0][1]: expected a string of 1 to 128 characters"),
        ({"hedge_after": float("nan")}, "hedge_after: expected a number from 0 up to 1000000000, found nan"),
        ({"dialect": "x"}, 'dialect: expected "harmony" or "tags", found "x"'),
    ],
)
def test_a_model_checks_its_fields(values: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"ModelConfig: {line}")):
        ModelConfig(**values)  # type: ignore[arg-type]


def test_a_models_lists_become_tuples() -> None:
    model = ModelConfig(markers=[["<a>", "</a>"]])  # type: ignore[arg-type]
    assert model.markers == (("<a>", "</a>"),)
    assert hash(model) == hash(ModelConfig(markers=(("<a>", "</a>"),)))
