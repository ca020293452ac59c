"""Outbox of one stream: passes events on in the order of phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from ..core.events import Done, Ping
from ..core.phase_queue import PhaseQueue
from .wakeup import Wakeup

if TYPE_CHECKING:
    from ..core.events import Batch
    from ..core.phases import Phase

__all__ = ["Outbox", "Sink"]


class Sink(Protocol):
    """What takes a stream's events on behalf of the client."""

    def write(self, batch: Batch) -> None:
        """Take events, at once: send them, or hold them until :meth:`flush`."""

    def flush_nowait(self) -> bool:
        """Send what leaves without waiting; whether nothing is left."""

    async def flush(self) -> None:
        """Wait until the client has taken enough of what was written. Cancelled, it loses nothing."""


class Outbox:
    """Every source of a stream puts its events here, without waiting, and calls :meth:`flush` afterwards.

    A batch goes to the sink as soon as its phase has its turn, in the task that put it: there is no hop
    between the upstream's read and the client's write. Until a sink is attached, events wait here.
    """

    def __init__(self) -> None:
        self._queue = PhaseQueue()
        self._sink: Sink | None = None
        self._moved = Wakeup()
        self._done = False  # the last event was written
        self.over = trio.Event()
        """Every phase is closed, and all events were written."""
        self.written_at = trio.current_time()
        """When the last events were written: seconds of Trio's clock."""

    def attach(self, sink: Sink, *, ping_first: bool = False) -> None:
        """Write everything to *sink* from now on, beginning with what waits.

        *ping_first*: where nothing waits, a ``Ping``.
        """
        self._sink = sink
        if not self._pass_on() and ping_first:
            self.ping()

    def put(self, phase: Phase, events: Batch) -> None:
        """Add *events*, which belong to *phase*. A phase that is closed takes nothing more: they are
        dropped."""
        if not events:
            return
        if self._sink is not None and self._queue.has_turn(phase):
            self._write(self._sink, events)  # as with most tokens: nothing is put into the queue
        elif self._queue.is_open(phase):
            self._queue.put(phase, events)
            self._pass_on()

    def close(self, phase: Phase) -> None:
        """Nothing more comes in *phase*; the next one has its turn."""
        self._queue.close(phase)
        self._pass_on()

    def ping(self) -> None:
        """Write a ``Ping``, in whatever phase the answer is, but not behind its last event: then the end of
        the upstream's body may still be waited for."""
        self.written_at = trio.current_time()
        if self._sink is not None and not self._done:
            self._sink.write([Ping()])

    def flush_nowait(self, phase: Phase) -> bool:
        """Send what leaves without waiting; whether :meth:`flush` would have nothing to do."""
        return not self._queue.has_waiting(phase) and (self._sink is None or self._sink.flush_nowait())

    async def flush(self, phase: Phase) -> None:
        """Wait while the client is slow to take what was put in *phase*, or that has not got its turn.

        So at most one read of the upstream waits here. What others have put in other phases is not waited
        for: later ones may wait for this one to be closed, and all of them for the upstream's first event,
        which gives the client its status line.
        """
        while self._queue.has_waiting(phase):
            await self._moved.wait()
        if self._sink is not None:
            await self._sink.flush()

    def _pass_on(self) -> bool:
        """Write what has its turn; whether there was anything."""
        if self._sink is None:
            return False
        batch = self._queue.take()
        if batch:
            self._write(self._sink, batch)
        self._moved.wake()
        if self._queue.is_over:
            self.over.set()
        return bool(batch)

    def _write(self, sink: Sink, batch: Batch) -> None:
        self.written_at = trio.current_time()
        sink.write(batch)
        self._done = isinstance(batch[-1], Done)
