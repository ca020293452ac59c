"""What a client has left of its limits: requests and tokens a minute, and requests at a time.

Each limit a minute is a bucket that holds a minute's worth and fills evenly, which is how OpenAI's limits
work and what their headers tell of. What an answer costs is known when it is over: so a request is let in
while there is any token left, and its cost may take the bucket below nothing, to fill again from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import ApiError, error_for

if TYPE_CHECKING:
    from .config.keyfile import ClientKey

__all__ = ["Allowance"]

_MINUTE: Final = 60.0
# What rounding may take from a whole one.
_ROUNDING: Final = 1e-6
# Seconds after which a client that has too many requests running may try again: none of ours can say better.
_PAUSE: Final = 1.0


class _Bucket:
    """*limit* a minute, full at first. Instants are seconds of any one clock."""

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._level = float(limit)
        self._at = now

    def level(self, now: float) -> float:
        return min(self.limit, self._level + (now - self._at) * self.limit / _MINUTE)

    def take(self, amount: float, now: float) -> None:
        self._level = self.level(now) - amount
        self._at = now

    def until(self, level: float, now: float) -> float:
        """Seconds until that much is in it; 0: it is there."""
        missing = level - self.level(now)
        return missing * _MINUTE / self.limit if missing > _ROUNDING else 0.0

    def resized(self, limit: int, now: float) -> _Bucket:
        """A bucket of another limit, from which the same has been taken."""
        bucket = _Bucket(limit, now)
        bucket.take(self.limit - self.level(now), now)
        return bucket


class Allowance:
    """One client's limits, as far as its key names any. Instants are seconds of any one clock."""

    def __init__(self, key: ClientKey, now: float) -> None:
        self._key = key
        self._buckets = {unit: _Bucket(limit, now) for unit, limit in _limits(key).items()}
        self._running = 0

    def change(self, key: ClientKey, now: float) -> None:
        """Go on under the limits of *key*; what was used stays used."""
        old, self._key = self._buckets, key
        self._buckets = {
            unit: old[unit].resized(limit, now) if unit in old else _Bucket(limit, now)
            for unit, limit in _limits(key).items()
        }

    def refusal(self, now: float) -> ApiError | None:
        """Why one more request may not begin now; None: it may. Changes nothing."""
        if self._key.concurrent is not None and self._running >= self._key.concurrent:
            many = self._key.concurrent
            message = f"Rate limit reached for this key: {many} request{'s' * (many > 1)} at a time."
            return error_for("rate_limit_exceeded", message, retry_after=_PAUSE)
        waits = {unit: bucket.until(1, now) for unit, bucket in self._buckets.items()}
        unit = max(waits, key=waits.__getitem__, default="")
        if not unit or not waits[unit]:
            return None
        limit = self._buckets[unit].limit
        again = _duration(waits[unit])
        message = f"Rate limit reached for this key: {limit} {unit} a minute; try again in {again}."
        return error_for("rate_limit_exceeded", message, retry_after=waits[unit])

    def begin(self, now: float) -> None:
        """A request begins; :meth:`end` must follow."""
        self._running += 1
        if "requests" in self._buckets:
            self._buckets["requests"].take(1, now)

    def end(self) -> None:
        """A request is over."""
        self._running -= 1

    def spend(self, tokens: int, now: float) -> None:
        """Answers have cost *tokens*."""
        if "tokens" in self._buckets:
            self._buckets["tokens"].take(tokens, now)

    def headers(self, now: float) -> dict[str, str]:
        """What is left, in OpenAI's headers; a limit that does not exist has none."""
        told = {}
        for unit, bucket in self._buckets.items():
            told[f"x-ratelimit-limit-{unit}"] = str(bucket.limit)
            told[f"x-ratelimit-remaining-{unit}"] = str(max(0, int(bucket.level(now) + _ROUNDING)))
            told[f"x-ratelimit-reset-{unit}"] = _duration(bucket.until(bucket.limit, now))
        return told


def _limits(key: ClientKey) -> dict[str, int]:
    limits = {"requests": key.rpm, "tokens": key.tpm}
    return {unit: limit for unit, limit in limits.items() if limit is not None}


def _duration(seconds: float) -> str:
    """Seconds as OpenAI writes them.

    >>> [_duration(each) for each in (0, 0.0171, 1.2, 75, 3600)]
    ['0s', '17ms', '1.2s', '1m15s', '1h0m0s']
    """
    if 0 < seconds < 1:
        return f"{max(1, int(seconds * 1000))}ms"
    whole, rest = divmod(round(seconds, 3), _MINUTE)
    hours, minutes = divmod(int(whole), 60)
    told = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{hours}h{minutes}m{told}" if hours else f"{minutes}m{told}" if minutes else told
