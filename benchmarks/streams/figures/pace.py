"""Paced streams: measure a hundred, one, a thousand, and one beside unpaced ones.

These are the figures P3, P4, P5 and P9.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.load import Load
from benchmarks.streams.stage import DIRECT

if TYPE_CHECKING:
    from benchmarks.streams.stage import Stage

__all__ = ["FAIRNESS", "FIRST_BYTE", "PACED", "THOUSAND"]

_THOUSAND: Final = 1000
_PACED_SECONDS: Final = 12.0
"""After so long, twice the time of a target that keeps up, a run of P3 is ended as it is."""


def _paced(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """100 streams × 40 tokens a second."""
    tokens = 60 if quick else 240
    load = Load(
        answer=f"tokens={tokens},pace_us=25000",
        streams=100,
        requests=100,
        tokens=tokens,
        ramp_ms=500,
        seconds=90,
    )
    run = stage.load.run(stage.server(target), load, until=lambda ticks: ticks[-1].seconds >= _PACED_SECONDS)
    return {
        "speed": run.tokens / run.seconds,
        "cpu": 1e6 * run.cpu / run.tokens,
        "gap": run.ms("gap", "p99"),
    }


def _first_byte(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """One stream, 10 ms between an answer and the next request."""
    load = Load(answer="tokens=5", requests=50 if quick else 200, tokens=5, gap_ms=10, warmup=20)
    run = stage.load.run(stage.server(target), load)
    return {"byte": run.ms("first_byte"), "token": run.ms("first_token"), "p99": run.ms("first_byte", "p99")}


def _thousand(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """1,000 streams opened within 3 s, 2 tokens a second each, on a server that has seen no load."""
    tokens = 10 if quick else 20
    load = Load(
        answer=f"tokens={tokens},pace_us=500000",
        streams=_THOUSAND,
        requests=_THOUSAND,
        tokens=tokens,
        ramp_ms=3000,
        seconds=120,
        may_fail=True,
    )
    with stage.fresh(target) as server:
        run = stage.load.run(server, load)
    return {
        "p50": run.ms("first_byte"),
        "p99": run.ms("first_byte", "p99"),
        "token_p99": run.ms("first_token", "p99"),
        "memory": run.growth / _THOUSAND,
        "cpu": run.cpu,
        "failed": run.failed,
    }


def _fairness(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """A stream of 100 tokens a second beside 8 that are not paced."""
    tokens = 100 if quick else 300
    server = stage.server(target)
    beside = Load(answer="tokens=3000", streams=8, requests=10_000_000, seconds=60)
    with stage.load.beside(server, beside):
        time.sleep(0.3)  # until all eight are under way
        paced = Load(answer=f"tokens={tokens},pace_us=10000", tokens=tokens)
        run = stage.load.run(server, paced)
    return {"gap": run.ms("gap", "p99"), "byte": run.ms("first_byte")}


PACED: Final = Figure(
    "P3",
    "paced, 100 streams × 40 tokens/s",
    (
        Quantity("speed", "tokens delivered", "1/s", Bar(0.99, None, "smg", at_least=True)),
        Quantity("cpu", "CPU", "µs/token", Bar(4, 2.5, "smg")),
        Quantity("gap", "gap at client − gap at upstream, p99", "ms", Bar(15, 8)),
    ),
    _paced,
)
FIRST_BYTE: Final = Figure(
    "P4",
    "1 stream, 10 ms between requests",
    (
        Quantity("byte", "first byte, p50", "ms", Bar(4, 2, "smg")),
        Quantity("token", "first token, p50", "ms"),
        Quantity("p99", "first byte, p99", "ms"),
    ),
    _first_byte,
)
THOUSAND: Final = Figure(
    "P5",
    "1,000 streams opened within 3 s, 2 tokens/s each",
    (
        Quantity("p50", "first byte, p50", "ms"),
        Quantity("p99", "first byte, p99", "ms", Bar(100, 20)),
        Quantity("token_p99", "first token, p99", "ms"),
        Quantity("memory", "memory a stream", "KiB", Bar(45, 35)),
        Quantity("cpu", "CPU for all of it", "s"),
        Quantity("failed", "requests that failed", "", Bar(0), compare=None),
    ),
    _thousand,
    targets=(DIRECT, "nginx", "smg", "vllm-router"),
    in_quick=False,
)
FAIRNESS: Final = Figure(
    "P9",
    "a stream of 100 tokens/s beside 8 unpaced ones",
    (
        Quantity("gap", "gap at client − gap at upstream, p99", "ms", Bar(50, 20)),
        Quantity("byte", "first byte", "ms"),
    ),
    _fairness,
    targets=(DIRECT, "nginx", "smg", "vllm-router"),
)
