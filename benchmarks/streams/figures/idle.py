"""Idle gateway (P11): measures its start, and its memory before the first request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.processes import start, stop, usage
from benchmarks.streams.servers import health_answered

if TYPE_CHECKING:
    from benchmarks.streams.stage import Stage

__all__ = ["IDLE"]

_SETTLES: Final = 0.5
"""Seconds after which the memory is read."""


def _idle(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    how = stage.cold(target)
    with (stage.folder / f"{how.name}.log").open("wb") as log:
        began = time.monotonic()
        process = start(how.command, stage.cores.gateway, log.fileno(), how.environ)
    try:
        ready = health_answered(process, how.port, "/health/live")
        time.sleep(_SETTLES)
        return {"start": ready - began, "memory": usage(process.pid).rss / 1024}
    finally:
        stop(process)


IDLE: Final = Figure(
    "P11",
    "the gateway with nothing to do",
    (
        Quantity("memory", "memory", "MiB", Bar(60, 50), compare=None),
        Quantity("start", "from its start to its first answer", "s", Bar(1, 0.6), compare=None),
    ),
    _idle,
    targets=(),
)
