"""Byte budget: shares a limit of memory among holders whose amounts change.

>>> budget = ByteBudget(100)
>>> event, answer = budget.hold(), budget.hold()
>>> event.resize(80), answer.resize(30), budget.held
(True, False, 80)
>>> event.release(); answer.resize(30)
True
"""

from __future__ import annotations

__all__ = ["ByteBudget", "Holding"]


class ByteBudget:
    """A number of bytes that its holdings must not exceed together.

    ``limit`` may be changed at any time. Where it falls below what is held, nothing grows until enough was
    given back.
    """

    __slots__ = ("_held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    def hold(self) -> Holding:
        """A new holding, of no bytes."""
        return Holding(self)

    def _move(self, change: int) -> bool:
        if change > 0 and self._held + change > self.limit:
            return False
        self._held += change
        return True


class Holding:
    """What one holder has of a budget. Releasing it twice is harmless."""

    __slots__ = ("_budget", "amount")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.amount = 0
        """Bytes held."""

    def resize(self, amount: int) -> bool:
        """Hold *amount* bytes from now on; False, and no change, where the budget has too few left.

        Shrinking always succeeds.
        """
        if not self._budget._move(amount - self.amount):
            return False
        self.amount = amount
        return True

    def release(self) -> None:
        """Give everything back."""
        self.resize(0)
