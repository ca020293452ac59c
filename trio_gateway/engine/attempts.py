"""Fetches the answer: one attempt after another, until one is complete or none is left.

Raw reasoning is not shown to the client, so until the first piece of output has left, a failed attempt
has cost nothing but time and another may follow unseen. After it there is no way back: what came is
delivered, and the answer ends with an error.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, assert_never

import structlog
import trio

from ..core.answer import AnswerReader
from ..core.chat import NO_THINKING, ChatRequest, upstream_fields
from ..core.config import ModelConfig
from ..core.errors import INTERNAL_ERROR, SHUTTING_DOWN
from ..core.faults import Fault, Replay
from ..core.learning import Start, StartQuery, may_learn_start
from ..core.reasoning import starts_in_reasoning
from ..core.runaway import ReasoningLimit
from .catalogue import upstream_name
from .exchange import Exchange
from .race import Race

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.learning import Evidence
    from .admission import Admission, Try
    from .backends import Backend
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
        self._bodies = shared.bodies
        self._memory = shared.memory
        self._request_memory = admission.memory
        self._deadline = admission.admitted_at + shared.server.request_timeout
        self._gathered = gathered
        self._thinks = True
        self._scope = trio.CancelScope()

    def cut(self) -> None:
        """The gateway stops: end the answer now, honestly."""
        self._scope.cancel()

    async def run(self, first: Try) -> None:
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

    async def _run(self, first: Try) -> Fault | None:
        attempt: Try | None = first
        fault: Fault | None = None
        while attempt is not None:
            fault = await self._race(attempt) if self._model.hedge_after else await self._attempt(attempt)
            if fault is None or self._outlet.committed:
                return fault
            phase = self._report.phase
            await self._outlet.restart()
            # A permit that is given here is in safe hands before the next moment this can be cancelled.
            attempt = await self._following(fault)
            if attempt is not None:
                self._metrics.failovers.labels(phase).inc()
        return fault

    async def _following(self, fault: Fault) -> Try | None:
        """The attempt that follows a failed one, or None when there is no other."""
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

    async def _race(self, first: Try) -> Fault | None:
        """Run *first*; if its upstream is silent for too long, also one on the next, until either speaks."""
        race = Race()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(race.run, partial(self._attempt, first))
            with trio.move_on_after(self._model.hedge_after):
                await race.decided.wait()
            if not race.decided.is_set() and (hedge := self._route.next(extra=True)) is not None:
                nursery.start_soon(race.run, partial(self._attempt, hedge))
        return race.fault

    async def _attempt(self, attempt: Try, spoke: Callable[[], None] = _nothing) -> Fault | None:
        """Make one attempt; *spoke* is called at the first event of its upstream."""
        backend = attempt.backend
        self._report.upstream = backend.name
        self._report.attempts += 1
        self._metrics.attempts.labels(backend.name).inc()

        def heard() -> None:
            self._report.upstream = backend.name
            self._outlet.hear()
            spoke()

        name = upstream_name(self._request.model, self._model, backend)
        query = self._start_query(backend, name)
        start = self._memory.start(query)
        # Text that is only presumed to be reasoning may be the answer, to which no limit applies.
        limited = self._model if start is not Start.PRESUMED else ModelConfig()
        exchange = Exchange(
            attempt,
            self._outlet,
            report=self._report,
            metrics=self._metrics,
            limit=ReasoningLimit(limited),
            on_runaway=_ON_RUNAWAY[self._model.on_runaway] if self._thinks else Replay.NO,
            deadline=self._deadline,
            memory=self._request_memory,
            spoke=heard,
        )
        try:
            body = await self._bodies.encode(self._request, partial(self._fields, backend, name))
            with closing(self._reader(start)) as reader:
                fault = await exchange.run(reader, body, self._authorization)
        finally:
            exchange.release()
            if attempt.extra:
                backend.refund()
        if fault is None:
            self._learn(backend, query, reader.evidence)
        return fault

    def _reader(self, start: Start) -> AnswerReader:
        return AnswerReader(
            self._model,
            starts_in_reasoning=start is Start.REASONING,
            presumed=start is Start.PRESUMED,
            choices=self._request.n,
            whole=self._gathered,
            shows_reasoning=self._request.options.shows_reasoning,
            memory=self._request_memory.stream,
            call_prefix=f"call_{self._report.request_id}_",
        )

    def _fields(self, backend: Backend, name: str) -> dict[str, Any]:
        return upstream_fields(
            self._request,
            model=name,
            ask_usage=backend.config.ask_usage,
            keep_reasoning=self._model.keep_reasoning,
            thinking_switch=self._model.thinking_switch,
            thinks=self._thinks,
            markers=self._model.markers,
        )

    def _start_query(self, backend: Backend, name: str) -> StartQuery:
        thinking = self._request.thinking if self._thinks else False
        if self._model.thinking_switch and self._request.body.get("reasoning_effort") in NO_THINKING:
            thinking = False
        # A repeat without thinking is not the request that the client sent, plain as that may be.
        plain = self._request.plain and self._thinks
        return StartQuery(
            upstream=backend.config.url,
            model=name,
            asked=self._request.model,
            declared=starts_in_reasoning(self._model, thinking=thinking),
            learnable=may_learn_start(self._request.model, self._model),
            continued=self._request.continued,
            digest=self._request.digest if plain else None,
        )

    def _learn(self, backend: Backend, query: StartQuery, evidence: Evidence) -> None:
        where = {"upstream": backend.name, "model": query.model}
        if evidence.promoted:
            self._metrics.promotions.inc()
        if self._memory.note(query, evidence):
            starts = self._memory.starts(query.upstream, query.model)
            log.info("start_learned", **where, starts_in_reasoning=starts)
        if (hint := self._memory.hint(query, evidence)) is not None:
            log.warning("start_hint", **where, hint=hint)
