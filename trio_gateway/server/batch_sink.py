"""Base of the sinks that write an answer to a client: holds its events, and encodes them in slices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from ..core.batch_slices import Slice, slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.events import Batch, Event

__all__ = ["BatchSink"]

T = TypeVar("T", bytes, list[str])


class BatchSink(ABC, Generic[T]):
    """Encoded data of type *T* leaves in the order of the events; cancelled, :meth:`flush` loses nothing.

    *threads* limits the threads that encode what would hold the event loop.
    """

    def __init__(self, threads: trio.CapacityLimiter) -> None:
        self._threads = threads
        self._waiting: Batch = []
        self._slices: deque[Slice] = deque()
        self._unsent: T | None = None
        self._turn = trio.Lock()

    def write(self, batch: Batch) -> None:
        """Take events, which :meth:`flush` sends."""
        self._waiting += batch

    def discard(self) -> None:
        """Forget what was not encoded yet: the client wants no more of it."""
        self._waiting.clear()
        self._slices.clear()

    async def flush(self) -> None:
        """Send what was written. Most often the socket has room, and nothing waits."""
        if self._turn.locked() or self._unsent or not self._send_at_once():
            # Whoever comes here waits until everything that was written before has left.
            async with self._turn:
                await self._send_all()

    def _send_at_once(self) -> bool:
        """Send what takes one step to encode, as far as the socket has room; whether nothing is left."""
        batch, self._waiting = self._waiting, []
        parts = list(slices(batch))
        self._slices.extend(parts)
        if len(self._slices) == 1 and not self._slices[0].is_heavy:
            self._unsent = self.send_nowait(self.encode(self._slices.popleft().events))
        return not (self._slices or self._unsent)

    async def _send_all(self) -> None:
        while True:
            if self._unsent:
                data, self._unsent = self._unsent, None
                await self.send(data)
            elif self._slices:
                self._unsent = await self._encoded(self._slices[0])
                self._slices.popleft()
                await trio.lowlevel.checkpoint()
            elif self._waiting:
                batch, self._waiting = self._waiting, []
                self._slices.extend(slices(batch))
            else:
                return

    async def _encoded(self, part: Slice) -> T:
        if part.is_heavy:
            return await trio.to_thread.run_sync(self.encode, part.events, limiter=self._threads)
        return self.encode(part.events)

    @abstractmethod
    def encode(self, events: Sequence[Event]) -> T:
        """*events* as they are sent; empty where nothing is for this client. It may run in a thread."""

    @abstractmethod
    def send_nowait(self, data: T) -> T:
        """Send what leaves without waiting; the rest."""

    @abstractmethod
    async def send(self, data: T) -> None:
        """Send all of *data*."""
