"""Figures of the benchmark: name what is measured, its unit and its bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmarks.streams.stage import Stage

__all__ = ["Bar", "Figure", "Measure", "Quantity"]


@dataclass(frozen=True, slots=True)
class Bar:
    """Bar that the gateway has to reach, by its value or its ratio to a peer's."""

    limit: float
    beyond: float | None = None
    peer: str | None = None
    at_least: bool = False
    """The limit is the least; else it is the most."""

    def reached(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row of the table."""

    key: str
    title: str
    unit: str
    bar: Bar | None = None
    compare: str | None = "smg"
    """The peer whose value the gateway's is divided by, where no bar names one."""
    detail: bool = False
    """It stands in the results, and not in the table."""


class Measure(Protocol):
    """Function that measures one round of a figure."""

    def __call__(self, stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
        """One round on *target*: values by the key of their quantity."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its rows, what it is measured on, and how."""

    key: str
    title: str
    quantities: tuple[Quantity, ...]
    measure: Measure
    targets: tuple[str, ...] | None = None
    """Peers to measure beside the gateways; None: all."""
    in_quick: bool = True
    """``--quick`` measures it even where it is not named."""
