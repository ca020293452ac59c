"""Refill: the even filling of a bucket that holds a minute's worth."""

from __future__ import annotations

from typing import Final

__all__ = ["MINUTE", "ROUNDING", "filled", "seconds_for"]

MINUTE: Final = 60.0
"""Seconds in which an empty bucket is full again."""

ROUNDING: Final = 1e-6
"""What rounding may take from a whole unit."""


def filled(level: float, limit: float, seconds: float) -> float:
    """The level of a bucket for *limit* units a minute, so many *seconds* after it was at *level*.

    >>> filled(10, 60, 5), filled(-30, 60, 5), filled(59, 60, 5)
    (15.0, -25.0, 60)
    """
    return min(limit, level + seconds * limit / MINUTE)


def seconds_for(units: float, limit: float) -> float:
    """Seconds in which so many *units* come into a bucket for *limit* units a minute."""
    return units * MINUTE / limit
