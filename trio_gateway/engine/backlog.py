"""Backlog of a stream: counts the bytes of batches between the upstream's reader and the client.

backlog = Backlog(ByteBudget(1_048_576))
await backlog.send(channel, batch)    # waits while too much is on its way
batch = await receive_channel.receive()
backlog.take(batch)                   # now in the hands of the client's task
backlog.delivered()                   # the client has all that was taken
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from ..core.events import weight

if TYPE_CHECKING:
    from ..core.byte_budget import ByteBudget, Holding
    from ..core.events import Batch

__all__ = ["Backlog"]


class _Entry(Struct):
    """What one batch holds."""

    holding: Holding
    event: Holding | None
    """The upstream's large event that it came from."""

    def release(self) -> None:
        self.holding.release()
        if self.event is not None:
            self.event.release()


class Backlog:
    """See above. A batch that alone is larger than *budget* passes when no other is on its way."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._waiting: dict[int, _Entry] = {}  # by the identity of the batch
        self._taken: list[_Entry] = []
        self._freed = trio.Event()

    async def send(
        self, channel: trio.MemorySendChannel[Batch], batch: Batch, event: Holding | None = None
    ) -> None:
        """Send *batch* once there is room for it. *event*: given back when the batch was delivered."""
        entry = _Entry(self._budget.hold(), event)
        size = sum(map(weight, batch))
        try:
            while not entry.holding.resize(size) and (self._waiting or self._taken):
                await self._freed.wait()
            self._waiting[id(batch)] = entry
            await channel.send(batch)
        except BaseException:
            self._waiting.pop(id(batch), None)
            entry.release()
            raise

    def take(self, batch: Batch) -> None:
        """The client's task has received *batch*, which may be one that was sent otherwise."""
        entry = self._waiting.pop(id(batch), None)
        if entry is not None:
            self._taken.append(entry)

    def delivered(self) -> None:
        """The client has all that was taken."""
        if self._taken:
            self._release(self._taken)

    def close(self) -> None:
        """Nothing more is delivered."""
        self._release([*self._taken, *self._waiting.values()])
        self._waiting.clear()

    def _release(self, entries: list[_Entry]) -> None:
        for entry in entries:
            entry.release()
        self._taken.clear()
        self._freed.set()
        self._freed = trio.Event()
