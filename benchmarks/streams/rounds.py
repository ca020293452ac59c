"""Rounds of a run: measure every figure on every target in turn.

The targets take turns, and begin with another one each round, so that noise meets all of them alike.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.streams.figures import FIGURES
from benchmarks.streams.load import RunFailedError
from benchmarks.streams.servers import NotStartedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.streams.figures import Figure
    from benchmarks.streams.results import Results
    from benchmarks.streams.stage import Stage

__all__ = ["measure"]


def measure(stage: Stage, results: Results, figures: Sequence[str], rounds: int, *, quick: bool) -> None:
    """Measure *figures* and note the values in *results*; what fails is noted there and goes on."""
    for key in figures:
        figure = FIGURES[key]
        targets = _targets(figure, results)
        began = time.monotonic()
        for at in range(rounds):
            turn = at % len(targets)
            for target in targets[turn:] + targets[:turn]:
                _progress(f"{key:4}round {at + 1} of {rounds}: {target}")
                _one(stage, results, figure, target, at, quick=quick)
        _progress(f"{key:4}{figure.title}: {time.monotonic() - began:.0f} s\n")


def _targets(figure: Figure, results: Results) -> list[str]:
    if figure.targets is None:
        return results.targets
    return [name for name in results.targets if name in figure.targets or name in results.gateways]


def _one(stage: Stage, results: Results, figure: Figure, target: str, at: int, *, quick: bool) -> None:
    try:
        results.add(figure.key, target, at, figure.measure(stage, target, quick=quick))
    except (RunFailedError, NotStartedError) as error:
        results.notes.append(f"{figure.key}, round {at + 1}, {target}: {error}")


def _progress(text: str) -> None:
    """Show *text* on standard error, over the last one where that is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
    elif text.endswith("\n"):
        sys.stderr.write(text)
    sys.stderr.flush()
