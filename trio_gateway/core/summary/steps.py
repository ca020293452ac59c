"""Steps: generators that yield wherever other tasks may run.

A summary must never hold the event loop, and the core may not wait. So whatever takes longer than a moment is
a generator here: between two of its yields it does an effort of about ``SLICE``, which takes well under 2 ms.
The engine runs it with a checkpoint at every yield.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

__all__ = ["SLICE", "Effort", "Steps", "at_once"]

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]

SLICE = 1_000
"""The effort between two yields. Its unit is what it takes to read a character with half a dozen patterns."""


def at_once(steps: Steps[T]) -> T:
    """The result of *steps*, run without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class Effort:
    """Counts what was done since the last yield."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = SLICE

    def spend(self, amount: int) -> bool:
        """Note an *amount* of work; whether it is time to yield."""
        self._left -= amount
        if self._left > 0:
            return False
        self._left = SLICE
        return True
