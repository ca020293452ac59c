"""Retry-After: reads for how long an upstream asks to be left alone.

Two spellings of the value exist (RFC 9110, 10.2.3): seconds, or the date to come back at. Whatever is
neither is ignored. A client gets the value as the upstream gave it, up to :data:`MAX_FORWARDED`; the gateway
itself stays away for :data:`MAX_RETRY_AFTER` at most.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = [
    "MAX_FORWARDED",
    "MAX_RETRY_AFTER",
    "clamp_retry_after",
    "parse_retry_after",
    "parse_retry_after_ms",
]

MAX_RETRY_AFTER = 120.0
"""Seconds. Longer waits are cut: a wrong header must not switch an upstream off for a day."""

MAX_FORWARDED = 7 * 86_400.0
"""Seconds. What is longer is no limit of a rate any more, and numbers without end fit no header."""

# Plain decimals only: float() alone would also take "nan", "inf", "1_0" and digits of other scripts.
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def clamp_retry_after(seconds: float) -> float:
    """Bring *seconds* into 0 … :data:`MAX_RETRY_AFTER`; not a number counts as 0."""
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def parse_retry_after(value: str, wall_now: float) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, or None where it says nothing we understand.

    *wall_now* is Unix time: only a date needs it. A date that has passed means 0.

    >>> parse_retry_after("30", 0.0), parse_retry_after("Thu, 01 Jan 1970 00:00:09 GMT", 4.0)
    (30.0, 5.0)
    """
    value = value.strip()
    if _DECIMAL.fullmatch(value):
        return _bounded(float(value))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # no date, or a number no date can hold: as if there were no header
        return None
    if date.tzinfo is None:  # the old asctime form names no zone; HTTP dates are always UTC
        date = date.replace(tzinfo=UTC)
    return _bounded(date.timestamp() - wall_now)


def parse_retry_after_ms(value: str) -> float | None:
    """Seconds to wait by a ``retry-after-ms`` header (milliseconds), or None where it is garbage.

    >>> parse_retry_after_ms("1500")
    1.5
    """
    value = value.strip()
    return _bounded(float(value) / 1000) if _DECIMAL.fullmatch(value) else None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_FORWARDED)
