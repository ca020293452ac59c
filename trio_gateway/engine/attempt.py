"""Attempt: sends one request to one upstream and judges its answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from ..core.breaker import Outcome
from ..core.errors import error_for
from ..core.events import ReasoningDelta
from ..core.json.strict import dumps
from ..core.sse import DONE, LineTooLongError, SSEDecoder, SSEEvent, cut_lines
from ..core.upstream_api.chunks import (
    ChoiceError,
    Chunk,
    InbandError,
    LargeEvent,
    ProtocolError,
    cut_chunk,
    read_event,
)
from ..core.upstream_api.faults import Fault, Replay, fault_of_transport
from ..core.upstream_api.patience import Patience
from ..core.upstream_api.repeated_chunks import RepeatedChunks
from .upstream_answer import UpstreamAnswer, UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.events import Event
    from ..core.upstream_api.answer_reader import AnswerReader
    from ..core.upstream_api.runaway import ReasoningLimit
    from .bodies import Payload
    from .call import Call
    from .delivery import Delivery
    from .lease import Lease
    from .question import Question

__all__ = ["Attempt", "RunawayRule"]

# Seconds an upstream gets to end its body after [DONE], so that its connection can be used again.
_BODY_GRACE = 0.1
# Seconds to wait for usage, more text and [DONE] once every choice has a finish reason.
_DONE_GRACE = 5.0
# Bytes of an event, or of an answer in one object, that is read in slices: 5,000 values take up to 10 ms.
_SLICED_OVER = 16 * 1024


@dataclass(frozen=True, slots=True)
class RunawayRule:
    """Limit of a model's thinking, and where a request is repeated then."""

    limit: ReasoningLimit
    replay: Replay


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
        self._limit, self._on_runaway = runaway.limit, runaway.replay
        self._on_first_event = on_first_event
        self._metrics = call.services.metrics
        self._event_held = call.memory.hold_event()
        self._batch: list[Event] = []  # what is emitted next
        self._repeated = RepeatedChunks()
        self._patience = Patience(lease.config, math.inf)
        self._answered = False  # a valid event came
        self._spoken = False  # one that says something did
        self._held = 0  # what the reader last held beside its text
        self._ended = False
        self._how_empty = "ended its answer before it began"

    async def run(self, reader: AnswerReader, question: Question, body: bytes | Payload) -> Fault | None:
        """Post *body*, which is that of *question*, and let *reader* read the answer.

        None when the client has the whole answer; otherwise what went wrong.
        """
        self._reader = reader
        self._patience = Patience(self._lease.config, trio.current_time())
        fault: Fault | None = None
        self._lease.scope.deadline = self._next_event_deadline()
        with self._lease.scope:
            try:
                fault = await self._ask(question, body)
            except trio.Cancelled:
                self._is_complete()  # the gateway stops, perhaps: an answer that is whole is delivered
                raise
        return None if self._is_complete() else self._judge(fault)

    async def _ask(self, question: Question, body: bytes | Payload) -> Fault | None:
        """Converse; as often as something that the gateway has added is refused, once more without it.

        Until then nothing has come of an answer, and the refusal says nothing about the upstream.
        """
        while True:
            try:
                await self._converse(question, body)
            except UpstreamFailure as failure:
                if self._answered or not question.put_otherwise(failure):
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
        fault = self._lease.explain(fault or self._why_cancelled())
        self._lease.fail(fault)
        if self._delivery.begun and self._delivery.committed:
            self._delivery.emit(self._reader.end())
        return fault

    async def _converse(self, question: Question, body: bytes | Payload) -> None:
        upstream, authorization = self._lease.upstream, self._call.authorization
        streamed = question.streamed
        if not streamed:
            self._patience.deadline = trio.current_time() + self._lease.config.queue_timeout
            self._lease.scope.deadline = self._next_event_deadline()
        async with upstream.open_completion(body, authorization=authorization, streamed=streamed) as answer:
            if not streamed:
                self._lease.note_queued()  # a whole answer takes its time, which does not make it slow
            if answer.streamed:
                await self._read_stream(answer)
            else:
                self._how_empty = 'answered with JSON that holds no "choices"'
                await self._read_whole(answer)
            # T18: only a body that was read to its end leaves its connection for the next request.
            self._lease.scope.deadline = trio.current_time() + _BODY_GRACE
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
                if await self._take(_decoded(decoder, piece)):
                    return
                self._hold_event(decoder.waiting)
            if decoder.comments > comments:
                self._expect_next(begun=False)
        # The standard drops an event that the end of the stream has cut off. One that is evidently whole
        # and the last is taken all the same: some servers forget the blank line after it.
        rest = [event for event in _decoded(decoder) if _is_final(event)]
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
            self._check_limit(self._emit())
            await self._flush()
            self._expect_next(begun=chunks > 0)
        return False

    async def _take_event(self, event: SSEEvent) -> bool:
        """Add what *event* brings to what is emitted next; False where it is no part of the answer."""
        if (repeated := self._repeated.recognise(event)) is not None:
            self._read(repeated)
            return True
        if event.raw:
            return await self._take_large(event)
        with _PROTOCOL_FAULTS:
            chunk = read_event(event)
        if isinstance(chunk, Chunk):
            self._repeated.learn(event, chunk)
        return await self._take_chunk(chunk)

    async def _take_large(self, event: SSEEvent) -> bool:
        """Emit what a large event brings; its memory is given back when the client has it."""
        self._emit()
        self._hold_event(len(event.raw))
        large = LargeEvent(event)
        with _PROTOCOL_FAULTS:
            for _ in large.slices():
                await trio.lowlevel.checkpoint()
        if large.replaced:
            self._metrics.invalid_utf8.labels(self._lease.name).inc(large.replaced)
        is_part = await self._take_chunk(large.chunk)
        self._check_limit(self._emit())
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
                self._check_limit(self._emit())
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
        if not self._spoken:
            return  # there is nothing to take yet, and the client may wait for its status line
        self._lease.scope.deadline = self._call.deadline
        await self._delivery.flush()

    def _expect_next(self, *, begun: bool) -> None:
        """Set the clock for the next event. *begun*: one came just now, and not only a comment."""
        now = trio.current_time()
        if begun:
            if self._spoken:  # until then the time for the first event runs on
                self._patience.event(now)
        elif self._reader.finished:
            return  # only the end is waited for
        else:
            self._patience.comment(now)
            self._lease.note_queued()
        self._lease.scope.deadline = self._next_event_deadline()

    def _hold_event(self, size: int) -> None:
        if not self._call.memory.fits(self._event_held, size):
            self._refuse_if("The gateway reads too many large events at present.")

    def _refuse_if(self, reason: str | None) -> None:
        """Fail for *reason*, if there is one: a bound of the gateway, which is neutral for the upstream."""
        if reason is not None:
            raise UpstreamFailure(Fault(error_for("answer_too_large", reason), Outcome.NEUTRAL, Replay.NO))

    def _check_limit(self, emitted: list[Event]) -> None:
        if self._reader.output_seen:
            return
        now = trio.current_time()
        for event in emitted:
            if isinstance(event, ReasoningDelta):
                self._limit.feed(event.text, now)
        if (reason := self._limit.exceeded(now)) is not None:
            raise UpstreamFailure(self._runaway(reason))

    def _runaway(self, reason: str) -> Fault:
        # The upstream does its work; it is the model that does not come to an end.
        return Fault(error_for("reasoning_limit", reason), Outcome.NEUTRAL, self._on_runaway)

    def _accepted(self, chunk: Chunk | InbandError) -> Chunk:
        """*chunk*, which is part of the answer, unless it is an error."""
        if isinstance(chunk, InbandError):
            raise UpstreamFailure(self._lease.upstream.fault_in_stream(chunk), chunk)
        with _PROTOCOL_FAULTS:
            self._reader.check(chunk)
        if not self._answered:
            self._answered = True
            self._lease.confirm()
        if not self._spoken and chunk.speaks:
            self._spoken = True
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

    def _next_event_deadline(self) -> float:
        by = min(self._patience.deadline, self._call.deadline)
        if not self._answered:
            return min(by, self._lease.deadline)
        if self._reader.finished:
            by = min(by, trio.current_time() + _DONE_GRACE)
        return by if self._reader.output_seen else min(by, self._limit.deadline)

    def _why_cancelled(self) -> Fault:
        if self._lease.swept is not None:
            message = f"Upstream {dumps(self._lease.name)} is paused {self._lease.swept}."
            error = error_for("circuit_open", message, retry_after=1.0)
            return Fault(error, Outcome.NEUTRAL, Replay.NEXT)
        now = trio.current_time()
        if now >= self._call.deadline:
            message = "The answer was not complete in the time a request may take."
            return fault_of_transport("deadline", message)
        if (reason := self._limit.exceeded(now)) and not self._reader.output_seen:
            return self._runaway(reason)
        code = "idle_timeout" if self._spoken else "first_event_timeout"
        if self._patience.was_queued(now):
            # It has answered all the time, so it is not ill; it would only queue the request again.
            message = "The upstream kept the request in its queue for too long."
            return Fault(error_for(code, message), Outcome.NEUTRAL, Replay.NEXT)
        if not self._spoken:
            seconds = self._lease.config.first_event_timeout
            return fault_of_transport(code, f"The upstream sent no event of its answer in {seconds:.12g} s.")
        seconds = self._lease.config.idle_timeout
        return fault_of_transport(code, f"The upstream fell silent for {seconds:.12g} s.")


class _ProtocolFaults:
    """Context that turns protocol errors of a chunk into faults.

    A class, as a generator would take a microsecond more, twice for each token.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ChoiceError):
            # The client has chosen their number, perhaps in a way that the upstream reads differently.
            message = "The upstream sent more choices than were asked for."
            fault = Fault(error_for("upstream_protocol", message), Outcome.NEUTRAL, Replay.NEXT)
            raise UpstreamFailure(fault) from error
        if isinstance(error, ProtocolError):
            message = "The upstream sent an event that is no chunk."
            raise UpstreamFailure.of("upstream_protocol", message) from error


_PROTOCOL_FAULTS: Final = _ProtocolFaults()


def _decoded(decoder: SSEDecoder, chunk: bytes | None = None) -> list[SSEEvent]:
    """The events that *chunk* completes, or, without one, what the end of the stream has cut off."""
    try:
        return decoder.finish() if chunk is None else decoder.feed(chunk)
    except LineTooLongError as error:
        raise UpstreamFailure.of("line_too_long", "The upstream sent a line that is too long.") from error


def _is_final(event: SSEEvent) -> bool:
    return event.data.strip() == DONE or '"finish_reason"' in event.data or b'"finish_reason"' in event.raw
