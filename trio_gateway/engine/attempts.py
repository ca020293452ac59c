"""Fetches the answer: one attempt after another, until one is complete or none is left.

Raw reasoning is not shown to the client, so until the first piece of output has left, a failed attempt
has cost nothing but time and another may follow unseen. After it there is no way back: what came is
delivered, and the answer ends with an error.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, assert_never

import structlog
import trio

from ..core.answer import AnswerReader
from ..core.chat import NO_THINKING, ChatRequest, upstream_body
from ..core.errors import INTERNAL_ERROR, SHUTTING_DOWN
from ..core.faults import Fault, Replay
from ..core.reasoning import starts_in_reasoning
from ..core.runaway import ReasoningLimit
from .exchange import Exchange
from .race import Race

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.learning import Evidence
    from .admission import Admission
    from .lease import Lease
    from .outlet import Outlet
    from .report import Report
    from .shared import Shared

__all__ = ["Attempts"]

log = structlog.get_logger("trio_gateway.stream")

_ON_RUNAWAY: Final = MappingProxyType(
    {"error": Replay.NO, "next": Replay.NEXT, "no_thinking": Replay.WITHOUT_THINKING}
)


def _nothing() -> None:
    """Nobody waits for the first event."""


class Attempts:
    """The upstream's side of one request. *gathered*: nobody sees the answer before it is whole."""

    def __init__(
        self,
        request: ChatRequest,
        admission: Admission,
        shared: Shared,
        *,
        authorization: str | None,
        outlet: Outlet,
        report: Report,
        gathered: bool,
    ) -> None:
        self._request = request
        self._model = admission.model
        self._route = admission.route
        self._authorization = authorization
        self._outlet = outlet
        self._report = report
        self._metrics = shared.metrics
        self._memory = shared.memory
        self._deadline = admission.admitted_at + shared.server.request_timeout
        self._gathered = gathered
        self._thinks = True
        self._scope = trio.CancelScope()

    def cut(self) -> None:
        """The gateway stops: end the answer now, honestly."""
        self._scope.cancel()

    async def run(self, first: Lease) -> None:
        """Bring the outlet to its end, with the answer or with an error, and close it."""
        with closing(self._outlet):
            fault: Fault | None = Fault(SHUTTING_DOWN)
            try:
                with self._scope:
                    fault = await self._run(first)
            except Exception:
                # A bug of ours, wherever it is: the log gets the traceback, the client an honest ending.
                log.exception("stream_failed", request_id=self._report.request_id)
                fault = Fault(INTERNAL_ERROR)
            if fault is not None:
                await self._outlet.fail(fault.error)

    async def _run(self, first: Lease) -> Fault | None:
        lease: Lease | None = first
        fault: Fault | None = None
        while lease is not None:
            fault = await self._race(lease) if self._model.hedge_after else await self._attempt(lease)
            if fault is None or self._outlet.committed:
                return fault
            phase = self._report.phase
            await self._outlet.restart()
            # A lease that is given here is in safe hands before the next moment this can be cancelled.
            lease = await self._following(fault)
            if lease is not None:
                self._metrics.failovers.labels(phase).inc()
        return fault

    async def _following(self, fault: Fault) -> Lease | None:
        """The lease of the attempt that follows a failed one, or None when there is no other."""
        match fault.replay:
            case Replay.NO:
                return None
            case Replay.WITHOUT_THINKING:
                self._thinks = False
                return self._route.again()
            case Replay.SAME | Replay.NEXT:
                pause = self._route.pause(fault, self._deadline - trio.current_time())
                if pause is not None:
                    await trio.sleep(pause)
                    if (again := self._route.again()) is not None:
                        return again
                return self._route.next()
            case _:
                assert_never(fault.replay)

    async def _race(self, first: Lease) -> Fault | None:
        """Run *first*; if its upstream is silent for too long, also one on the next, until either speaks."""
        race = Race()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(race.run, partial(self._attempt, first))
            with trio.move_on_after(self._model.hedge_after):
                await race.decided.wait()
            if not race.decided.is_set() and (hedge := self._route.next(extra=True)) is not None:
                nursery.start_soon(race.run, partial(self._attempt, hedge))
        return race.fault

    async def _attempt(self, lease: Lease, spoke: Callable[[], None] = _nothing) -> Fault | None:
        """Make one attempt; *spoke* is called at the first event of its upstream."""
        self._report.upstream = lease.name
        self._report.attempts += 1
        self._metrics.attempts.labels(lease.name).inc()

        def heard() -> None:
            self._report.upstream = lease.name
            self._outlet.hear()
            spoke()

        exchange = Exchange(
            lease,
            self._outlet,
            report=self._report,
            metrics=self._metrics,
            limit=ReasoningLimit(self._model),
            on_runaway=_ON_RUNAWAY[self._model.on_runaway] if self._thinks else Replay.NO,
            deadline=self._deadline,
            spoke=heard,
        )
        try:
            name = self._upstream_model(lease)
            reader = self._reader(lease, name)
            fault = await exchange.run(reader, self._body(lease, name), self._authorization)
        finally:
            exchange.release()
        if fault is None:
            self._learn(lease, name, reader.evidence)
        return fault

    def _reader(self, lease: Lease, name: str) -> AnswerReader:
        return AnswerReader(
            self._model,
            starts_in_reasoning=self._starts_in_reasoning(lease, name),
            choices=self._request.n,
            whole=self._gathered,
            call_prefix=f"call_{self._report.request_id}_",
        )

    def _body(self, lease: Lease, name: str) -> bytes:
        return upstream_body(
            self._request,
            model=name,
            ask_usage=lease.config.ask_usage,
            keep_reasoning=self._model.keep_reasoning,
            thinking_switch=self._model.thinking_switch,
            thinks=self._thinks,
            markers=self._model.markers,
        )

    def _starts_in_reasoning(self, lease: Lease, name: str) -> bool:
        thinking = self._request.thinking if self._thinks else False
        if self._model.thinking_switch and self._request.body.get("reasoning_effort") in NO_THINKING:
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
        asked = self._request.model
        if self._model.upstream_model:
            return self._model.upstream_model
        # "default" is a name of ours. An upstream that serves one model leaves no doubt which is meant.
        if asked == "default" and len(lease.listed) == 1:
            return lease.listed[0]
        return asked
