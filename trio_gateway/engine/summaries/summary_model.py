"""A small model that writes summaries, asked while the main model thinks.

It has a breaker, a limit and timeouts of its own, and no failure of it costs the main answer anything. Where
it gives no line, the caller emits the extractive one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import structlog
import trio

from ...core.breaker import CallIdentity
from ...core.config.families import family_of
from ...core.events import OutputDelta
from ...core.json.scan import SCAN_OVER
from ...core.reasoning import starts_in_reasoning
from ...core.sse import DONE, LineTooLongError, SSEDecoder, cut_lines
from ...core.summary.model_request import MAX_TEXT, summary_body, summary_line
from ...core.upstream_api.answer_reader import AnswerReader
from ...core.upstream_api.chunks import InbandError, ProtocolError, cut_chunk, read_event
from ...core.upstream_api.faults import fault_of_transport
from ..bodies import Payload
from ..lease import Lease
from ..tracing import NO_SPAN, CallSpan, call_span
from ..upstream_answer import UpstreamFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...core.config import SummaryConfig
    from ...core.sse import SSEEvent
    from ..backend import Backend
    from ..metrics import Metrics
    from ..tracing import Span
    from ..upstream_answer import UpstreamAnswer

__all__ = ["SummaryModel", "SummaryQuestion", "cancel_soon"]

log = structlog.get_logger("trio_gateway.summary")

# Seconds after which a model that is still asked when the answer comes is told that it is not needed. Not
# at once: hanging up takes a millisecond, and the answer is about to leave.
_CANCEL_AFTER = 0.05


class SummaryQuestion:
    """Something the model was asked."""

    def __init__(self) -> None:
        self.line: str | None = None
        """Its answer; None: none, or none yet."""
        self._settled = trio.Event()

    @property
    def is_settled(self) -> bool:
        """It is answered, or its answer is not wanted any more."""
        return self._settled.is_set()

    def abandon(self) -> None:
        """The answer is no longer wanted."""
        self._settled.set()

    async def settled(self) -> None:
        """Wait until it is answered or dropped."""
        await self._settled.wait()


def cancel_soon(nursery: trio.Nursery) -> None:
    """End the questions that were asked in *nursery*, in a moment."""
    nursery.cancel_scope.deadline = trio.current_time() + _CANCEL_AFTER


class SummaryModel:
    """Client of the model of ``[summary]``; *backend* is its own."""

    def __init__(
        self, config: SummaryConfig, backend: Backend, metrics: Metrics, *, span: Span = NO_SPAN
    ) -> None:
        self._span = span
        self._config = config
        self._backend = backend
        self._metrics = metrics

    def under(self, span: Span) -> SummaryModel:
        """The same model for one request: *span* is the request's, of which each question is a part."""
        return SummaryModel(self._config, self._backend, self._metrics, span=span)

    def ask(
        self, nursery: trio.Nursery, kind: Literal["prompt", "reasoning"], text: str, width: int
    ) -> SummaryQuestion:
        """Have :meth:`line` asked for in *nursery*."""
        question = SummaryQuestion()
        nursery.start_soon(self._settle, question, kind, text, width)
        return question

    async def _settle(
        self, question: SummaryQuestion, kind: Literal["prompt", "reasoning"], text: str, width: int
    ) -> None:
        try:
            question.line = await self.line(kind, text, width=width)
        except Exception:
            log.exception("summary_failed")  # a bug of ours, which costs no more than this line
        question.abandon()

    async def line(self, kind: Literal["prompt", "reasoning"], text: str, *, width: int) -> str | None:
        """A line about *text*, or None: refused, failed, late or useless, which is counted here.

        It has until the summary's timeout or interval, whichever is less. The caller may cancel it any
        time.
        """
        answer, instead = "", "refused"
        lease = self._backend.admit(CallIdentity(self._config.model))
        if isinstance(lease, Lease):
            try:
                answer, instead = await self._attempt(lease, kind, text)
            finally:
                lease.release()
        line = summary_line(answer, width)
        if line is None:
            self._metrics.summary_fallback.labels(instead).inc()
        return line

    async def _attempt(
        self, lease: Lease, kind: Literal["prompt", "reasoning"], text: str
    ) -> tuple[str, str]:
        """The model's answer, which may be of no use."""
        where = {"gateway.upstream": lease.name, "gateway.summary": kind}
        with call_span(self._span, model=lease.model, url=lease.config.url, attributes=where) as span:
            return await self._traced_attempt(lease, kind, text, span)

    async def _traced_attempt(
        self, lease: Lease, kind: Literal["prompt", "reasoning"], text: str, span: CallSpan
    ) -> tuple[str, str]:
        answer, fault = "", None
        patience = min(self._config.timeout, self._config.interval)
        lease.scope.deadline = trio.current_time() + patience
        with lease.scope:
            try:
                answer = await self._ask(lease, kind, text, span.traceparent)
            except UpstreamFailure as failure:
                fault = failure.fault
        if lease.scope.cancelled_caught:
            fault = fault_of_transport("first_event_timeout", "The summarising model was late.")
        span.conclude(None if fault is None else fault.error.error_class)
        if fault is None:
            lease.succeed()
            return answer, "useless"
        lease.fail(fault)
        return "", "late" if lease.scope.cancelled_caught else "failed"

    async def _ask(
        self, lease: Lease, kind: Literal["prompt", "reasoning"], text: str, traceparent: str | None
    ) -> str:
        config = self._config
        instruction = config.prompt_instruction if kind == "prompt" else config.reasoning_instruction
        body = summary_body(kind, text, model=config.model, instruction=instruction)
        async with self._backend.upstream.open_completion(
            Payload([body]), authorization=None, traceparent=traceparent
        ) as answer:
            try:
                return await self._read(lease, answer)
            except (ProtocolError, LineTooLongError) as error:
                message = "The summarising model's stream is malformed."
                raise UpstreamFailure.of("upstream_protocol", message) from error

    async def _read(self, lease: Lease, answer: UpstreamAnswer) -> str:
        """The beginning of what it says, without its own reasoning; the rest is not waited for."""
        family = family_of(self._config.model)
        reader = AnswerReader(family, starts_in_reasoning=starts_in_reasoning(family, thinking=None))
        decoder = SSEDecoder(max_line=SCAN_OVER)  # so that each event is one that may be parsed at once
        text = ""
        while data := await answer.receive():
            for piece in cut_lines(data):
                for event in decoder.feed(piece):
                    if event.data.strip() == DONE:
                        return text
                    text += "".join(self._output(event, reader, lease))
                if len(text) >= MAX_TEXT:
                    return text
                await trio.lowlevel.checkpoint()  # one read may bring thousands of events
        return text

    def _output(self, event: SSEEvent, reader: AnswerReader, lease: Lease) -> Iterator[str]:
        """What *event* adds to the output."""
        chunk = read_event(event)
        if isinstance(chunk, InbandError):
            raise UpstreamFailure(self._backend.upstream.fault_in_stream(chunk))
        if chunk is None:
            return
        reader.check(chunk)
        lease.confirm()
        for part in cut_chunk(chunk):
            yield from (each.text for each in reader.read(part) if isinstance(each, OutputDelta))
