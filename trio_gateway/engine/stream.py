"""Stream: opens the nursery that reads one answer and summarises it.

The tasks put events into one outbox, which keeps the order of the phases and writes to the client's sink
at once. Whatever ends a request early (the client left, the gateway stops) cancels the nursery; there is
nothing else to clean up.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from .delivery import Delivery
from .failover import Failover
from .outbox import Outbox
from .summaries import Summaries

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..core.events import Failure
    from .call import Call
    from .delivery import Opening
    from .outbox import Sink

__all__ = ["EventStream", "open_stream", "start_stream"]


class EventStream:
    """The events of one answer, for one sink.

    The last batch that is written ends in ``Done``.
    """

    def __init__(self, outbox: Outbox, opening: Opening, *, heartbeat: float) -> None:
        self._outbox = outbox
        self._opening = opening
        self._heartbeat = heartbeat

    async def opened(self) -> Failure | None:
        """Wait until the answer deserves a status line: None when the upstream has begun to answer, or has
        not for a heartbeat (seconds); a failure when the answer ended before it began."""
        with trio.move_on_after(self._heartbeat):
            await self._opening.decided()
        return self._opening.failure

    async def deliver(self, sink: Sink, *, ping_first: bool = False) -> None:
        """Write the answer to *sink* until it is over, with a ``Ping`` after each heartbeat without an
        event.

        *ping_first*: write one at once where nothing else is ready, so that the status line leaves.
        """
        await trio.lowlevel.checkpoint()  # a first event that is there at once leaves together with the head
        self._outbox.attach(sink, ping_first=ping_first)
        await sink.flush()
        while not self._outbox.over.is_set():
            due = self._outbox.written_at + self._heartbeat
            with trio.move_on_at(due):
                await self._outbox.over.wait()
            if self._outbox.written_at + self._heartbeat <= trio.current_time():
                self._outbox.ping()
                await sink.flush()
        await sink.flush()


def start_stream(call: Call, nursery: trio.Nursery) -> EventStream:
    """Answer *call* by tasks in *nursery*, and hand over their events.

    The tasks end by themselves when the answer is over; the end of the nursery ends them early.
    """
    outbox = Outbox()
    summaries = Summaries(call, outbox, nursery)
    delivery = Delivery(call, outbox, summaries)
    failover = Failover(call, delivery)
    call.services.running.add(failover)
    summaries.start()
    nursery.start_soon(failover.run)
    return EventStream(outbox, delivery.opening, heartbeat=call.services.server.heartbeat)


@asynccontextmanager
async def open_stream(call: Call) -> AsyncGenerator[EventStream, None]:
    """Answer *call* in a nursery of its own."""
    async with trio.open_nursery() as nursery:
        try:
            yield start_stream(call, nursery)
        finally:
            nursery.cancel_scope.cancel()
