"""One attempt: a request to one upstream and its answer, read to its end, and a verdict on the upstream."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from ..core.breaker import Outcome
from ..core.chunks import ChoiceError, Chunk, InbandError, LargeEvent, ProtocolError, cut_chunk, read_event
from ..core.errors import error_for
from ..core.events import ReasoningDelta
from ..core.faults import Fault, Replay, fault_of_transport
from ..core.patience import Patience
from ..core.sse import DONE, LineTooLongError, SSEDecoder, SSEEvent, cut_lines
from .upstream import UpstreamAnswer, UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core.answer import AnswerReader
    from ..core.byte_budget import Holding
    from ..core.events import Event
    from ..core.runaway import ReasoningLimit
    from .admission import Try
    from .backends import Flight
    from .bodies import Payload
    from .memory import RequestMemory
    from .metrics import Metrics
    from .outlet import Outlet
    from .report import Report

__all__ = ["Exchange"]

# Seconds an upstream gets to end its body after [DONE], so that its connection can be used again.
_BODY_GRACE = 0.1
# Bytes of an event, or of an answer in one object, that is read in slices: 5,000 values take up to 10 ms.
_SLICED_OVER = 16 * 1024
# Seconds to wait for usage and [DONE] once every choice has its finish reason; nothing else may follow.
_DONE_GRACE = 5.0


class Exchange:
    """Runs one attempt. Its permit is settled when ``run`` returns, and by ``release`` at the latest.

    *limit* is how much its model may think, *on_runaway* what follows when it thinks more; *deadline* the
    instant by which the whole request must be over. *spoke* is called at the first event.
    """

    _reader: AnswerReader
    _flight: Flight

    def __init__(
        self,
        attempt: Try,
        outlet: Outlet,
        *,
        report: Report,
        metrics: Metrics,
        limit: ReasoningLimit,
        on_runaway: Replay,
        deadline: float,
        memory: RequestMemory,
        spoke: Callable[[], None],
    ) -> None:
        self._backend = attempt.backend
        self._permit = attempt.permit
        self._outlet = outlet
        self._report = report
        self._metrics = metrics
        self._limit = limit
        self._on_runaway = on_runaway
        self._deadline = deadline
        self._memory = memory
        self._event_held = memory.hold_event()
        self._batch: list[Event] = []  # what is passed on next
        self._spoke = spoke
        self._patience = Patience(attempt.backend.config, math.inf)
        self._first_event_at: float | None = None
        self._told_done = False

    async def run(
        self, reader: AnswerReader, body: bytes | Payload, authorization: str | None
    ) -> Fault | None:
        """Post *body*, and let *reader* read the answer.

        None when the client has the whole answer; otherwise what went wrong.
        """
        self._reader = reader
        self._patience = Patience(self._backend.config, trio.current_time())
        fault: Fault | None = None
        with self._backend.flight(self._next_event_deadline()) as flight:
            self._flight = flight
            try:
                await self._converse(flight, body, authorization)
            except UpstreamFailure as failure:
                fault = failure.fault
        if self._told_done:
            await self._outlet.finish()  # again: a trip or the deadline may have come before it was told
            return None
        if self._reader.finished:
            # Every choice is complete: whatever became of the connection after that changes nothing.
            self._metrics.missing_done.labels(self._backend.name).inc()
            await self._finish()
            return None
        if fault is None:
            fault = self._why_cancelled(flight)
        self._backend.fail(self._permit, fault, slow=self._is_slow())
        if self._outlet.begun and self._outlet.committed:
            await self._outlet.send(self._reader.end())
        return fault

    def release(self) -> None:
        """Settle neutral if nothing was settled: the client left, or the gateway stops."""
        self._event_held.release()
        self._backend.release(self._permit, slow=self._is_slow())

    async def _converse(self, flight: Flight, body: bytes | Payload, authorization: str | None) -> None:
        async with self._backend.upstream.open_completion(body, authorization=authorization) as answer:
            if answer.streamed:
                await self._read_stream(answer)
            else:
                await self._read_whole(answer)
            flight.scope.deadline = trio.current_time() + _BODY_GRACE
            while await answer.receive():
                pass

    async def _read_stream(self, answer: UpstreamAnswer) -> None:
        decoder = SSEDecoder(max_line=self._memory.max_event, raw_over=_SLICED_OVER)
        try:
            await self._decode_stream(answer, decoder)
        finally:
            if decoder.replaced:
                self._metrics.invalid_utf8.labels(self._backend.name).inc(decoder.replaced)

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
            raise UpstreamFailure.of("truncated", "The upstream's answer ended before it was complete.")

    async def _read_whole(self, answer: UpstreamAnswer) -> None:
        whole = bytearray()
        while data := await answer.receive():
            whole += data
            self._refuse_if(self._memory.refusal(self._event_held, len(whole)))
        is_large = len(whole) > _SLICED_OVER
        event = SSEEvent(raw=whole) if is_large else SSEEvent(data=whole.decode("utf-8", "replace"))
        await self._take([event, SSEEvent(data=DONE)])

    async def _take(self, events: list[SSEEvent]) -> bool:
        """Pass on what *events* bring; true when one of them was the end of the answer."""
        # Another attempt that runs beside this one may have spoken first; then nothing of this one counts.
        await trio.lowlevel.checkpoint_if_cancelled()
        chunks = 0
        for event in events:
            if event.data.strip() == DONE:
                await self._pass_on()
                await self._end()
                return True
            try:
                chunks += await self._take_event(event)
            except UpstreamFailure:
                await self._pass_on()  # what came before it still counts
                raise
        if events:
            self._check_limit(await self._pass_on())
            self._expect_next(begun=chunks > 0)
        return False

    async def _take_event(self, event: SSEEvent) -> bool:
        """Add what *event* brings to what is passed on next; False where it is none of ours."""
        if not event.raw:
            with _protocol_faults():
                chunk = read_event(event)
            return await self._take_chunk(chunk)
        await self._pass_on()
        self._hold_event(len(event.raw))
        large = LargeEvent(event)
        with _protocol_faults():
            for _ in large.slices():
                await trio.lowlevel.checkpoint()
        if large.replaced:
            self._metrics.invalid_utf8.labels(self._backend.name).inc(large.replaced)
        is_ours = await self._take_chunk(large.chunk)
        held, self._event_held = self._event_held, self._memory.hold_event()
        self._check_limit(await self._pass_on(held))
        return is_ours

    async def _take_chunk(self, chunk: Chunk | InbandError | None) -> bool:
        """Add what *chunk* brings to what is passed on next; piece by piece, where it has much text."""
        if chunk is None:
            return False
        for part in cut_chunk(self._accepted(chunk)):
            self._batch += self._reader.read(part)
            if self._reader.whole:
                self._refuse_if(self._memory.answer_refusal(self._reader.size))
            if part is not chunk:
                self._check_limit(await self._pass_on())
                await trio.lowlevel.checkpoint()
        return True

    async def _pass_on(self, held: Holding | None = None) -> list[Event]:
        """Send what has been read. *held*: memory of its event, given back once the client has it."""
        batch, self._batch = self._batch, []
        try:
            if batch:
                # While the client is slow to take this, the upstream is not the one who is silent.
                self._flight.scope.deadline = self._deadline
                await self._outlet.send(batch, held)
                held = None
        finally:
            if held is not None:
                held.release()
        return batch

    def _expect_next(self, *, begun: bool) -> None:
        """Set the clock for the next event. *begun*: one came just now, and not only a sign of life."""
        now = trio.current_time()
        if begun:
            self._patience.event(now)
        elif self._reader.finished:
            return  # nothing but the end is waited for
        else:
            self._patience.comment(now)
        self._flight.scope.deadline = self._next_event_deadline()

    def _hold_event(self, size: int) -> None:
        if not self._memory.fits(self._event_held, size):
            self._refuse_if("The gateway reads too many large events at present.")

    def _refuse_if(self, reason: str | None) -> None:
        """Fail for *reason*, if there is one: a bound of ours, which says nothing about the upstream."""
        if reason is not None:
            raise UpstreamFailure(Fault(error_for("answer_too_large", reason), Outcome.NEUTRAL, Replay.NO))

    def _check_limit(self, told: list[Event]) -> None:
        if self._reader.output_seen:
            return
        now = trio.current_time()
        for event in told:
            if isinstance(event, ReasoningDelta):
                self._limit.feed(event.text, now)
        if (why := self._limit.exceeded(now)) is not None:
            raise UpstreamFailure(self._runaway(why))

    def _runaway(self, why: str) -> Fault:
        # The upstream does its work; it is the model that does not come to an end.
        return Fault(error_for("reasoning_limit", why), Outcome.NEUTRAL, self._on_runaway)

    def _accepted(self, chunk: Chunk | InbandError) -> Chunk:
        """*chunk*, which is part of the answer, unless it is an error."""
        if isinstance(chunk, InbandError):
            raise UpstreamFailure(self._backend.upstream.fault_in_stream(chunk))
        with _protocol_faults():
            self._reader.check(chunk)
        if self._first_event_at is None:
            self._first_event_at = trio.current_time()
            self._permit = self._backend.confirm(self._permit)
            self._backend.flows(self._flight)
            self._spoke()
        return chunk

    async def _end(self) -> None:
        """[DONE] came."""
        if self._reader.empty:
            raise UpstreamFailure.of("upstream_empty", "The upstream ended its answer before it began.")
        await self._outlet.send(self._reader.end())
        await self._finish()

    async def _finish(self) -> None:
        self._backend.succeed(self._permit, slow=self._is_slow())
        self._report.outcome = "ok"
        self._told_done = True
        await self._outlet.finish()

    def _next_event_deadline(self) -> float:
        by = self._patience.deadline
        if self._first_event_at is None:
            by = min(by, self._backend.probe_deadline(self._permit))
        if self._reader.finished:
            by = min(by, trio.current_time() + _DONE_GRACE)
        if not self._reader.output_seen:
            by = min(by, self._limit.deadline)
        return min(by, self._deadline)

    def _why_cancelled(self, flight: Flight) -> Fault:
        if flight.swept:
            error = error_for("circuit_open", "The upstream failed meanwhile.", retry_after=1.0)
            return Fault(error, Outcome.NEUTRAL, Replay.NEXT)
        if trio.current_time() >= self._deadline:
            return fault_of_transport(
                "deadline", "The answer was not complete in the time a request may take."
            )
        if (why := self._limit.exceeded(trio.current_time())) and not self._reader.output_seen:
            return self._runaway(why)
        code = "first_event_timeout" if self._first_event_at is None else "idle_timeout"
        if self._patience.was_queued(trio.current_time()):
            # It has answered all the time, so it is not ill; it would only queue the request again.
            message = "The upstream has kept the request in its queue for too long."
            return Fault(error_for(code, message), Outcome.NEUTRAL, Replay.NEXT)
        if self._first_event_at is None:
            return fault_of_transport(code, "The upstream did not begin to answer in time.")
        return fault_of_transport(code, "The upstream fell silent.")

    def _is_slow(self) -> bool:
        heard_at = self._first_event_at if self._first_event_at is not None else trio.current_time()
        return heard_at - self._patience.quiet_since > self._backend.config.breaker.slow_after


@contextmanager
def _protocol_faults() -> Iterator[None]:
    """Give an event that is no chunk, or one of more choices than were asked for, the fault it means."""
    try:
        yield
    except ChoiceError as error:
        # The client has chosen their number, perhaps in a way that the upstream reads differently.
        message = "The upstream sent more choices than were asked for."
        fault = Fault(error_for("upstream_protocol", message), Outcome.NEUTRAL, Replay.NEXT)
        raise UpstreamFailure(fault) from error
    except ProtocolError as error:
        raise UpstreamFailure.of(
            "upstream_protocol", "The upstream sent an event that is no chunk."
        ) from error


def _decoded(decoder: SSEDecoder, chunk: bytes | None = None) -> list[SSEEvent]:
    """The events that *chunk* completes, or, without one, what the end of the stream has cut off."""
    try:
        return decoder.finish() if chunk is None else decoder.feed(chunk)
    except LineTooLongError as error:
        raise UpstreamFailure.of("line_too_long", "The upstream sent a line that is too long.") from error


def _is_final(event: SSEEvent) -> bool:
    return event.data.strip() == DONE or '"finish_reason"' in event.data or b'"finish_reason"' in event.raw
