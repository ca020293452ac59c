"""Log lines: both formats, whatever the fields hold."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.server.logs import line_formatter

if TYPE_CHECKING:
    from collections.abc import Mapping

EVIL = "\x1b]52;c;aGk\x07\x00\r\n\t\x7f\x85\x9b31m\u2028\u2029\u202etxt\u2066\u2069"
DRIVES = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
KEY = "gw-" + "aB3-_" * 8 + "xyz"
FORMATS: tuple[Literal["json"], Literal["text"]] = ("json", "text")


def line_of(log_format: Literal["json", "text"], **fields: object) -> str:
    """The line of an event of structlog's."""
    record = logging.makeLogRecord({"msg": {"event": "e", **fields}, "name": "n", "levelname": "INFO"})
    record.__dict__.update(_logger=structlog.get_logger("n"), _name="info")
    return line_formatter(log_format).format(record)


def fields_of(line: str) -> dict[str, Any]:
    """The fields of a text line: strings, or the JSON values that stand in quotes."""
    assert re.fullmatch(r'(?:[^\s=]+=(?:"(?:[^"\\]|\\.)*+"|[^\s"=\\]++)(?: |$))*', line), line
    found = re.findall(r'([^\s=]+)=("(?:[^"\\]|\\.)*+"|\S+)', line)
    return {name: json.loads(value) if value.startswith('"') else value for name, value in found}


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(EVIL)))
def test_any_value_is_one_harmless_line_and_can_be_read_back(value: str) -> None:
    as_json, as_text = line_of("json", path=value), line_of("text", path=value)
    assert json.loads(as_json)["path"] == value
    assert fields_of(as_text)["path"] == value
    assert not DRIVES.search(as_json)
    assert not DRIVES.search(as_text)


def test_the_fields_of_a_text_line_begin_with_what_matters() -> None:
    fields = {
        "timestamp": "t",
        "level": "info",
        "logger": "n",
        "a": 1,
        "b": None,
        "c": "x y",
        "d": 0.5,
        "f": "",
    }
    line = line_of("text", **fields)
    assert line == 'timestamp=t level=info logger=n event=e a=1 b=null c="x y" d=0.5 f=""'


@pytest.mark.parametrize("value", ["a=b", 'a"b', "a\\b", "a b", "", "\x1b", '" level="error'])
def test_a_value_cannot_be_taken_for_more_fields(value: str) -> None:
    assert fields_of(line_of("text", path=value)) == {"event": "e", "path": value}


@pytest.mark.parametrize("log_format", FORMATS)
def test_records_of_other_libraries_and_tracebacks_are_one_line(log_format: Literal["json", "text"]) -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord("lib", logging.WARNING, "p", 1, "hi %s", (EVIL,), sys.exc_info())
    line = line_formatter(log_format).format(record)
    assert not DRIVES.search(line)
    fields = json.loads(line) if log_format == "json" else fields_of(line)
    assert fields["event"] == f"hi {EVIL}"
    assert "Traceback" in fields["exception"]
    assert (fields["level"], fields["logger"]) == ("warning", "lib")


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_client_key_is_never_written(log_format: Literal["json", "text"]) -> None:
    line = line_of(log_format, path=f"/v1/{KEY}/x", other=[KEY])
    assert KEY not in line
    assert "/v1/***/x" in line


LOG_ONE = """
import structlog
from trio_gateway.server.logs import configure_logging
from trio_gateway.server.process import settings_or_exit
settings = settings_or_exit()
configure_logging(settings.log_level, settings.log_format)
structlog.get_logger("n").info("e", path="a b")
"""


def logged(environ: Mapping[str, str], *, on_terminal: bool) -> str:
    """What a process of its own logs, on a terminal or into a pipe."""
    parent, child = pty.openpty() if on_terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", LOG_ONE], stderr=child, env={**os.environ, **environ}
    ) as process:
        if not on_terminal:
            os.close(child)
        assert process.wait(20) == 0
    line = os.read(parent, 65536).decode().strip()
    for handle in (parent, child) if on_terminal else (parent,):
        os.close(handle)
    return line


@pytest.mark.parametrize(
    ("environ", "on_terminal", "is_json"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"LOG_FORMAT": "text"}, False, False),
        ({"LOG_FORMAT": "json"}, True, True),
    ],
)
def test_text_on_a_terminal_else_json_unless_the_environment_decides(
    environ: dict[str, str], on_terminal: bool, is_json: bool
) -> None:
    line = logged(environ, on_terminal=on_terminal)
    fields = json.loads(line) if is_json else fields_of(line)
    assert (fields["event"], fields["path"], fields["logger"]) == ("e", "a b", "n")
