"""Event-loop lag: measures how late a timer of the event loop fires."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

__all__ = ["LoopLag"]

# Seconds between two measurements. Each wakes the process once.
_INTERVAL: Final = 1.0
# Measurements that are remembered: a minute of them, so that no lag falls between two scrapes.
_REMEMBERED: Final = 60


class LoopLag:
    """The lag of the event loop that :meth:`run` runs in.

    A loop that one task holds, or that has more work than its core can do, fires every timer late.
    """

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def longest(self) -> float:
        """Seconds that a timer was late at the most within the last minute; 0 before any was measured."""
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        """Measure, until cancelled."""
        while True:
            due = trio.current_time() + _INTERVAL
            await trio.sleep_until(due)
            self._lags.append(max(0.0, trio.current_time() - due))
