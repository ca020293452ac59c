"""Hedge: runs attempts concurrently and cancels all but the first whose upstream responds.

hedge = Hedge()
async with trio.open_nursery() as nursery:
    nursery.start_soon(hedge.run, slow_attempt)
    nursery.start_soon(hedge.run, other_attempt)
return hedge.fault
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import trio

from ..core.upstream_api.faults import Replay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..core.upstream_api.faults import Fault

__all__ = ["Hedge"]

HedgedAttempt: TypeAlias = "Callable[[Callable[[], None]], Awaitable[Fault | None]]"


class Hedge:
    """See above. Each attempt gets a callable, which it calls at its upstream's first event."""

    def __init__(self) -> None:
        self._scopes: list[trio.CancelScope] = []
        self._winner: trio.CancelScope | None = None
        self.decided = trio.Event()
        """One upstream has responded, or failed before it could: no further attempt is needed."""
        self.fault: Fault | None = None
        """The fault of the winner, or else of the last attempt that failed. None: the answer is whole."""

    async def run(self, attempt: HedgedAttempt) -> None:
        """Make *attempt* one of those that run."""
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            fault = await attempt(lambda: self._win(scope))
            if self._winner is None and fault is not None and fault.replay is Replay.NO:
                self._win(scope)  # the request itself is at fault: another upstream would answer the same
            if self._winner is None or self._winner is scope:
                self.fault = fault
                self.decided.set()

    def _win(self, winner: trio.CancelScope) -> None:
        self._winner = winner
        self.decided.set()
        for scope in self._scopes:
            if scope is not winner:
                scope.cancel()
