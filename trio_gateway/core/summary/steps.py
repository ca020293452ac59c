"""Work in slices: a generator that yields wherever other tasks may run, and what runs one to its end.

A summary must never hold the event loop, and the core may not wait. So whatever takes longer than a moment
is a generator here: between two of its yields it handles about ``SLICE`` characters, which takes well under
2 ms. The engine runs it with a checkpoint at every yield.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

__all__ = ["SLICE", "Steps", "at_once"]

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]

SLICE = 240
"""Characters of a text that are worked up between two yields, or an equal effort."""


def at_once(steps: Steps[T]) -> T:
    """The result of *steps*, run without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
