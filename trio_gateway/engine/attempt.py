"""Attempt: one request to one upstream, its answer read to the end, and a verdict on the upstream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from ..core.breaker import Outcome
from ..core.chunks import Chunk, InbandError, ProtocolError, read_event
from ..core.errors import error_for
from ..core.events import ReasoningDelta
from ..core.faults import Fault, Replay, fault_of_transport
from ..core.repeated_chunks import RepeatedChunks
from ..core.sse import DONE, LineTooLongError, SSEDecoder, SSEEvent
from .upstream import UpstreamAnswer, UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.answer import AnswerReader
    from ..core.events import Event
    from ..core.runaway import ReasoningLimit
    from .bodies import Payload
    from .call import Call
    from .delivery import Delivery
    from .lease import Lease

__all__ = ["Attempt"]

# Seconds an upstream gets to end its body after [DONE], so that its connection can be used again.
_BODY_GRACE = 0.1
# Seconds to wait for usage and [DONE] once every choice has its finish reason; nothing else may follow.
_DONE_GRACE = 5.0
# Bytes of an answer that comes as one JSON object, from servers that do not stream.
_MAX_WHOLE_ANSWER = 8 * 1024 * 1024


class Attempt:
    """Runs once. Its lease is given back when ``run`` returns, and by ``release`` at the latest.

    *on_runaway* is what follows when the model thinks more than it may. *on_first_event* is called at the
    first valid event.
    """

    _reader: AnswerReader

    def __init__(
        self,
        call: Call,
        lease: Lease,
        delivery: Delivery,
        *,
        limit: ReasoningLimit,
        on_runaway: Replay,
        on_first_event: Callable[[], None],
    ) -> None:
        self._call = call
        self._lease = lease
        self._delivery = delivery
        self._on_runaway = on_runaway
        self._on_first_event = on_first_event
        self._metrics = call.services.metrics
        self._limit = limit
        self._repeated = RepeatedChunks()
        self._started_at = math.inf
        self._first_event_at: float | None = None
        self._ended = False

    async def run(self, reader: AnswerReader, body: bytes | Payload) -> Fault | None:
        """Post *body*, and let *reader* read the answer.

        None when the client has the whole answer; otherwise what went wrong.
        """
        self._reader = reader
        self._started_at = trio.current_time()
        fault: Fault | None = None
        self._lease.scope.deadline = self._first_event_deadline()
        with self._lease.scope:
            try:
                await self._converse(body)
            except UpstreamFailure as failure:
                fault = failure.fault
        return None if self._is_complete() else self._judge(fault)

    def release(self) -> None:
        """Give the lease back without a verdict, if there was none: the client left, or the gateway stops."""
        self._lease.release(slow=self._is_slow())

    def _is_complete(self) -> bool:
        """Every choice is complete: whatever happened to the connection after that changes nothing."""
        if self._reader.finished and not self._ended:
            self._metrics.missing_done.labels(self._lease.name).inc()
            self._finish()
        return self._ended

    def _judge(self, fault: Fault | None) -> Fault:
        """Settle a failed attempt. A client that has seen some of the answer gets the rest of what came."""
        fault = fault or self._why_cancelled()
        self._lease.fail(fault, slow=self._is_slow())
        if self._delivery.begun and self._delivery.committed:
            self._delivery.emit(self._reader.end())
        return fault

    async def _converse(self, body: bytes | Payload) -> None:
        upstream = self._lease.upstream
        async with upstream.open_completion(body, authorization=self._call.authorization) as answer:
            if answer.streamed:
                await self._read_stream(answer)
            else:
                await self._read_whole(answer)
            self._lease.scope.deadline = trio.current_time() + _BODY_GRACE
            while await answer.receive():
                pass

    async def _read_stream(self, answer: UpstreamAnswer) -> None:
        decoder = SSEDecoder()
        try:
            await self._decode_stream(answer, decoder)
        finally:
            if decoder.replaced:
                self._metrics.invalid_utf8.labels(self._lease.name).inc(decoder.replaced)

    async def _decode_stream(self, answer: UpstreamAnswer, decoder: SSEDecoder) -> None:
        while chunk := await answer.receive():
            if await self._take(_decoded(decoder, chunk)):
                return
        # The standard drops an event that the end of the stream has cut off. One that is evidently whole
        # and the last is taken all the same: some servers forget the blank line after it.
        rest = [event for event in _decoded(decoder) if _is_final(event)]
        if not await self._take(rest) and not self._reader.finished:
            raise UpstreamFailure.of("truncated", "The upstream's answer ended before it was complete.")

    async def _read_whole(self, answer: UpstreamAnswer) -> None:
        whole = bytearray()
        while chunk := await answer.receive():
            whole += chunk
            if len(whole) > _MAX_WHOLE_ANSWER:
                raise UpstreamFailure.of("upstream_protocol", "The upstream's answer is too large.")
        await self._take([SSEEvent(data=whole.decode("utf-8", "replace")), SSEEvent(data=DONE)])

    async def _take(self, events: list[SSEEvent]) -> bool:
        """Emit what the *events* of one read bring; true when one of them was the end of the answer."""
        # Another attempt that runs beside this one may have had its first event before: then this one is
        # over.
        await trio.lowlevel.checkpoint_if_cancelled()
        gained: list[Event] = []
        failure: UpstreamFailure | None = None
        done = False
        for event in events:
            if event.data.strip() == DONE:
                done = True
                break
            try:
                gained += self._read(event)
            except UpstreamFailure as error:
                failure = error  # what came before it still counts
                break
        self._delivery.emit(gained)
        if done:
            self._end()
        if gained or done:
            # While the client is slow to take this, the upstream is not the one that is silent.
            self._lease.scope.deadline = self._call.deadline
            await self._delivery.flush()
        if failure is not None:
            raise failure
        if events and not done:
            self._check_limit(gained)
            self._lease.scope.deadline = self._next_event_deadline()
        return done

    def _check_limit(self, gained: list[Event]) -> None:
        if self._reader.output_seen:
            return
        now = trio.current_time()
        for event in gained:
            if isinstance(event, ReasoningDelta):
                self._limit.feed(event.text, now)
        if (reason := self._limit.exceeded(now)) is not None:
            raise UpstreamFailure(self._runaway(reason))

    def _runaway(self, reason: str) -> Fault:
        # The upstream does its work; it is the model that does not come to an end.
        return Fault(error_for("reasoning_limit", reason), Outcome.NEUTRAL, self._on_runaway)

    def _read(self, event: SSEEvent) -> list[Event]:
        chunk = self._repeated.recognise(event) or self._parse(event)
        if chunk is None:
            return []
        if self._first_event_at is None:
            self._first_event_at = trio.current_time()
            self._lease.confirm()
            self._on_first_event()
        return self._reader.read(chunk)

    def _parse(self, event: SSEEvent) -> Chunk | None:
        try:
            chunk = read_event(event)
        except ProtocolError as error:
            message = "The upstream sent an event that is no chunk."
            raise UpstreamFailure.of("upstream_protocol", message) from error
        if isinstance(chunk, InbandError):
            raise UpstreamFailure(self._lease.upstream.fault_in_stream(chunk))
        if chunk is not None:
            self._repeated.learn(event, chunk)
        return chunk

    def _end(self) -> None:
        """[DONE] came."""
        if self._reader.empty:
            raise UpstreamFailure.of("upstream_empty", "The upstream ended its answer before it began.")
        self._delivery.emit(self._reader.end())
        self._finish()

    def _finish(self) -> None:
        self._lease.succeed(slow=self._is_slow())
        self._ended = True
        self._delivery.finish()

    def _first_event_deadline(self) -> float:
        by = self._started_at + self._lease.config.first_event_timeout
        return min(by, self._lease.deadline, self._call.deadline)

    def _next_event_deadline(self) -> float:
        pause = _DONE_GRACE if self._reader.finished else self._lease.config.idle_timeout
        by = min(trio.current_time() + pause, self._call.deadline)
        return by if self._reader.output_seen else min(by, self._limit.deadline)

    def _why_cancelled(self) -> Fault:
        if self._lease.swept:
            error = error_for("circuit_open", "The upstream failed meanwhile.", retry_after=1.0)
            return Fault(error, Outcome.NEUTRAL, Replay.NEXT)
        now = trio.current_time()
        if now >= self._call.deadline:
            message = "The answer was not complete in the time a request may take."
            return fault_of_transport("deadline", message)
        if (reason := self._limit.exceeded(now)) and not self._reader.output_seen:
            return self._runaway(reason)
        if self._first_event_at is None:
            return fault_of_transport("first_event_timeout", "The upstream did not begin to answer in time.")
        return fault_of_transport("idle_timeout", "The upstream fell silent.")

    def _is_slow(self) -> bool:
        first_event_at = self._first_event_at if self._first_event_at is not None else trio.current_time()
        return first_event_at - self._started_at > self._lease.config.breaker.slow_after


def _decoded(decoder: SSEDecoder, chunk: bytes | None = None) -> list[SSEEvent]:
    """The events that *chunk* completes, or, without one, what the end of the stream has cut off."""
    try:
        return decoder.finish() if chunk is None else decoder.feed(chunk)
    except LineTooLongError as error:
        raise UpstreamFailure.of("line_too_long", "The upstream sent a line that is too long.") from error


def _is_final(event: SSEEvent) -> bool:
    return event.data.strip() == DONE or '"finish_reason"' in event.data
