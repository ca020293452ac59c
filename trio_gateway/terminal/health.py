"""``--health``: the gateway's state, asked for and printed.

It knows nothing of answers but how they fail.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from ..core.text.control_characters import ascii_json, drop_controls
from .http_client import CONNECT_TIMEOUT, failures_noted, interruptible, open_client
from .received import FAILED, OK, Answer, decode
from .screen import open_console
from .text import error_line, one_line

if TYPE_CHECKING:
    from argparse import Namespace

    from .screen import Screen

__all__ = ["check_health"]

STATES = {"closed": "green", "half_open": "yellow", "open": "red"}


class UpstreamHealth(msgspec.Struct):
    state: str
    failure_rate: float
    calls: int
    in_flight: int
    slow_rate: float = 0.0
    open_until_s: float = 0.0
    opened_total: int = 0
    last_error_class: str | None = None


class Health(msgspec.Struct):
    status: str
    version: str
    uptime_s: float
    active_streams: int
    upstreams: dict[str, UpstreamHealth]


async def check_health(options: Namespace, screen: Screen) -> int:
    """Print the gateway's state. Fails when it cannot be reached or is unavailable."""
    answer = Answer()
    with interruptible(answer), failures_noted(answer, options.url):
        async with open_client(options, silence=CONNECT_TIMEOUT) as client:
            response = await client.get("/health")
        health = decode(response.content, Health)
    if answer.error is not None:
        screen.note(error_line(answer.error), "red")
        return answer.exit_code
    if options.raw and not sys.stdout.isatty():
        print(response.text)
    elif options.raw or options.json:
        print(ascii_json(response.text))
    else:
        print_health(health)
    return FAILED if health.status == "unavailable" else OK


def print_health(health: Health) -> None:
    console = open_console(sys.stdout)
    up, streams = f"{health.uptime_s:.0f} s", health.active_streams
    line = f"status {health.status}, version {health.version}, up {up}, active streams {streams}"
    console.print(Text(_fit(line)))
    breaker, numbers = Column("breaker", no_wrap=True), ("failed", "slow", "calls", "in flight", "trips")
    table = Table("upstream", breaker, *numbers, "last error", box=SIMPLE)
    for name, it in health.upstreams.items():
        left = f", {it.open_until_s:.0f} s left" if it.open_until_s else ""
        state = Text(_fit(it.state + left), STATES.get(it.state, ""))
        counts = (f"{it.failure_rate:.0%}", f"{it.slow_rate:.0%}", it.calls, it.in_flight, it.opened_total)
        error = Text(_fit(it.last_error_class or "-"))
        table.add_row(Text(_fit(name)), state, *map(str, counts), error)
    console.print(table)


def _fit(text: str) -> str:
    return drop_controls(one_line(text))
