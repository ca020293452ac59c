"""Attempts side by side, of which only the first to hear from its upstream goes on.

race = Race()
async with trio.open_nursery() as nursery:
    nursery.start_soon(race.run, slow_attempt)
    nursery.start_soon(race.run, other_attempt)
return race.fault
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import trio

from ..core.faults import Replay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..core.faults import Fault

__all__ = ["Race"]

Attempt: TypeAlias = "Callable[[Callable[[], None]], Awaitable[Fault | None]]"


class Race:
    """See above. An attempt calls what it is given when its upstream speaks: that ends the others."""

    def __init__(self) -> None:
        self._scopes: list[trio.CancelScope] = []
        self._winner: trio.CancelScope | None = None
        self.decided = trio.Event()
        """One has spoken, or failed before it could: there is nothing to hedge against any more."""
        self.fault: Fault | None = None
        """What became of the one that spoke, or else of the last one that failed. None: the whole answer."""

    async def run(self, attempt: Attempt) -> None:
        """Make *attempt* one of the race."""
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            fault = await attempt(lambda: self._win(scope))
            if self._winner is None and fault is not None and fault.replay is Replay.NO:
                self._win(scope)  # the request itself is at fault: another upstream would say the same
            if self._winner is None or self._winner is scope:
                self.fault = fault
                self.decided.set()

    def _win(self, winner: trio.CancelScope) -> None:
        self._winner = winner
        self.decided.set()
        for scope in self._scopes:
            if scope is not winner:
                scope.cancel()
