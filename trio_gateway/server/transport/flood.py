"""A count of what comes in too fast."""

from __future__ import annotations

from collections import deque

__all__ = ["Flood"]


class Flood:
    """More than *limit* of something within *seconds*.

    >>> flood = Flood(2, seconds=10.0)
    >>> [flood.add(now) for now in (0.0, 1.0, 2.0, 11.5)]
    [False, False, True, False]
    """

    def __init__(self, limit: int, *, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._instants: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Count one more at the instant *now*; true where it is one too many."""
        while self._instants and self._instants[0] <= now - self._seconds:
            self._instants.popleft()
        self._instants.append(now)
        return len(self._instants) > self._limit
