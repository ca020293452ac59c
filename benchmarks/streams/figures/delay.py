"""Delay of the output by summaries (P8): compares the first token with and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.load import Load

if TYPE_CHECKING:
    from benchmarks.streams.stage import Stage

__all__ = ["DELAY"]

_SUMMARY: Final = """
[upstreams.small]
url = "http://127.0.0.1:{{upstream}}{path}/v1"
[summary]
prompt = "{mode}"
reasoning = "{mode}"
upstream = "small"
model = "small"
interval = 0.05
"""
_OFF: Final = "off"
_MODES: Final = {
    _OFF: ("off", ""),
    "extractive": ("extractive", ""),
    "fast": ("model", "/brief"),
    "hangs": ("model", "/hang"),
    "fails": ("model", "/fail"),
}
"""By name: where lines come from, and the path of the upstream at which the summarising model behaves so."""
_REASONING: Final = {
    "dozen": "think=12,text=thoughts,tokens=1,pace_us=4000",
    "piece": "think=1,size=65536,text=thoughts,tokens=1,pace_us=4000",
}


def _delay(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """Milliseconds that a mode adds to the median time between the token's departure and its arrival."""
    requests, gap, warmup = (4, 5, 1) if quick else (25, 20, 2)
    values: dict[str, float] = {}
    for reasoning, answer in _REASONING.items():
        times = {}
        for mode, (summary, path) in _MODES.items():
            server = stage.variant(target, mode, _SUMMARY.format(mode=summary, path=path))
            load = Load(answer=answer, requests=requests, tokens=1, gap_ms=gap, warmup=warmup)
            times[mode] = stage.load.run(server, load).ms("latency")
        values |= {f"{reasoning}_{mode}": times[mode] - times[_OFF] for mode in _MODES if mode != _OFF}
        values[f"{reasoning}_{_OFF}"] = times[_OFF]
    return values


def _quantities() -> list[Quantity]:
    rows = [Quantity("dozen_off", "without summaries, p50 of the first output token", "ms", compare=None)]
    names = {
        "extractive": "extractive",
        "fast": "model, fast",
        "hangs": "model, hangs",
        "fails": "model, fails",
    }
    rows += [Quantity(f"dozen_{key}", f"added, {name}", "ms", Bar(1, 0.3)) for key, name in names.items()]
    rows += [
        Quantity(f"piece_{key}", f"added, {name}, 64 KiB of reasoning in one piece", "ms", Bar(1, 0.3))
        for key, name in names.items()
    ]
    return rows


DELAY: Final = Figure(
    "P8",
    "delay that summaries add to the first output token, 12 thoughts 4 ms apart, interval 0.05 s",
    tuple(_quantities()),
    _delay,
    targets=(),
)
