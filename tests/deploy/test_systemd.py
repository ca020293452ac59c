"""The systemd unit: taken by systemd, and its command starts with its environment."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.deploy.programs import DEPLOY, check, needs
from tests.running import running
from tests.support import settings

if TYPE_CHECKING:
    from pathlib import Path

PATH = DEPLOY / "systemd" / "trio-gateway.service"
UNIT = PATH.read_text(encoding="utf-8")
PROGRAM = "/opt/trio-gateway/bin/trio-gateway"


def value(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(found)


@pytest.mark.system
@needs("systemd-analyze")
def test_systemd_takes_it(tmp_path: Path) -> None:
    unit = tmp_path / PATH.name
    unit.write_text(UNIT.replace(PROGRAM, sys.executable))
    assert "trio-gateway.service:" not in check("systemd-analyze", "verify", unit)


async def test_its_command_logs_json_and_stops_at_its_signal() -> None:
    environ = dict(each.split("=", 1) for each in value("Environment").split())
    assert environ["LOG_FORMAT"] == "json"
    assert value("KillSignal") == "SIGTERM"
    first, *options = shlex.split(value("ExecStart"))
    assert first == PROGRAM
    async with (
        running([sys.executable, "-m", "trio_gateway", *options], **environ) as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client,
    ):
        assert (await client.get("/health/live")).status_code == 200
        assert await gateway.stop() == 0
    assert gateway.log
    assert all(line.startswith("{") for line in gateway.log)


def test_it_has_the_time_to_finish_answers() -> None:
    assert float(value("TimeoutStopSec")) > settings().config.server.graceful_timeout
