"""One answer as a stream of events, in the order of the phases, from one nursery.

Each phase has a memory channel, and a task that owns its sending end: the prompt summary, the summariser,
the upstream's reader. The channels are drained one after the other, so the order of phases needs neither
a buffer nor a flag: a phase ends when its channel is closed. Whatever ends a request early (the client
left, the gateway stops) cancels the nursery; there is nothing else to clean up.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

from ..core.events import Batch, Failure, Ping
from .attempts import Attempts
from .backlog import Backlog
from .outlet import Opening, Outlet
from .prompter import Prompter
from .summarizer import Summarizer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..core.chat import ChatRequest
    from .admission import Admission
    from .report import Report
    from .shared import Shared

__all__ = ["EventStream", "open_stream"]

# Batches. A client that lags may be this many reads of the upstream behind, of 64 KiB each at most, or as
# many as the backlog allows; then the reader stops and TCP makes the upstream wait.
_OUTPUT_BUFFER = 4
# Batches of the phase before: lines that come an interval apart, or reads, if the client wants to see them.
_THOUGHTS_BUFFER = 4
# Events given to the client's task at once, if more are there: encoding one takes up to 20 µs.
_MOST_EVENTS = 256


class EventStream:
    """The batches of one answer. Iterate once; the last batch ends in ``Done``."""

    def __init__(
        self,
        phases: list[trio.MemoryReceiveChannel[Batch]],
        *,
        heartbeat: float,
        opening: Opening,
        backlog: Backlog,
    ) -> None:
        self._phases = phases
        self._heartbeat = heartbeat
        self._opening = opening
        self._backlog = backlog
        self._held: Batch = []

    async def opened(self) -> Failure | None:
        """Wait until the answer deserves a status line.

        None when the upstream has begun to answer, or when it has not for a heartbeat: then all batches
        follow, the first one at once. A failure when the answer ended before it began: then nothing follows.
        """
        with trio.move_on_after(self._heartbeat):
            await self._opening.decided.wait()
        if self._opening.failed:
            return await self._failure()
        self._held = self._take()
        if not (self._held and self._opening.decided.is_set()):
            self._held.append(Ping())  # something has to carry the status line to the client
        return None

    async def _failure(self) -> Failure:
        async for batch in self:
            for event in batch:
                if isinstance(event, Failure):
                    return event
        raise RuntimeError("an answer that failed did not say so")

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Batch:
        """All that is there, once something is; a ``Ping`` when nothing was for a heartbeat (seconds).

        Of very much only a part is given at a time. Whoever asks for more has delivered what came before.
        """
        self._backlog.delivered()
        batch = self._take()
        while not batch:
            if not self._phases:
                raise StopAsyncIteration
            # No scope where nothing has to be waited for: this is the way of every token.
            with trio.move_on_after(self._heartbeat) as patience, suppress(trio.EndOfChannel):
                batch = await self._phases[0].receive()
                self._backlog.take(batch)
            if patience.cancelled_caught:
                return [Ping()]
            batch = batch + self._take(_MOST_EVENTS - len(batch))
        return batch

    def _take(self, most: int = _MOST_EVENTS) -> Batch:
        """What is there already, from this phase and those after it, until there are *most* events."""
        batch, self._held = self._held, []
        while self._phases and len(batch) < most:
            try:
                received = self._phases[0].receive_nowait()
            except trio.WouldBlock:
                break
            except trio.EndOfChannel:
                del self._phases[0]
            else:
                self._backlog.take(received)
                batch += received
        return batch


@asynccontextmanager
async def open_stream(
    request: ChatRequest,
    admission: Admission,
    shared: Shared,
    *,
    authorization: str | None,
    report: Report,
    gathered: bool = False,
) -> AsyncGenerator[EventStream, None]:
    """Answer *request*: open the nursery, start its tasks and hand over what they say.

    *authorization* is the client's own header value. *gathered*: nobody sees the answer before it is whole.
    """
    prompt_send, prompt_receive = trio.open_memory_channel[Batch](1)
    thoughts_send, thoughts_receive = trio.open_memory_channel[Batch](_THOUGHTS_BUFFER)
    output_send, output_receive = trio.open_memory_channel[Batch](_OUTPUT_BUFFER)
    prompter = _prompter(request, shared)
    summarizer = _summarizer(request, shared)
    opening = Opening(request.release)
    backlog = Backlog(admission.memory.stream)
    outlet = Outlet(
        output_send,
        thoughts_send.clone() if request.options.shows_reasoning else None,
        prompter=prompter,
        summarizer=summarizer,
        report=report,
        metrics=shared.metrics,
        gathered=gathered,
        choices=request.n,
        opening=opening,
        backlog=backlog,
    )
    attempts = Attempts(
        request,
        admission,
        shared,
        authorization=authorization,
        outlet=outlet,
        report=report,
        gathered=gathered,
    )
    async with trio.open_nursery() as nursery:
        shared.running.add(attempts)
        nursery.start_soon(prompter.run, prompt_send)
        nursery.start_soon(attempts.run, admission.take())
        nursery.start_soon(summarizer.run, thoughts_send)
        try:
            heartbeat = shared.server.heartbeat
            phases = [prompt_receive, thoughts_receive, output_receive]
            yield EventStream(phases, heartbeat=heartbeat, opening=opening, backlog=backlog)
        finally:
            backlog.close()
            shared.running.discard(attempts)
            nursery.cancel_scope.cancel()


def _prompter(request: ChatRequest, shared: Shared) -> Prompter:
    how = shared.summary.prompt
    wanted = request.options.prompt_summary and how != "off"
    model = shared.summary_model if how == "model" else None
    return Prompter(request.messages if wanted else None, model=model)


def _summarizer(request: ChatRequest, shared: Shared) -> Summarizer:
    how = shared.summary.reasoning
    return Summarizer(
        interval=shared.summary.interval,
        detail=request.options.detail,
        silent=how == "off" or request.options.reasoning in {"off", "raw"},
        model=shared.summary_model if how == "model" else None,
    )
