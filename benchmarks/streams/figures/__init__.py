"""Figures of the benchmark, by their names, in the order in which they are measured."""

from __future__ import annotations

from typing import Final

from .delay import DELAY
from .figure import Bar, Figure, Quantity
from .growth import GROWTH
from .hostile import HOSTILE
from .idle import IDLE
from .pace import FAIRNESS, FIRST_BYTE, PACED, THOUSAND
from .throughput import UNPACED, UNPACED_REASONING, WHOLE

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
