"""The sliding window a breaker takes its rates over: the last so many seconds, or the last so many calls.

Both kinds hold a fixed amount of memory however many calls they see, and count exactly. A window is
never emptied: whoever wants an empty one makes a new one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..config import BreakerConfig

__all__ = ["CallWindow", "TimeWindow", "Totals", "Window", "open_window"]

_BUCKETS = 10


class Totals(NamedTuple):
    """What a window holds."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    @property
    def failure_rate(self) -> float:
        """Share of failures, 0 … 1; 0 for an empty window."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_rate(self) -> float:
        """Share of slow calls, 0 … 1; 0 for an empty window."""
        return self.slow / self.calls if self.calls else 0.0

    def plus(self, other: Totals) -> Totals:
        """The sum of both."""
        return Totals(self.calls + other.calls, self.failures + other.failures, self.slow + other.slow)

    def minus(self, other: Totals) -> Totals:
        """What is left without *other*."""
        return Totals(self.calls - other.calls, self.failures - other.failures, self.slow - other.slow)


class Window(Protocol):
    """What the breaker needs of a window. *now* is monotonic seconds and never goes back."""

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Record one call that ended at *now*."""

    def totals(self, now: float) -> Totals:
        """Count what is inside at *now*; reading changes nothing."""


class TimeWindow:
    """The last *span* seconds, in 10 buckets counted from *now*.

    A call leaves together with its bucket: it counts for at least 9/10 of the span and never longer
    than the whole. Buckets start at the window's own birth, so the clock's zero plays no part.
    """

    __slots__ = ("_buckets", "_epoch", "_width")

    def __init__(self, span: float, now: float) -> None:
        self._epoch = now
        self._width = span / _BUCKETS
        # Each bucket bears the number of the slice of time it holds, so a stale one needs no sweeping.
        self._buckets = [(0, Totals())] * _BUCKETS

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        number = self._number(now)
        held, totals = self._buckets[number % _BUCKETS]
        before = totals if held == number else Totals()
        self._buckets[number % _BUCKETS] = (number, before.plus(Totals(1, failed, slow)))

    def totals(self, now: float) -> Totals:
        oldest = self._number(now) - _BUCKETS + 1
        total = Totals()
        for number, totals in self._buckets:
            if number >= oldest:
                total = total.plus(totals)
        return total

    def _number(self, now: float) -> int:
        return int((now - self._epoch) // self._width)


class CallWindow:
    """The last *size* calls, however old they are."""

    __slots__ = ("_calls", "_totals")

    def __init__(self, size: int) -> None:
        self._calls: deque[Totals] = deque(maxlen=size)
        self._totals = Totals()

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        if len(self._calls) == self._calls.maxlen:
            self._totals = self._totals.minus(self._calls[0])
        call = Totals(1, failed, slow)
        self._calls.append(call)
        self._totals = self._totals.plus(call)

    def totals(self, now: float) -> Totals:
        return self._totals


def open_window(config: BreakerConfig, now: float) -> Window:
    """The empty window that *config* asks for, beginning at *now*."""
    return CallWindow(config.window_calls) if config.window_calls else TimeWindow(config.window, now)
