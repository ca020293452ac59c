"""One attempt: a request to one upstream and its answer, read to its end, and a verdict on the upstream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from ..core.breaker import Outcome
from ..core.chunks import InbandError, ProtocolError, read_event
from ..core.errors import error_for
from ..core.events import ReasoningDelta
from ..core.faults import Fault, Replay, fault_of_transport
from ..core.sse import DONE, LineTooLongError, SSEDecoder, SSEEvent
from .upstream import UpstreamAnswer, UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.answer import AnswerReader
    from ..core.events import Event
    from ..core.runaway import ReasoningLimit
    from .lease import Lease
    from .metrics import Metrics
    from .outlet import Outlet
    from .report import Report

__all__ = ["Exchange"]

# Seconds an upstream gets to end its body after [DONE], so that its connection can be used again.
_BODY_GRACE = 0.1
# Seconds to wait for usage and [DONE] once every choice has its finish reason; nothing else may follow.
_DONE_GRACE = 5.0
# Bytes of an answer that comes as one JSON object, from servers that do not stream.
_MAX_WHOLE_ANSWER = 8 * 1024 * 1024


class Exchange:
    """Runs one attempt. Its lease is given back when ``run`` returns, and by ``release`` at the latest.

    *limit* is how much its model may think, *on_runaway* what follows when it thinks more; *deadline* the
    instant by which the whole request must be over. *spoke* is called at the first event.
    """

    _reader: AnswerReader

    def __init__(
        self,
        lease: Lease,
        outlet: Outlet,
        *,
        report: Report,
        metrics: Metrics,
        limit: ReasoningLimit,
        on_runaway: Replay,
        deadline: float,
        spoke: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._outlet = outlet
        self._report = report
        self._metrics = metrics
        self._limit = limit
        self._on_runaway = on_runaway
        self._deadline = deadline
        self._spoke = spoke
        self._started_at = math.inf
        self._first_event_at: float | None = None
        self._told_done = False

    async def run(self, reader: AnswerReader, body: bytes, authorization: str | None) -> Fault | None:
        """Post *body*, and let *reader* read the answer.

        None when the client has the whole answer; otherwise what went wrong.
        """
        self._reader = reader
        self._started_at = trio.current_time()
        fault: Fault | None = None
        self._lease.scope.deadline = self._first_event_deadline()
        with self._lease.scope:
            try:
                await self._converse(body, authorization)
            except UpstreamFailure as failure:
                fault = failure.fault
        if self._told_done:
            await self._outlet.finish()  # again: a trip or the deadline may have come before it was told
            return None
        if self._reader.finished:
            # Every choice is complete: whatever became of the connection after that changes nothing.
            self._metrics.missing_done.labels(self._lease.name).inc()
            await self._finish()
            return None
        if fault is None:
            fault = self._why_cancelled()
        self._lease.fail(fault, slow=self._is_slow())
        if self._outlet.begun and self._outlet.committed:
            await self._outlet.send(self._reader.end())
        return fault

    def release(self) -> None:
        """Settle neutral if nothing was settled: the client left, or the gateway stops."""
        self._lease.release(slow=self._is_slow())

    async def _converse(self, body: bytes, authorization: str | None) -> None:
        async with self._lease.upstream.open_completion(body, authorization=authorization) as answer:
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
        """Pass on what *events* bring; true when one of them was the end of the answer."""
        # Another attempt that runs beside this one may have spoken first; then nothing of this one counts.
        await trio.lowlevel.checkpoint_if_cancelled()
        told: list[Event] = []
        failure: UpstreamFailure | None = None
        done = False
        for event in events:
            if event.data.strip() == DONE:
                done = True
                break
            try:
                told += self._read(event)
            except UpstreamFailure as error:
                failure = error  # what came before it still counts
                break
        if told:
            # While the client is slow to take this, the upstream is not the one who is silent.
            self._lease.scope.deadline = self._deadline
            await self._outlet.send(told)
        if failure is not None:
            raise failure
        if done:
            await self._end()
        elif events:
            self._check_limit(told)
            pause = _DONE_GRACE if self._reader.finished else self._lease.config.idle_timeout
            by = min(trio.current_time() + pause, self._deadline)
            self._lease.scope.deadline = by if self._reader.output_seen else min(by, self._limit.deadline)
        return done

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

    def _read(self, event: SSEEvent) -> list[Event]:
        try:
            told = read_event(event)
        except ProtocolError as error:
            raise UpstreamFailure.of(
                "upstream_protocol", "The upstream sent an event that is no chunk."
            ) from error
        if told is None:
            return []
        if isinstance(told, InbandError):
            raise UpstreamFailure(self._lease.upstream.fault_in_stream(told))
        if self._first_event_at is None:
            self._first_event_at = trio.current_time()
            self._lease.confirm()
            self._spoke()
        return self._reader.read(told)

    async def _end(self) -> None:
        """[DONE] came."""
        if self._reader.empty:
            raise UpstreamFailure.of("upstream_empty", "The upstream ended its answer before it began.")
        await self._outlet.send(self._reader.end())
        await self._finish()

    async def _finish(self) -> None:
        self._lease.succeed(slow=self._is_slow())
        self._report.outcome = "ok"
        self._told_done = True
        await self._outlet.finish()

    def _first_event_deadline(self) -> float:
        by = self._started_at + self._lease.config.first_event_timeout
        return min(by, self._lease.deadline, self._deadline)

    def _why_cancelled(self) -> Fault:
        if self._lease.swept:
            error = error_for("circuit_open", "The upstream failed meanwhile.", retry_after=1.0)
            return Fault(error, Outcome.NEUTRAL, Replay.NEXT)
        if trio.current_time() >= self._deadline:
            return fault_of_transport(
                "deadline", "The answer was not complete in the time a request may take."
            )
        if (why := self._limit.exceeded(trio.current_time())) and not self._reader.output_seen:
            return self._runaway(why)
        if self._first_event_at is None:
            return fault_of_transport("first_event_timeout", "The upstream did not begin to answer in time.")
        return fault_of_transport("idle_timeout", "The upstream fell silent.")

    def _is_slow(self) -> bool:
        heard_at = self._first_event_at if self._first_event_at is not None else trio.current_time()
        return heard_at - self._started_at > self._lease.config.breaker.slow_after


def _decoded(decoder: SSEDecoder, chunk: bytes | None = None) -> list[SSEEvent]:
    """The events that *chunk* completes, or, without one, what the end of the stream has cut off."""
    try:
        return decoder.finish() if chunk is None else decoder.feed(chunk)
    except LineTooLongError as error:
        raise UpstreamFailure.of("line_too_long", "The upstream sent a line that is too long.") from error


def _is_final(event: SSEEvent) -> bool:
    return event.data.strip() == DONE or '"finish_reason"' in event.data
