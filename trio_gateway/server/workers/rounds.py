"""Rounds: one piece of work serves everybody who asked before it began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from .channel import ChannelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Rounds"]

T = TypeVar("T")


class Rounds(Generic[T]):
    """Does *work* at most once at a time, however many ask.

    Each result shows what there was when it was asked for, or later: who asks while a round runs gets the
    next one. The work is done in :meth:`run`'s task, so that one who stops waiting does not end
    it for the others.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._next = _Round[T]()

    async def get(self) -> T:
        """The result of a round that begins from now on.

        Raises:
            ChannelError: the work did.
        """
        mine = self._next
        mine.wanted.set()
        await mine.done.wait()
        if mine.error is not None:
            raise ChannelError(mine.error)
        (result,) = mine.results
        return result

    async def run(self) -> None:
        """Do the rounds, until cancelled."""
        while True:
            current = self._next
            await current.wanted.wait()
            self._next = _Round()
            try:
                current.results.append(await self._work())
            except ChannelError as error:
                current.error = str(error)
            current.done.set()


class _Round(Generic[T]):
    def __init__(self) -> None:
        self.wanted = trio.Event()
        self.done = trio.Event()
        self.results: list[T] = []
        self.error: str | None = None
