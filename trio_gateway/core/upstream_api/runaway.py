"""Runaway guard: limits reasoning by time, by text and by repetition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..text.recent import RecentText

if TYPE_CHECKING:
    from ..config import ModelConfig

__all__ = ["ReasoningLimit"]

# A circle is text that is the same piece over and over: so many times, and so many characters in all. Rows of
# zeros or dashes in honest reasoning stay below this.
_ROUNDS = 5
_CIRCLE = 1_000
# Characters remembered, which is five rounds of the longest piece that is noticed, and how often to look.
_MEMORY = 16_384
_LOOK_EVERY = 256
# The end of the text is looked for before it, at so many places: the piece itself may hold it more than once.
_PROBE = 64
_PLACES = 8


class ReasoningLimit:
    """The limits *model* sets for one attempt (its fields ``max_reasoning_*`` and ``repetition_guard``)."""

    def __init__(self, model: ModelConfig) -> None:
        self._seconds = model.max_reasoning_seconds
        self._characters = model.max_reasoning_chars
        self._guards = model.repetition_guard
        self._size = 0
        self._tail: RecentText | None = None  # once there is a text
        self._looked_at = 0
        self._circles = False
        self.deadline = math.inf
        """Instant by which the thinking that has begun must be over."""

    def feed(self, text: str, now: float) -> None:
        """Take reasoning as it comes, at the instant *now* (monotonic seconds)."""
        if not self._size and self._seconds:
            self.deadline = now + self._seconds
        self._size += len(text)
        if self._guards and not self._circles:
            if self._tail is None:
                self._tail = RecentText(_MEMORY)
            self._tail.add(text[-_MEMORY:])
            if self._size - self._looked_at >= _LOOK_EVERY:
                self._looked_at = self._size
                self._circles = _runs_in_a_circle(self._tail.text())

    def exceeded(self, now: float) -> str | None:
        """In one sentence which limit is passed; None while none is."""
        if self._characters and self._size > self._characters:
            return f"The model thought more than {self._characters} characters."
        if now >= self.deadline:
            return f"The model thought for more than {self._seconds:g} seconds."
        return "The model's reasoning runs in a circle." if self._circles else None


def _runs_in_a_circle(text: str) -> bool:
    probe, end = text[-_PROBE:], len(text) - 1
    for _ in range(_PLACES):
        found = text.rfind(probe, 0, end)
        if found < 0:
            return False
        period = len(text) - _PROBE - found
        rounds = max(_ROUNDS, math.ceil(_CIRCLE / period))
        if text.endswith(text[-period:] * rounds):
            return True
        end = found + _PROBE - 1
    return False
