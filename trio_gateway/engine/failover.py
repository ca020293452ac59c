"""Failover: makes one attempt after another, until an answer is complete or none is left.

Raw reasoning is not shown to the client, so until the first piece of output has left, a failed attempt has
cost nothing but time and another may follow unseen. After it there is no way back: what came is delivered,
and the answer ends with an error.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, assert_never

import structlog
import trio

from ..core.config import ModelConfig
from ..core.errors import INTERNAL_ERROR, SHUTTING_DOWN
from ..core.reasoning import starts_in_reasoning
from ..core.upstream_api.answer_reader import AnswerReader
from ..core.upstream_api.faults import Fault, Replay
from ..core.upstream_api.learning import Start, StartQuery, may_learn_start
from ..core.upstream_api.prefill import prefilled_start
from ..core.upstream_api.request_body import NO_THINKING
from ..core.upstream_api.runaway import ReasoningLimit
from .attempt import Attempt
from .attempt_clock import RunawayRule
from .hedge import Hedge
from .question import Question
from .tracing import call_span

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.upstream_api.learning import StartEvidence
    from .call import Call
    from .delivery import Delivery
    from .lease import Lease
    from .tracing import CallSpan

__all__ = ["Failover"]

log = structlog.get_logger("trio_gateway.stream")

_ON_RUNAWAY: Final = MappingProxyType(
    {"error": Replay.NO, "next": Replay.NEXT, "no_thinking": Replay.WITHOUT_THINKING}
)


def _ignore() -> None:
    """No other attempt runs beside this one."""


class Failover:
    """The upstream's side of one call."""

    def __init__(self, call: Call, delivery: Delivery) -> None:
        self._call = call
        self._request = call.request
        self._record = call.record
        self._model = call.model
        self._delivery = delivery
        self._metrics = call.services.metrics
        self._memory = call.services.memory
        self._thinks = True
        self._scope = trio.CancelScope()

    def cut(self) -> None:
        """The gateway stops: end the answer now, with an error."""
        self._scope.cancel()

    def close(self) -> None:
        """No answer is on its way any more."""
        self._call.services.running.discard(self)
        self._delivery.close()

    async def run(self) -> None:
        """Bring the delivery to its end, with the answer or with an error, and close it."""
        with closing(self):
            fault: Fault | None = Fault(SHUTTING_DOWN)
            try:
                with self._scope:
                    fault = await self._run(self._call.take_first_lease())
            except Exception:
                # A bug of ours, wherever it is: the log gets the traceback, the client an error.
                log.exception("stream_failed", request_id=self._record.request_id)
                fault = Fault(INTERNAL_ERROR)
            if fault is not None:
                self._delivery.fail(fault.error)

    async def _run(self, first: Lease) -> Fault | None:
        lease: Lease | None = first
        fault: Fault | None = None
        while lease is not None:
            fault = await (self._hedged(lease) if self._model.hedge_after else self._attempt(lease))
            if fault is None or self._delivery.committed:
                return fault
            phase = self._record.phase
            self._delivery.restart()
            # A lease that is given here is in use before the next moment at which this can be cancelled.
            lease = await self._following(fault)
            if lease is not None:
                self._metrics.failovers.labels(phase).inc()
        return fault

    async def _following(self, fault: Fault) -> Lease | None:
        """The lease of the attempt that follows a failed one, or None when there is no other."""
        route = self._call.route
        match fault.replay:
            case Replay.NO:
                return None
            case Replay.WITHOUT_THINKING:
                self._thinks = False
                return route.again()
            case Replay.SAME | Replay.NEXT:
                pause = route.pause(fault, self._call.deadline - trio.current_time())
                if pause is not None:
                    await trio.sleep(pause)
                    if (again := route.again()) is not None:
                        return again
                return route.next()
            case _:
                assert_never(fault.replay)

    async def _hedged(self, first: Lease) -> Fault | None:
        """Run *first*; if its upstream is silent for too long, also an attempt on the next one."""
        hedge = Hedge()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hedge.run, partial(self._attempt, first))
            with trio.move_on_after(self._model.hedge_after):
                await hedge.decided.wait()
            if not hedge.decided.is_set() and (second := self._call.route.next(extra=True)) is not None:
                nursery.start_soon(hedge.run, partial(self._attempt, second))
        return hedge.fault

    async def _attempt(self, lease: Lease, on_response: Callable[[], None] = _ignore) -> Fault | None:
        """Make one attempt; *on_response* is called at the first event of its upstream."""
        self._record.note_attempt(lease.name)
        self._metrics.attempts.labels(lease.name).inc()
        attributes: dict[str, str | int] = {
            "gateway.upstream": lease.name,
            "gateway.attempt": self._record.attempts,
        }
        with call_span(
            self._record.span, model=lease.model, url=lease.config.url, attributes=attributes
        ) as span:
            fault = await self._traced_attempt(lease, on_response, span)
            span.conclude(None if fault is None else fault.error.error_class)
        return fault

    async def _traced_attempt(
        self, lease: Lease, on_response: Callable[[], None], span: CallSpan
    ) -> Fault | None:
        question = Question(self._call, lease, thinks=self._thinks, traceparent=span.traceparent)

        def on_first_event() -> None:
            span.event("first_event")
            question.accepted()
            self._record.upstream = lease.name
            self._delivery.opening.begin()
            on_response()

        query = self._start_query(lease)
        start = self._memory.start(query)
        # Text that is only presumed to be reasoning may be the answer, to which no limit applies.
        limited = self._model if start is not Start.PRESUMED else ModelConfig()
        attempt = Attempt(
            self._call,
            lease,
            self._delivery,
            runaway=RunawayRule(
                ReasoningLimit(limited), _ON_RUNAWAY[self._model.on_runaway] if self._thinks else Replay.NO
            ),
            on_first_event=on_first_event,
        )
        try:
            body = await question.body()
            with closing(self._reader(start, thinks=self._thinking() is not False)) as reader:
                fault = await attempt.run(reader, question, body)
        finally:
            attempt.release()
        if fault is None:
            self._learn(lease, query, reader.evidence)
        return fault

    def _reader(self, start: Start, *, thinks: bool) -> AnswerReader:
        options = self._request.options
        return AnswerReader(
            self._model,
            starts_in_reasoning=start is Start.REASONING,
            presumed=start is Start.PRESUMED,
            thinks=thinks,
            choices=self._request.n,
            whole=self._call.buffered,
            shows_reasoning=options.shows_reasoning,
            # With "raw" the reasoning leaves in one field. Only a tool loop must have the others whole.
            shows_thought_fields=options.reasoning == "both"
            or (options.shows_reasoning and "tools" in self._request.body),
            memory=self._call.memory.stream,
            call_prefix=f"call_{self._record.request_id}_",
            keeps_function_calls="functions" in self._request.body,
        )

    def _thinking(self) -> bool | None:
        """What the request says of thinking; None: nothing."""
        by_effort = self._model.thinking_switch and self._request.body.get("reasoning_effort") in NO_THINKING
        return False if by_effort or not self._thinks else self._request.thinking

    def _start_query(self, lease: Lease) -> StartQuery:
        opened = prefilled_start(self._request, self._model)
        # A repeat without thinking is not the request that the client sent, plain as that may be.
        plain = self._request.plain and self._thinks
        return StartQuery(
            upstream=lease.config.url,
            model=lease.model,
            asked=self._request.model,
            declared=starts_in_reasoning(self._model, thinking=self._thinking())
            if opened is None
            else opened,
            learnable=may_learn_start(self._request.model, self._model),
            continued=self._request.continued,
            digest=self._request.digest if plain else None,
        )

    def _learn(self, lease: Lease, query: StartQuery, evidence: StartEvidence) -> None:
        where = {"upstream": lease.name, "model": query.model}
        if evidence.promoted:
            self._metrics.promotions.inc()
        if self._memory.note(query, evidence):
            starts = self._memory.starts(query.upstream, query.model)
            log.info("start_learned", **where, starts_in_reasoning=starts)
        if (hint := self._memory.hint(query, evidence)) is not None:
            log.warning("start_hint", **where, hint=hint)
