from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config import (
    BreakerConfig,
    ConfigError,
    GatewayConfig,
    ModelConfig,
    ServerConfig,
    SummaryConfig,
    UpstreamConfig,
)

SECTIONS: list[type[msgspec.Struct]] = [
    BreakerConfig,
    GatewayConfig,
    ModelConfig,
    ServerConfig,
    SummaryConfig,
    UpstreamConfig,
]


def accepted(section: type[msgspec.Struct], **values: object) -> bool:
    if section is UpstreamConfig:
        values = {"url": "http://host/v1", **values}
    try:
        msgspec.convert(values, section)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_frozen_and_knows_its_keys(section: type[msgspec.Struct]) -> None:
    assert accepted(section)
    assert not accepted(section, no_such_key=1)
    value = msgspec.convert({"url": "x"} if section is UpstreamConfig else {}, section)
    with pytest.raises((AttributeError, FrozenInstanceError)):
        setattr(value, section.__struct_fields__[0], None)


@pytest.mark.parametrize("section", [section for section in SECTIONS if section is not UpstreamConfig])
def test_the_defaults_pass_their_own_checks(section: type[msgspec.Struct]) -> None:
    shown = msgspec.to_builtins(section())
    if section is ModelConfig:
        shown.pop("upstreams")  # none is what "not set" is held as, and not a value to write
    assert msgspec.convert(shown, section) == section()


@pytest.mark.parametrize(
    ("section", "key", "good", "bad"),
    [
        (ServerConfig, "host", ["::1", "localhost"], ["", " ", "a b", "localhost\n", 1]),
        (ServerConfig, "port", [0, 65535], [-1, 65536, 80.0, True, "80"]),
        (ServerConfig, "heartbeat", [1, 0.001, 1e9], [0, -1, float("nan"), float("inf"), True, "15"]),
        (ServerConfig, "max_body", [1, 10**9], [0, 10**9 + 1, 1.0]),
        (ServerConfig, "stream_format", ["phases", "openai"], ["", "Phases"]),
        (ServerConfig, "cors_origins", [[], ["https://a"]], ["https://a", [1]]),
        (BreakerConfig, "window_calls", [0, 100_000], [-1, 100_001]),
        (BreakerConfig, "failure_rate", [1, 0.01], [0, 1.01]),
        (BreakerConfig, "consecutive", [0, 5], [-1]),
        (BreakerConfig, "jitter", [0, 0.99], [-0.1, 1]),
        (BreakerConfig, "on_trip", ["all", "unstarted"], ["none"]),
        (BreakerConfig, "force", ["", "open", "closed"], ["half_open"]),
        (ModelConfig, "upstreams", [["a"], ["a", "b"]], [[], "a"]),
        (ModelConfig, "markers", [[], [["a", "b"]]], [[["", "b"]], [["a", ""]], [["a"]], [["a", "\n"]]]),
        (ModelConfig, "markers", [[["a" * 128, "b"]]], [[["a" * 129, "b"]], [["a", "b", "c"]], [[1, 2]]]),
        (ModelConfig, "wrappers", [[], [["", "b"]]], [[["", ""]], [[" ", "b"]], [["\n", "b"]]]),
        (ModelConfig, "label", ["", "thought\n"], [" ", "a" * 129]),
        (ModelConfig, "prose_starts", [[], ["Hm"]], [[""], ["Hm", " "]]),
        (ModelConfig, "tool_markers", [[], ["<tool_call>"]], [[""]]),
        (ModelConfig, "starts_in_reasoning", [True, False, "when_thinking"], [1, "always"]),
        (ModelConfig, "hedge_after", [0, 1.5], [-1, float("nan"), float("inf")]),
        (SummaryConfig, "interval", [0.05, 2], [0.04, float("inf")]),
    ],
)
def test_values(section: type[msgspec.Struct], key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert accepted(section, **{key: value}), value
    for value in bad:
        assert not accepted(section, **{key: value}), value


def test_an_error_names_place_key_expected_and_found() -> None:
    assert str(ConfigError("a.toml", "server.port", "an integer", '"x"')) == (
        'a.toml: server.port: expected an integer, found "x"'
    )
    assert str(ConfigError("LOG_LEVEL", "", "a level", '"x"')) == 'LOG_LEVEL: expected a level, found "x"'


@given(st.text(), st.text(), st.text(), st.text())
def test_an_error_is_one_printable_line(where: str, key: str, expected: str, found: str) -> None:
    assert str(ConfigError(where, key, expected, found)).isprintable()


def test_an_error_keeps_foreign_scripts_and_escapes_line_ends() -> None:
    assert str(ConfigError("f", "k", "◁think▷", "a\nb\u2028c")).endswith(
        r"expected ◁think▷, found a\nb\u2028c"
    )
