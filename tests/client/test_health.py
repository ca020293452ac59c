"""``--health``."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from client import main
from tests.client.scripted import http, interrupt, serving

CLOSED: dict[str, Any] = {
    "state": "closed",
    "generation": 2,
    "failure_rate": 0.25,
    "slow_rate": 0.5,
    "calls": 40,
    "open_until_s": 0,
    "probes_in_flight": 0,
    "in_flight": 3,
    "opened_total": 1,
    "last_error_class": None,
}
OPEN = CLOSED | {"state": "open", "open_until_s": 11.7, "last_error_class": "upstream_\x1b[2Jclosed"}


def health(status: str, **upstreams: dict[str, Any]) -> dict[str, Any]:
    told = {"status": status, "version": "1.2.3", "uptime_s": 12.4, "active_streams": 5}
    return told | {"upstreams": upstreams}


@pytest.mark.parametrize(
    ("status", "code"), [("ok", 0), ("degraded", 0), ("draining", 0), ("unavailable", 1)]
)
def test_health(status: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    told = health(status, gpu=CLOSED, hosted=OPEN, older={**CLOSED, "state": "half_open"})
    with serving([http("200 OK", told)]) as server:
        assert main(["--url", server.url, "--health"]) == code
        shown = capsys.readouterr().out
        assert main(["--url", server.url, "--health", "--json"]) == code
        assert json.loads(capsys.readouterr().out) == told
    assert shown.startswith(f"status {status}, version 1.2.3, up 12 s, active streams 5\n")
    assert "\x1b" not in shown
    rows = [re.split(" {2,}", line.strip()) for line in shown.splitlines()]
    assert ["gpu", "closed", "25%", "50%", "40", "3", "1", "-"] in rows
    assert ["older", "half_open", "25%", "50%", "40", "3", "1", "-"] in rows
    assert any(row[:2] == ["hosted", "open, 12 s left"] for row in rows)
    assert server.heads[0].startswith("GET /health ")


def test_an_upstream_of_which_little_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    little = {"state": "open", "failure_rate": 1, "calls": 5, "in_flight": 0}
    with serving([http("200 OK", health("unavailable", a=little))]) as server:
        assert main(["--url", server.url, "--health"]) == 1
    assert re.search("a +open +100% +0% +5 ", capsys.readouterr().out)


@pytest.mark.parametrize(
    "answer",
    [http("200 OK", b"<html>"), http("404 Not Found", {"error": {"message": "no"}}), b"HTTP/1.1 200 OK\r\n"],
)
def test_no_health(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([answer]) as server:
        assert main(["--url", server.url, "--health"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")


def test_ctrl_c_during_health(capsys: pytest.CaptureFixture[str]) -> None:
    with serving([interrupt, 20.0]) as server:
        assert main(["--url", server.url, "--health"]) == 130
        assert server.left.wait(5)
