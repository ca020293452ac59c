"""Share: units of one limit that this process may spend without asking.

The arbiter holds the bucket that all processes draw from. A process spends its share at once and without
waiting; the next exchange fetches more, or gives back what was not used. One request may go before its share
is there, if units were left as of the last reply, and the next such request when the arbiter has taken it in:
so N processes exceed a limit by N requests at the most.

A bucket that is full wins back what processes hold of it, as nothing counts that as taken: a second's refill,
a sixtieth of the limit, may come on top. It matters where a second brings more than a few units.
"""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Final, Protocol

from ..budgets.refill import ROUNDING, filled, seconds_for
from .exchange_messages import BucketReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exchange_messages import Grant

__all__ = ["INTERVAL", "Share", "ShareBook"]

INTERVAL: Final = 0.5
"""Seconds between two exchanges, where nothing asks for one at once: with its time, less than one."""

# Seconds after which a client may try again whose units another process holds: one exchange gives them back.
_ONE_EXCHANGE: Final = 1.0

# A store is no more than this part of what is left for all: one in so many.
_PLENTY: Final = 4


class ShareBook(Protocol):
    """All shares of this process."""

    joined: bool
    """Whether there is an arbiter: shares count."""

    def touch(self, share: Share, *, at_once: bool) -> None:
        """*share* has something to report."""


class _Pace:
    """Pace of spending: counts the units of an interval, for which a store lasts."""

    __slots__ = ("_before", "_began", "_lately")

    def __init__(self) -> None:
        self._before = self._lately = 0  # in the interval before, and in this one
        self._began = 0.0

    def count(self, units: int, now: float) -> None:
        """Count what was spent since the last call."""
        if now - self._began >= INTERVAL:
            self._before, self._lately, self._began = self._lately, 0, now
        self._lately += units

    @property
    def of_an_interval(self) -> int:
        """Units of the interval before, or of this one where they are more already."""
        return max(self._before, self._lately)


class Share:
    """One process's part of the bucket called *name*; *limit* units a minute.

    *missing* gives what this process alone has taken out of a full bucket. Instants are seconds of any one
    clock.
    """

    def __init__(self, name: str, limit: int, book: ShareBook, missing: Callable[[float], float]) -> None:
        self.name = name
        self.limit = limit
        self.waiting = 0
        """Units that requests wait for now."""
        self._book = book
        self._missing = missing
        self._held = 0  # negative: overdrawn
        self._returned = 0  # held when the limit changed, and to be given back
        self._level = float(limit)  # with the arbiter, as last known
        self._at = 0.0
        self._replied_at = -inf  # of the reply that still holds
        self._spent = 0  # since the last report
        self._pace = _Pace()
        self._alone = False  # some of it while this process decided alone
        self._epoch = ""  # of the arbiter that knows what this process used
        self._advance = 0  # overdrawn as of a report that has no reply yet
        # Of the last report: what was wanted, what stayed here meanwhile, and the limit.
        self._wanted = self._kept = 0
        self._reported = limit

    @property
    def joined(self) -> bool:
        """Whether the share counts, and not the bucket of this process."""
        return self._book.joined

    def available(self, now: float) -> float:
        """Units that are held, or were left as of the last reply and may have been taken since."""
        return min(self.limit, self._held - self._advance + self._left(now))

    def wait(self, units: int, now: float) -> float:
        """Seconds until so many units can be had; 0: they can be taken now."""
        if self._can_take(units, now):
            return 0.0
        missing = units - self.available(now)
        return seconds_for(missing, self.limit) if missing > ROUNDING else _ONE_EXCHANGE

    def is_short(self, units: int, now: float) -> bool:
        """Whether so many units cannot be taken now, and the next exchange may bring them."""
        if not self.joined or self._can_take(units, now):
            return False
        # Nothing tells a process that has nothing to report what the others have given back since.
        stale = now - self._replied_at >= _ONE_EXCHANGE and units <= self.limit
        return stale or self._is_left(units, now)

    def take(self, units: int) -> None:
        """Spend units, or give them back where negative."""
        self._held -= units
        self._spent += max(0, units)
        self._alone |= not self.joined
        self._book.touch(self, at_once=self._held < 0)

    def resize(self, limit: int, now: float) -> None:
        """Go on with another limit, of which the same has been taken.

        What is held may be more than the new limit leaves for all: the arbiter gets it back, and grants
        what there is.
        """
        if limit == self.limit:
            return
        held = max(0, self._held)
        self._held -= held
        self._returned += held
        self._level, self._at, self._replied_at = self._left(now) + held + limit - self.limit, now, -inf
        self.limit = limit
        if held:
            self._book.touch(self, at_once=False)

    def report(self, now: float, epoch: str) -> BucketReport:
        """What the next exchange carries: what is overdrawn, what is given back, what is wanted."""
        self._pace.count(self._spent, now)
        target = min(self.limit, self._likely(now))
        missing = max(0, ceil(self._missing(now) - ROUNDING))  # rounded down, it would be let through twice
        # What is held since before this process was alone, the arbiter's bucket may have won back.
        surplus = max(0, self._held - (0 if self._alone else target))
        take = (-self._held if self._held < 0 else -surplus) - self._returned
        if self._alone:  # the own bucket counted, and what it has won back since is not owed
            take = min(take, missing)
        self._held = max(0, self._held) - surplus
        self._spent = self._returned = 0
        self._reported = self.limit
        known = bool(epoch) and self._epoch == epoch
        want = max(0, target - self._held)
        self._advance, self._wanted, self._kept = max(0, take), want, self._held
        return BucketReport(self.name, self.limit, take, want, missing, known)

    def receive(self, grant: Grant, epoch: str, now: float) -> None:
        """The exchange has succeeded."""
        if self._epoch != epoch:  # what is kept was granted out of a bucket that is forgotten
            self._held -= self._kept
        self._advance, self._alone = 0, False
        self._held += min(max(0, grant.share), self._wanted)
        limit, self.limit = self.limit, self._reported  # which the grant is of
        self._level, self._epoch = min(grant.level, self.limit), epoch
        self._at = self._replied_at = now
        self.resize(limit, now)

    def restore(self) -> None:
        """The exchange has failed: what was overdrawn is reported again; what was given back is gone."""
        self._held -= self._advance
        self._advance = 0

    @property
    def rests(self) -> bool:
        """Whether there is nothing to report."""
        return not (self._held or self._returned or self.waiting or self._spent)

    def _likely(self, now: float) -> int:
        """Units for what waits, or for as many again as came since the last report.

        While plenty is left for the others: for both, and as many as came in half a second. Exchanges that
        are asked for follow each other closely: what came between two does not last, and asks for the next.
        """
        plenty = int(self._left(now)) // _PLENTY
        return max(self.waiting, self._spent, min(self.waiting + self._pace.of_an_interval, plenty))

    def _left(self, now: float) -> float:
        return filled(self._level, self.limit, max(0.0, now - self._at))

    def _can_take(self, units: int, now: float) -> bool:
        if self._held >= units:
            return True
        # One request in advance of its share, and not the next while the arbiter does not know of it.
        return self._held >= 0 and not self._advance and self._is_left(units, now)

    def _is_left(self, units: int, now: float) -> bool:
        return units <= self.available(now) + ROUNDING
