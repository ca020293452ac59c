"""Throughput: measures unpaced streams (P1, P2) and whole answers (P7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.load import Load
from benchmarks.streams.stage import DIRECT

if TYPE_CHECKING:
    from benchmarks.streams.stage import Stage

__all__ = ["UNPACED", "UNPACED_REASONING", "WHOLE"]

_STREAMS: Final = 32
_TOKENS: Final = 300
_SECONDS: Final = 3.0
"""About how long a run takes, unless 32 answers take longer."""
_MOST_REQUESTS: Final = 100 * _STREAMS
_WHOLE_AT_A_TIME: Final = 16
_WHOLE_TOKENS: Final = 20


class _Unpaced:
    """Unpaced streams: measures 32 answers at a time of 300 tokens, some of reasoning.

    All streams run in step, so a run has a multiple of 32 answers, as many as its seconds allow: the target's
    speed is known from the round before, and in the first one from 32 answers that are not counted.
    """

    def __init__(self, think: int) -> None:
        self._think = think
        self._speeds: dict[str, float] = {}

    def __call__(self, stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
        if quick:
            return self._run(stage, target, _STREAMS)
        if target not in self._speeds:
            self._run(stage, target, _STREAMS)
        wanted = self._speeds[target] * _SECONDS / _TOKENS
        requests = round(wanted / _STREAMS) * _STREAMS
        return self._run(stage, target, min(max(requests, _STREAMS), _MOST_REQUESTS))

    def _run(self, stage: Stage, target: str, requests: int) -> dict[str, float]:
        output = _TOKENS - self._think
        answer = f"think={self._think},tokens={output}"
        load = Load(answer=answer, streams=_STREAMS, requests=requests, tokens=output, seconds=120)
        run = stage.load.run(stage.server(target), load)
        tokens = requests * _TOKENS
        self._speeds[target] = tokens / run.seconds
        return {
            "speed": tokens / run.seconds,
            "cpu": 1e6 * run.cpu / tokens,
            "programs": 100 * run.programs / run.seconds,
        }


def _whole(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """One round of whole answers: requests a second between the first and the last tick."""
    seconds = 1.0 if quick else 4.0
    load = Load(
        answer=f"tokens={_WHOLE_TOKENS}",
        streams=_WHOLE_AT_A_TIME,
        requests=10_000_000,
        tokens=_WHOLE_TOKENS,
        whole=True,
    )
    run = stage.load.run(stage.server(target), load, until=lambda ticks: ticks[-1].seconds >= seconds)
    first, last = run.ticks[1], run.ticks[-1]
    done = last.finished - first.finished
    return {
        "requests": done / (last.seconds - first.seconds),
        "cpu": 1e6 * (last.usage.cpu - first.usage.cpu) / max(done, 1),
    }


_CPU: Final = (
    Quantity("cpu", "CPU", "µs/token"),
    Quantity("programs", "load programs' share of their core", "%", compare=None),
)
UNPACED: Final = Figure(
    "P1",
    "unpaced, 32 streams × 300 tokens, no reasoning",
    (Quantity("speed", "tokens", "1/s", Bar(0.6, 1.0, "smg", at_least=True)), *_CPU),
    _Unpaced(0),
)
UNPACED_REASONING: Final = Figure(
    "P2",
    "the same, 100 of the 300 are reasoning (the gateway summarises it)",
    (Quantity("speed", "upstream's tokens", "1/s", Bar(0.4, 0.7, "smg", at_least=True)), *_CPU),
    _Unpaced(100),
    targets=(DIRECT, "nginx", "smg", "vllm-router"),
)
WHOLE: Final = Figure(
    "P7",
    "whole answers of 20 tokens, 16 at a time",
    (
        Quantity("requests", "answers", "1/s", Bar(6, 12, "litellm", at_least=True)),
        Quantity("cpu", "CPU", "µs/answer", compare="litellm"),
    ),
    _whole,
)
