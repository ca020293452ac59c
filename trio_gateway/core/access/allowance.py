"""Rate limits of one client: requests and tokens a minute, and requests at a time.

Each limit a minute is a bucket that holds a minute's worth and fills evenly, which is how OpenAI's limits
work and what their headers show.

A request takes from the bucket of requests when it arrives: before its body is read, so that bodies which
are refused count as well. When it is admitted, it reserves its estimated input in the bucket of tokens, and
at its end that is settled by its real cost. No answer's length is known beforehand: it may take the bucket
below nothing, and the client's next request waits until it has filled again.

Where several gateways share their limits, a process spends its :class:`.Share` of a bucket that all draw
from; its own bucket is kept up beside it, and counts while there is no arbiter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..budgets.refill import MINUTE, ROUNDING, filled, seconds_for
from ..errors import ApiError, error_for
from ..sharing import Share

if TYPE_CHECKING:
    from ..config.keyfile import ClientKey
    from ..sharing import ShareBook

__all__ = ["Allowance", "Claim", "Stage"]

_TEXTS: Final = 60
"""Rendered texts that count as one request: the page draws an answer anew some times a second as it grows."""
# Seconds after which a client that has too many requests running may try again: none of ours can say better.
_PAUSE: Final = 1.0
# Bytes of a key's digest that tell keys of one id apart.
_DISTINCT: Final = 4


class _Bucket:
    """*limit* a minute, full at first. Instants are seconds of any one clock.

    *book* and *name*: it is shared under that name.
    """

    def __init__(self, limit: int, now: float, book: ShareBook | None = None, name: str = "") -> None:
        self.limit = limit
        self._level = float(limit)
        self._at = now
        self._share = None if book is None else Share(name, limit, book, self._missing)

    @property
    def share(self) -> Share | None:
        """The share of all processes' bucket, where it counts."""
        return self._share if self._share is not None and self._share.joined else None

    def level(self, now: float) -> float:
        share = self.share
        return self._own_level(now) if share is None else share.available(now)

    def take(self, amount: int, now: float) -> None:
        """Take *amount*, or give it back where it is negative; a full bucket takes nothing more."""
        self._level = self._own_level(now) - amount
        self._at = now
        if self._share is not None and amount:
            self._share.take(amount)

    def until(self, level: int, now: float) -> float:
        """Seconds until that much is in it; 0: it is there, or it may be taken all the same."""
        share = self.share
        if share is not None:
            return share.wait(level, now)
        missing = level - self._own_level(now)
        return seconds_for(missing, self.limit) if missing > ROUNDING else 0.0

    def until_full(self, now: float) -> float:
        """Seconds until nothing is missing in it."""
        return seconds_for(max(0.0, self.limit - self.level(now)), self.limit)

    def resize(self, limit: int, now: float) -> None:
        """Go on with another limit, of which the same has been taken."""
        taken = self._missing(now)
        self.limit, self._level, self._at = limit, limit - taken, now
        if self._share is not None:
            self._share.resize(limit, now)

    def _own_level(self, now: float) -> float:
        return filled(self._level, self.limit, now - self._at)

    def _missing(self, now: float) -> float:
        return self.limit - self._own_level(now)


class Stage(Enum):
    """How far a request has come, as its client's limits see it."""

    NEW = "nothing is taken"
    ARRIVED = "it has taken one of its client's requests a minute"
    RUNNING = "it has begun, and its estimate is reserved"
    SETTLED = "its tokens are settled, or it never will begin: nothing changes any more"


@dataclass(slots=True)
class Claim:
    """What one request has taken of its client's limits. Only :class:`Allowance` changes it."""

    stage: Stage = Stage.NEW
    runs: bool = False
    """It counts among the requests at a time."""
    requests: _Bucket | None = None
    """Bucket it has taken a request from. One that a new configuration has made since owes nothing."""
    tokens: _Bucket | None = None
    """Bucket it has reserved tokens in; likewise."""
    reserved: int = 0


class Allowance:
    """Rate limits of one client, as far as its key names any.

    Instants are seconds of any one clock. *book*: where the process shares its limits.

    The calls for a request are ``arrive``, ``check``, then ``withdraw`` or ``begin``, then ``settle`` and
    ``end`` in either order. Each acts at most once for a claim, and only after those before it: whatever
    order the ends of a request come in, nothing is given back twice.
    """

    def __init__(self, key: ClientKey, now: float, book: ShareBook | None = None) -> None:
        self._book = book
        # The same id may come back for another key, which owes nothing.
        self._name = f"{key.id}:{key.sha256[:_DISTINCT].hex()}"
        self._running = 0
        self._texts = 0  # rendered since the last one that took a request
        self._requests: _Bucket | None = None
        self._tokens: _Bucket | None = None
        self.change(key, now)

    def change(self, key: ClientKey, now: float) -> None:
        """Go on under the limits of *key*; what was used stays used."""
        self._concurrent = key.concurrent
        self._requests = self._changed(self._requests, key.rpm, "requests", now)
        self._tokens = self._changed(self._tokens, key.tpm, "tokens", now)

    def lacking_request(self, claim: Claim, now: float) -> Share | None:
        """The share that may bring the request that :meth:`arrive` would refuse now; None: do not wait."""
        if claim.stage is not Stage.NEW or self._crowded() is not None:
            return None
        return _lacking(self._requests, 1, now)

    def lacking_tokens(self, claim: Claim, tokens: int, now: float) -> Share | None:
        """The share that may bring the tokens that :meth:`check` would refuse now; None: it need not wait."""
        if claim.stage is not Stage.ARRIVED or self._crowded() is not None:
            return None
        return _lacking(self._tokens, max(1, tokens), now)

    def arrive(self, claim: Claim, now: float) -> ApiError | None:
        """Take one request of the minute's; the error where it is refused, and nothing is taken.

        Whether its tokens are there, only :meth:`check` can say, which knows its body.
        """
        if claim.stage is not Stage.NEW:
            return None
        if error := self._crowded():
            return error
        if self._requests is not None:
            if wait := self._requests.until(1, now):
                return _too_many(f"{self._requests.limit} requests a minute", wait)
            self._requests.take(1, now)
        claim.stage, claim.requests = Stage.ARRIVED, self._requests
        return None

    def withdraw(self, claim: Claim, now: float) -> None:
        """Give the request back: it is refused for the state that the gateway is in."""
        if claim.stage is Stage.ARRIVED:
            claim.stage = Stage.NEW
            if self._requests is not None and self._requests is claim.requests:
                self._requests.take(-1, now)

    def check(self, claim: Claim, tokens: int, now: float) -> ApiError | None:
        """Why a request with an input of so many *tokens* may not begin now; None: it may.

        An error without ``retry_after`` refuses it for good, as it is larger than all that the client may
        have. A request that is refused for its tokens is not given back: its body has been read.
        """
        error = self._too_many_tokens(tokens, now)
        if error is not None and claim.stage is Stage.ARRIVED:
            claim.stage = Stage.SETTLED
        return error or self._crowded()

    def begin(self, claim: Claim, tokens: int, now: float) -> None:
        """The request is admitted: reserve its input of so many *tokens*."""
        if claim.stage is not Stage.ARRIVED:
            return
        claim.stage, claim.runs = Stage.RUNNING, True
        claim.tokens, claim.reserved = self._tokens, tokens
        self._running += 1
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def settle(self, claim: Claim, cost: int, now: float) -> None:
        """The request has cost so many tokens in all, which takes the place of what it reserved."""
        if claim.stage is not Stage.RUNNING:
            return
        claim.stage = Stage.SETTLED
        if self._tokens is not None:
            reserved = claim.reserved if self._tokens is claim.tokens else 0
            self._tokens.take(cost - reserved, now)

    def end(self, claim: Claim) -> None:
        """The request does not run any more."""
        if claim.runs:
            claim.runs = False
            self._running -= 1

    def take_text(self, now: float) -> ApiError | None:
        """Count a text that is rendered: one in 60 takes a request. The error where none is left."""
        bucket = self._requests
        if bucket is None:
            return None
        if not self._texts:
            if wait := bucket.until(1, now):
                return _too_many(
                    f"{bucket.limit} requests a minute, of which a rendered text is a part", wait
                )
            bucket.take(1, now)
        self._texts = (self._texts + 1) % _TEXTS
        return None

    def headers(self, now: float) -> dict[str, str]:
        """What is left, in OpenAI's headers; a limit that does not exist has none."""
        headers = {}
        for unit, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket is not None:
                headers[f"x-ratelimit-limit-{unit}"] = str(bucket.limit)
                headers[f"x-ratelimit-remaining-{unit}"] = str(max(0, int(bucket.level(now) + ROUNDING)))
                headers[f"x-ratelimit-reset-{unit}"] = _duration(bucket.until_full(now))
        return headers

    def _changed(self, bucket: _Bucket | None, limit: int | None, unit: str, now: float) -> _Bucket | None:
        if limit is None:
            return None
        if bucket is None:
            return _Bucket(limit, now, self._book, f"{self._name}:{unit}")
        bucket.resize(limit, now)
        return bucket

    def _crowded(self) -> ApiError | None:
        """The error of a client that has as many requests running as it may."""
        many = self._concurrent
        if many is None or self._running < many:
            return None
        message = f"Rate limit reached for this key: {many} request{'s' * (many > 1)} at a time."
        return error_for("rate_limit_exceeded", message, retry_after=_PAUSE)

    def _too_many_tokens(self, tokens: int, now: float) -> ApiError | None:
        bucket = self._tokens
        if bucket is None:
            return None
        if tokens > bucket.limit:
            return _too_large(bucket.limit, tokens)
        wait = bucket.until(max(1, tokens), now)
        what = f"{bucket.limit} tokens a minute, and this request needs about {tokens}"
        return _too_many(what, wait) if wait else None


def _lacking(bucket: _Bucket | None, units: int, now: float) -> Share | None:
    share = None if bucket is None else bucket.share
    return share if share is not None and share.is_short(units, now) else None


def _too_many(what: str, wait: float) -> ApiError:
    message = f"Rate limit reached for this key: {what}; try again in {_duration(wait)}."
    return error_for("rate_limit_exceeded", message, retry_after=wait)


def _too_large(limit: int, tokens: int) -> ApiError:
    message = (
        f"Request too large for this key: about {tokens} tokens of input, and the limit is {limit} tokens"
        " a minute; send less, as waiting does not help."
    )
    return error_for("rate_limit_exceeded", message)


def _duration(seconds: float) -> str:
    """Seconds as OpenAI writes them.

    >>> [_duration(each) for each in (0, 0.0171, 1.2, 75, 3600)]
    ['0s', '17ms', '1.2s', '1m15s', '1h0m0s']
    """
    if 0 < seconds < 1:
        return f"{max(1, int(seconds * 1000))}ms"
    whole, rest = divmod(round(seconds, 3), MINUTE)
    hours, minutes = divmod(int(whole), 60)
    written = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{hours}h{minutes}m{written}" if hours else f"{minutes}m{written}" if minutes else written
