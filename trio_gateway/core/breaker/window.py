"""Sliding window: holds the latest calls, by time or by number, and their clients.

Both kinds hold an amount of memory that does not grow with the number of calls, and count exactly. A window
is never emptied: a new one takes its place.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from .tally import Tally

if TYPE_CHECKING:
    from ..config import BreakerConfig
    from .tally import Source

__all__ = ["LatestTwo", "Record", "Totals", "Window"]

_BUCKETS: Final = 10


class Record(NamedTuple):
    """One call that ended, as far as it matters."""

    failed: bool = False
    slow: bool = False
    source: Source | None = None
    """Of a bad call: who asked for what; None where it got no HTTP answer."""


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


class Window:
    """The calls that count. Every *now* is monotonic seconds and never goes back.

    A window of seconds has 10 buckets counted from its own birth, so the clock's zero plays no part. A call
    leaves together with its bucket: it counts for at least 9/10 of the span and never longer than the whole.
    Each bucket, or in a window of calls each call, is a *slot*, numbered upwards.
    """

    def __init__(self, config: BreakerConfig, now: float) -> None:
        self._epoch = now
        self._width = config.window / _BUCKETS
        self._size = config.window_calls
        self._added = 0
        self._entries: OrderedDict[tuple[int, Record], int] = OrderedDict()  # by slot, as time only grows
        self.calls = 0
        self.failures = Tally()
        self.slow = Tally()

    def slot(self, now: float) -> int:
        """The slot in which a call that ends at *now* is entered."""
        return self._added if self._size else int((now - self._epoch) // self._width)

    def oldest(self, now: float) -> int:
        """The oldest slot that is still inside at *now*."""
        return self._added - self._size if self._size else self.slot(now) - _BUCKETS + 1

    def add(self, now: float, record: Record) -> None:
        """Enter one call that ended at *now*."""
        slot = self.slot(now)
        self._entries[slot, record] = self._entries.get((slot, record), 0) + 1
        self._added += 1
        self._count(record, 1)
        oldest = self.oldest(now)
        while next(iter(self._entries))[0] < oldest:
            (_, old), count = self._entries.popitem(last=False)
            self._count(old, -count)

    def drop(self, model: str) -> None:
        """Forget the failures and the slow calls of *model*."""
        for key in [key for key in self._entries if key[1].source is not None and key[1].source[1] == model]:
            self._count(key[1], -self._entries.pop(key))

    def totals(self, now: float) -> Totals:
        """Count what is inside at *now*; reading changes nothing."""
        calls, failures, slow, oldest = self.calls, self.failures.total, self.slow.total, self.oldest(now)
        for (slot, record), count in self._entries.items():
            if slot >= oldest:
                break
            calls -= count
            failures -= count * record.failed
            slow -= count * record.slow
        return Totals(calls, failures, slow)

    def _count(self, record: Record, count: int) -> None:
        self.calls += count
        if record.failed:
            self.failures.add(record.source, count)
        if record.slow:
            self.slow.add(record.source, count)


class LatestTwo:
    """The two names seen last, each with its slot."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}

    def note(self, name: str, slot: int) -> None:
        """*name* is seen; slots never go back."""
        self._slots.pop(name, None)
        if len(self._slots) > 1:
            del self._slots[next(iter(self._slots))]
        self._slots[name] = slot

    def is_any_since(self, slot: int) -> bool:
        """Whether any name was seen in *slot* or later."""
        return any(seen >= slot for seen in self._slots.values())

    def is_other_since(self, name: str, slot: int) -> bool:
        """Whether a name other than *name* was seen in *slot* or later."""
        return any(seen >= slot for other, seen in self._slots.items() if other != name)
