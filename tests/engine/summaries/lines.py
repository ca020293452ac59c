"""Sink that keeps what one source of a stream emits, each event with the second it came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_gateway.core.phases import Phase
from trio_gateway.engine.outbox import Outbox

if TYPE_CHECKING:
    from trio_gateway.core.events import Batch, Event, PromptSummary, ReasoningLine

__all__ = ["Emitted"]


class Emitted:
    """What is emitted in *phase*, while every other phase is closed. Seconds are rounded to milliseconds."""

    def __init__(self, phase: Phase) -> None:
        self.events: list[tuple[float, Event]] = []
        self.closed_at: float | None = None
        self.outbox = Outbox()
        for other in Phase:
            if other is not phase:
                self.outbox.close(other)
        self.outbox.attach(self)

    def write(self, batch: Batch) -> None:
        """Keep *batch*."""
        self.events += [(round(trio.current_time(), 3), event) for event in batch]

    def flush_nowait(self) -> bool:
        return False

    async def flush(self) -> None:
        """Wait for nothing: this client is as fast as can be."""
        await trio.lowlevel.checkpoint()

    async def watch(self) -> None:
        """Note when the phase is closed."""
        await self.outbox.over.wait()
        self.closed_at = round(trio.current_time(), 3)

    def of(self, kind: type[PromptSummary | ReasoningLine]) -> list[tuple[float, str]]:
        """The texts of the events of *kind*, with their seconds."""
        return [(when, event.text) for when, event in self.events if isinstance(event, kind)]
