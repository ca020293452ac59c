"""Sink base: holds an answer's events and encodes them in slices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.events import Batch

__all__ = ["BatchSink"]

T = TypeVar("T", bytes, list[str])


class BatchSink(ABC, Generic[T]):
    """Data of type *T* leaves in the order of the events.

    A flush that is cancelled loses nothing.
    """

    def __init__(self) -> None:
        self._waiting: Batch = []
        self._slices: Iterator[T] = iter(())
        self._unsent: T | None = None
        self._turn: trio.Lock | None = None  # once a client was slow

    def write(self, batch: Batch) -> None:
        """Take events, which :meth:`flush` sends."""
        self._waiting += batch

    def discard(self) -> None:
        """Forget what was not encoded yet: the client wants no more of it."""
        self._waiting = []
        self._slices = iter(())

    def flush_nowait(self) -> bool:
        """Send a slice of what was written, as far as the socket has room; whether nothing is left."""
        if self._unsent is not None or (self._turn is not None and self._turn.locked()):
            return False
        data = self._next_slice()
        if data is not None:  # an empty one asks for a checkpoint, which is not here
            self._unsent = self.send_nowait(data) or next(self._slices, None)
        return self._unsent is None and not self._waiting

    async def flush(self) -> None:
        """Send what was written. Most often the socket has room, and nothing waits."""
        if not self.flush_nowait():
            # Every task that comes here waits until everything that was written before has left.
            if self._turn is None:
                self._turn = trio.Lock()
            async with self._turn:
                await self._send_all()

    async def _send_all(self) -> None:
        while True:
            if self._unsent:
                data, self._unsent = self._unsent, None
                await self.send(data)
            self._unsent = self._next_slice()
            if self._unsent is None:
                return
            await trio.lowlevel.checkpoint()  # encoding a slice takes up to a millisecond

    def _next_slice(self) -> T | None:
        """The next data; it may be empty. None where there is nothing more to encode."""
        data = next(self._slices, None)
        if data is None and self._waiting:
            batch, self._waiting = self._waiting, []
            self._slices = self.encode(batch)
            data = next(self._slices, None)
        return data

    @abstractmethod
    def encode(self, batch: Batch) -> Iterator[T]:
        """*batch* as it is sent, in slices of bounded work; an empty one is there for its checkpoint."""

    @abstractmethod
    def send_nowait(self, data: T) -> T:
        """Send what leaves without waiting; the rest."""

    @abstractmethod
    async def send(self, data: T) -> None:
        """Send all of *data*."""
