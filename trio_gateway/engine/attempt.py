"""Attempt: sends one request to one upstream and judges its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..core.breaker import Outcome
from ..core.errors import error_for
from ..core.sse import DONE, SSEDecoder, SSEEvent, cut_lines
from ..core.upstream_api.chunks import (
    Chunk,
    InbandError,
    LargeEvent,
    cut_chunk,
    read_event,
)
from ..core.upstream_api.faults import Fault, Replay
from ..core.upstream_api.repeated_chunks import RepeatedChunks
from .attempt_clock import AttemptClock
from .upstream_answer import UpstreamAnswer, UpstreamFailure
from .upstream_events import PROTOCOL_FAULTS, decoded, is_final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.events import Event
    from ..core.upstream_api.answer_reader import AnswerReader
    from .attempt_clock import RunawayRule
    from .bodies import Payload
    from .call import Call
    from .delivery import Delivery
    from .lease import Lease
    from .question import Question

__all__ = ["Attempt"]

# Bytes of an event, or of an answer in one object, that is read in slices: 5,000 values take up to 10 ms.
_SLICED_OVER = 16 * 1024


class Attempt:
    """One request to one upstream; it runs once.

    Its lease is given back when ``run`` returns, and by ``release`` at the latest.

    *runaway* is how much the model may think, and what follows when it thinks more. *on_first_event* is
    called at the first event that says something.
    """

    _reader: AnswerReader

    def __init__(
        self,
        call: Call,
        lease: Lease,
        delivery: Delivery,
        *,
        runaway: RunawayRule,
        on_first_event: Callable[[], None],
    ) -> None:
        self._call = call
        self._lease = lease
        self._delivery = delivery
        self._clock = AttemptClock(call, lease, runaway)
        self._on_first_event = on_first_event
        self._metrics = call.services.metrics
        self._event_held = call.memory.hold_event()
        self._batch: list[Event] = []  # what is emitted next
        self._repeated = RepeatedChunks()
        self._held = 0  # what the reader last held beside its text
        self._ended = False
        self._how_empty = "ended its answer before it began"

    async def run(self, reader: AnswerReader, question: Question, body: Payload) -> Fault | None:
        """Post *body*, which is that of *question*, and let *reader* read the answer.

        None when the client has the whole answer; otherwise what went wrong.
        """
        self._reader = reader
        self._clock.start(reader)
        fault: Fault | None = None
        with self._lease.scope:
            try:
                fault = await self._ask(question, body)
            except trio.Cancelled:
                self._is_complete()  # the gateway stops, perhaps: an answer that is whole is delivered
                raise
        return None if self._is_complete() else self._judge(fault)

    async def _ask(self, question: Question, body: Payload) -> Fault | None:
        """Converse; as often as something that the gateway has added is refused, once more without it.

        Until then nothing has come of an answer, and the refusal says nothing about the upstream.
        """
        while True:
            try:
                await self._converse(question, body)
            except UpstreamFailure as failure:
                if self._clock.answered or not question.put_otherwise(failure):
                    return failure.fault
                body = await question.body()
            else:
                return None

    def release(self) -> None:
        """Give the lease back without a verdict, if there was none: the client left, or the gateway stops."""
        self._event_held.release()
        self._lease.release()

    def _is_complete(self) -> bool:
        """Every choice is complete: whatever happened to the connection after that changes nothing."""
        if self._reader.finished and not self._ended:
            self._metrics.missing_done.labels(self._lease.name).inc()
            self._delivery.emit(self._reader.end())
            self._finish()
        return self._ended

    def _judge(self, fault: Fault | None) -> Fault:
        """Settle a failed attempt. A client that has seen some of the answer gets the rest of what came."""
        fault = self._lease.explain(fault or self._clock.why_over())
        self._lease.fail(fault)
        if self._delivery.begun and self._delivery.committed:
            self._delivery.emit(self._reader.end())
        return fault

    async def _converse(self, question: Question, body: Payload) -> None:
        upstream, authorization = self._lease.upstream, self._call.authorization
        streamed = question.streamed
        if not streamed:
            self._clock.expect_whole()
        async with upstream.open_completion(
            body, authorization=authorization, streamed=streamed, traceparent=question.traceparent
        ) as answer:
            if not streamed:
                self._lease.note_queued()  # a whole answer takes its time, which does not make it slow
            if answer.streamed:
                await self._read_stream(answer)
            else:
                self._how_empty = 'answered with JSON that holds no "choices"'
                await self._read_whole(answer)
            # T18: only a body that was read to its end leaves its connection for the next request.
            self._clock.expect_end_of_body()
            while await answer.receive():
                pass

    async def _read_stream(self, answer: UpstreamAnswer) -> None:
        decoder = SSEDecoder(max_line=self._call.memory.max_event, raw_over=_SLICED_OVER)
        try:
            await self._decode_stream(answer, decoder)
        finally:
            if decoder.replaced:
                self._metrics.invalid_utf8.labels(self._lease.name).inc(decoder.replaced)

    async def _decode_stream(self, answer: UpstreamAnswer, decoder: SSEDecoder) -> None:
        while data := await answer.receive():
            comments = decoder.comments
            for number, piece in enumerate(cut_lines(data)):
                if number:
                    await trio.lowlevel.checkpoint()  # one read may bring thousands of events
                if await self._take(decoded(decoder, piece)):
                    return
                if (waiting := decoder.waiting) or self._event_held.amount:
                    self._hold_event(waiting)
            if decoder.comments > comments:
                self._clock.expect_next(begun=False)
        # The standard drops an event that the end of the stream has cut off. One that is evidently whole
        # and the last is taken all the same: some servers forget the blank line after it.
        rest = [event for event in decoded(decoder) if is_final(event)]
        if not await self._take(rest) and not self._reader.finished:
            raise UpstreamFailure.of("truncated", "The upstream ended its answer before it was complete.")

    async def _read_whole(self, answer: UpstreamAnswer) -> None:
        whole = bytearray()
        while data := await answer.receive():
            whole += data
            self._refuse_if(self._call.memory.refusal(self._event_held, len(whole)))
        is_large = len(whole) > _SLICED_OVER
        event = SSEEvent(raw=whole) if is_large else SSEEvent(data=whole.decode("utf-8", "replace"))
        await self._take([event, SSEEvent(data=DONE)])

    async def _take(self, events: list[SSEEvent]) -> bool:
        """Emit what *events* bring; true when one of them was the end of the answer."""
        # Another attempt that runs beside this one may have had its first event before: then this one is
        # over.
        await trio.lowlevel.checkpoint_if_cancelled()
        chunks = 0
        for event in events:
            if event.data.strip() == DONE:
                self._emit()
                self._end()
                await self._flush()
                return True
            try:
                chunks += await self._take_event(event)
            except UpstreamFailure:
                self._emit()  # what came before it still counts
                raise
        if events:
            self._clock.watch(self._emit())
            await self._flush()
            self._clock.expect_next(begun=chunks > 0)
        return False

    async def _take_event(self, event: SSEEvent) -> bool:
        """Add what *event* brings to what is emitted next; False where it is no part of the answer."""
        if (repeated := self._repeated.recognise(event)) is not None:
            self._read(repeated)
            return True
        if event.raw:
            return await self._take_large(event)
        with PROTOCOL_FAULTS:
            chunk = read_event(event)
        if isinstance(chunk, Chunk):
            self._repeated.learn(event, chunk)
        return await self._take_chunk(chunk)

    async def _take_large(self, event: SSEEvent) -> bool:
        """Emit what a large event brings; its memory is given back when the client has it."""
        self._emit()
        self._hold_event(len(event.raw))
        large = LargeEvent(event)
        with PROTOCOL_FAULTS:
            for _ in large.slices():
                await trio.lowlevel.checkpoint()
        if large.replaced:
            self._metrics.invalid_utf8.labels(self._lease.name).inc(large.replaced)
        is_part = await self._take_chunk(large.chunk)
        self._clock.watch(self._emit())
        await self._flush()
        self._hold_event(0)
        return is_part

    async def _take_chunk(self, chunk: Chunk | InbandError | None) -> bool:
        """Add what *chunk* brings to what is emitted next; piece by piece, where it has much text."""
        if chunk is None:
            return False
        for part in cut_chunk(self._accepted(chunk)):
            self._read(part)
            if part is not chunk:
                self._clock.watch(self._emit())
                await self._flush()
                await trio.lowlevel.checkpoint()
        return True

    def _read(self, chunk: Chunk) -> None:
        self._batch += self._reader.read(chunk)
        if self._reader.whole:
            self._refuse_if(self._call.memory.answer_refusal(self._reader.size))
        elif self._reader.held != self._held:
            self._held = self._reader.held
            self._refuse_if(self._call.memory.answer_refusal(self._held))

    def _emit(self) -> list[Event]:
        """Emit what has been read."""
        batch, self._batch = self._batch, []
        self._delivery.emit(batch)
        return batch

    async def _flush(self) -> None:
        """Wait while the client is slow. Meanwhile the upstream is not the one that is silent."""
        if not self._clock.spoken:
            return  # there is nothing to take yet, and the client may wait for its status line
        if self._delivery.flush_nowait():
            return
        self._clock.wait_for_client()
        await self._delivery.flush()

    def _hold_event(self, size: int) -> None:
        if not self._call.memory.fits(self._event_held, size):
            self._refuse_if("The gateway reads too many large events at present.")

    def _refuse_if(self, reason: str | None) -> None:
        """Fail for *reason*, if there is one: a bound of the gateway, which is neutral for the upstream."""
        if reason is not None:
            raise UpstreamFailure(Fault(error_for("answer_too_large", reason), Outcome.NEUTRAL, Replay.NO))

    def _accepted(self, chunk: Chunk | InbandError) -> Chunk:
        """*chunk*, which is part of the answer, unless it is an error."""
        if isinstance(chunk, InbandError):
            raise UpstreamFailure(self._lease.upstream.fault_in_stream(chunk), chunk)
        with PROTOCOL_FAULTS:
            self._reader.check(chunk)
        if not self._clock.answered:
            self._clock.answered = True
            self._lease.confirm()
        if not self._clock.spoken and chunk.speaks:
            self._clock.spoken = True
            self._on_first_event()
        return chunk

    def _end(self) -> None:
        """[DONE] came."""
        if self._reader.empty:
            raise UpstreamFailure.of("upstream_empty", f"The upstream {self._how_empty}.")
        self._delivery.emit(self._reader.end())
        self._finish()

    def _finish(self) -> None:
        self._lease.succeed()
        self._ended = True
        self._delivery.finish()
