"""Results of a run: hold every value of every round, and save them as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from benchmarks.streams.figures import FIGURES
from benchmarks.streams.stage import GATEWAY

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from benchmarks.streams.figures import Quantity

__all__ = ["Results", "Summary", "verdict"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Rounds of one quantity on one target."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Summary:
        return cls(statistics.median(values), min(values), max(values))

    @property
    def spread(self) -> float:
        """Half of the range of the values, as a share of the median."""
        return (self.most - self.least) / 2 / abs(self.median) if self.median else 0.0


@dataclass(slots=True)
class Results:
    """Values by figure, quantity and target; a round that failed on a target has None."""

    machine: dict[str, str]
    targets: list[str]
    gateways: list[str]
    rounds: int
    values: dict[str, dict[str, dict[str, list[float | None]]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def add(self, figure: str, target: str, at: int, values: dict[str, float]) -> None:
        """Note one round's *values*; *at* is its number, from 0."""
        for quantity in FIGURES[figure].quantities:
            rounds = self.values.setdefault(figure, {}).setdefault(quantity.key, {}).setdefault(target, [])
            rounds += [None] * (at - len(rounds))
            rounds.append(values.get(quantity.key))

    def forget(self, figures: list[str]) -> None:
        """Forget the values of *figures*, which are measured anew."""
        for figure in figures:
            self.values.pop(figure, None)
        self.notes = [note for note in self.notes if note.split(",")[0] not in figures]

    def rounds_of(self, figure: str, quantity: str, target: str) -> list[float | None]:
        return self.values.get(figure, {}).get(quantity, {}).get(target, [])

    def summary(self, figure: str, quantity: str, target: str) -> Summary | None:
        """None where no round gave a value."""
        values = [value for value in self.rounds_of(figure, quantity, target) if value is not None]
        return Summary.of(values) if values else None

    def ratio(self, figure: str, quantity: str, peer: str, gateway: str = GATEWAY) -> Summary | None:
        """The gateway's value divided by the peer's, round by round; None where no round has both."""
        pairs = zip(
            self.rounds_of(figure, quantity, gateway), self.rounds_of(figure, quantity, peer), strict=False
        )
        ratios = [own / other for own, other in pairs if own is not None and other]
        return Summary.of(ratios) if ratios else None


def verdict(results: Results, figure: str, quantity: Quantity, gateway: str = GATEWAY) -> str:
    """Whether the bar was reached: "yes", "beyond" or "no"; "" where there is none, or no value for it."""
    bar = quantity.bar
    if bar is None:
        return ""
    if bar.peer is None:
        found = results.summary(figure, quantity.key, gateway)
    else:
        found = results.ratio(figure, quantity.key, bar.peer, gateway)
    if found is None:
        return ""
    if bar.beyond is not None and bar.reached(found.median, bar.beyond):
        return "beyond"
    return "yes" if bar.reached(found.median, bar.limit) else "no"
