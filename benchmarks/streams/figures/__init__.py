"""Figures of the benchmark, by their names, in the order in which they are measured."""

from __future__ import annotations

from typing import Final

from benchmarks.streams.figures.delay import DELAY
from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.figures.growth import GROWTH
from benchmarks.streams.figures.hostile import HOSTILE
from benchmarks.streams.figures.idle import IDLE
from benchmarks.streams.figures.pace import FAIRNESS, FIRST_BYTE, PACED, THOUSAND
from benchmarks.streams.figures.throughput import UNPACED, UNPACED_REASONING, WHOLE

__all__ = ["FIGURES", "Bar", "Figure", "Quantity"]

FIGURES: Final = {
    figure.key: figure
    for figure in (
        UNPACED,
        UNPACED_REASONING,
        PACED,
        FIRST_BYTE,
        THOUSAND,
        GROWTH,
        WHOLE,
        DELAY,
        FAIRNESS,
        HOSTILE,
        IDLE,
    )
}
