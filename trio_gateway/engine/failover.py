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

from ..core.answer import AnswerReader
from ..core.chat import NO_THINKING, upstream_body
from ..core.errors import INTERNAL_ERROR, SHUTTING_DOWN
from ..core.faults import Fault, Replay
from ..core.reasoning import starts_in_reasoning
from .attempt import Attempt
from .hedge import Hedge

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.learning import Evidence
    from .call import Call
    from .delivery import Delivery
    from .lease import Lease

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

    async def run(self) -> None:
        """Bring the delivery to its end, with the answer or with an error, and close it."""
        with closing(self._delivery):
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

        def on_first_event() -> None:
            self._record.upstream = lease.name
            self._delivery.opening.begin()
            on_response()

        on_runaway = _ON_RUNAWAY[self._model.on_runaway] if self._thinks else Replay.NO
        attempt = Attempt(
            self._call, lease, self._delivery, on_runaway=on_runaway, on_first_event=on_first_event
        )
        try:
            name = self._upstream_model(lease)
            reader = self._reader(lease, name)
            fault = await attempt.run(reader, self._body(lease, name))
        finally:
            attempt.release()
        if fault is None:
            self._learn(lease, name, reader.evidence)
        return fault

    def _reader(self, lease: Lease, name: str) -> AnswerReader:
        return AnswerReader(
            self._model,
            starts_in_reasoning=self._starts_in_reasoning(lease, name),
            choices=self._call.request.n,
            whole=self._call.buffered,
            call_prefix=f"call_{self._record.request_id}_",
        )

    def _body(self, lease: Lease, name: str) -> bytes:
        return upstream_body(
            self._call.request,
            model=name,
            ask_usage=lease.config.ask_usage,
            keep_reasoning=self._model.keep_reasoning,
            thinking_switch=self._model.thinking_switch,
            thinks=self._thinks,
            markers=self._model.markers,
        )

    def _starts_in_reasoning(self, lease: Lease, name: str) -> bool:
        thinking = self._call.request.thinking if self._thinks else False
        if self._model.thinking_switch and self._call.request.body.get("reasoning_effort") in NO_THINKING:
            thinking = False
        learned = self._memory.starts(lease.name, name)
        if learned is None or thinking is False:
            return starts_in_reasoning(self._model, thinking=thinking)
        return learned

    def _learn(self, lease: Lease, name: str, evidence: Evidence) -> None:
        if evidence.promoted:
            self._metrics.promotions.inc()
        if self._memory.note(lease.name, name, evidence):
            starts = self._memory.starts(lease.name, name)
            log.info("start_learned", upstream=lease.name, model=name, starts_in_reasoning=starts)

    def _upstream_model(self, lease: Lease) -> str:
        asked = self._call.request.model
        if self._model.upstream_model:
            return self._model.upstream_model
        # "default" is a name of ours. An upstream that serves one model leaves no doubt which is meant.
        if asked == "default" and len(lease.listed) == 1:
            return lease.listed[0]
        return asked
