"""Ledger of request bodies: counts the bytes that each owner holds, and bounds them.

Bytes are counted as they are received, and until no attempt can need the body any more. Two rules keep large
uploads from turning plain chats away: the last quarter is for bodies of at most 1 MiB, and one owner (a key,
or an address where there are no keys) holds at most half.

>>> budget = BodyBudget(1000)
>>> hold = budget.hold("key-1")
>>> hold.add(400), hold.add(101), budget.taken
(True, False, 400)
>>> hold.release(); hold.release(); budget.taken
0
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["SMALL", "BodyBudget", "BodyHold"]

SMALL: Final = 1024 * 1024
"""Bytes of the largest body that may use the last quarter."""


class BodyBudget:
    """Bytes of all bodies in flight together. ``limit`` may be changed at any time."""

    __slots__ = ("_owned", "limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        """Bytes that are held now."""
        self._owned: Counter[str] = Counter()

    @property
    def crowded(self) -> bool:
        """Whether more than half is taken: then uploads have to be faster."""
        return self.taken > self.limit // 2

    def hold(self, owner: str | None, announced: int = 0) -> BodyHold:
        """A hold of no bytes yet, for a body that may be *announced* to have so many.

        *owner*: whose bytes they are; None: not known, so that the bound of a half does not apply.
        """
        return BodyHold(self, owner, announced)

    def has_room(self, hold: BodyHold, more: int) -> bool:
        """Whether *hold* may grow by *more* bytes."""
        small = max(hold.held + more, hold.announced) <= SMALL
        if self.taken + more > (self.limit if small else self.limit - self.limit // 4):
            return False
        return hold.owner is None or self._owned[hold.owner] + more <= self.limit // 2

    def count(self, hold: BodyHold, change: int) -> None:
        """Enter a change of *hold*, which holds do themselves."""
        self.taken += change
        if hold.owner is not None:
            self._owned[hold.owner] += change
            if not self._owned[hold.owner]:
                del self._owned[hold.owner]


class BodyHold:
    """The bytes that one body holds. Releasing them twice is harmless."""

    __slots__ = ("_budget", "_released", "announced", "held", "owner")

    def __init__(self, budget: BodyBudget, owner: str | None, announced: int) -> None:
        self._budget = budget
        self._released = False
        self.owner = owner
        self.announced = announced
        self.held = 0

    @property
    def is_crowded(self) -> bool:
        """Whether bodies take more than half of the room there is for all."""
        return self._budget.crowded

    def fits(self) -> bool:
        """Whether there is room at present for all that is announced."""
        return self._budget.has_room(self, max(0, self.announced - self.held))

    def add(self, size: int) -> bool:
        """Count *size* bytes more; False, and no change, where there is no room for them."""
        if self._released or not self._budget.has_room(self, size):
            return False
        self.held += size
        self._budget.count(self, size)
        return True

    def release(self) -> None:
        """Give everything back: the body is not needed any more."""
        self._released = True
        self._budget.count(self, -self.held)
        self.held = 0
