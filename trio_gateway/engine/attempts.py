"""Fetches the answer: one attempt after another, until one is complete or none is left.

Raw reasoning is not shown to the client, so until the first piece of output has left, a failed attempt
has cost nothing but time and another may follow unseen. After it there is no way back: what came is
delivered, and the answer ends with an error.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import structlog
import trio

from ..core.answer import AnswerReader
from ..core.chat import ChatRequest, upstream_body
from ..core.errors import error_for
from ..core.faults import Fault
from ..core.reasoning import starts_in_reasoning
from .exchange import Exchange

if TYPE_CHECKING:
    from ..core.config import ModelConfig
    from .admission import Route, Try
    from .backends import Backend
    from .metrics import Metrics
    from .outlet import Outlet
    from .report import Report

__all__ = ["Attempts"]

log = structlog.get_logger("trio_gateway.stream")


class Attempts:
    """The upstream's side of one request. *deadline* is the instant by which all of it must be over."""

    def __init__(
        self,
        request: ChatRequest,
        model: ModelConfig,
        *,
        authorization: str | None,
        outlet: Outlet,
        report: Report,
        metrics: Metrics,
        deadline: float,
    ) -> None:
        self._request = request
        self._model = model
        self._authorization = authorization
        self._outlet = outlet
        self._report = report
        self._metrics = metrics
        self._deadline = deadline
        self._scope = trio.CancelScope()

    def cut(self) -> None:
        """The gateway stops: end the answer now, honestly."""
        self._scope.cancel()

    async def run(self, first: Try, route: Route) -> None:
        """Bring the outlet to its end, with the answer or with an error, and close it."""
        with closing(self._outlet):
            fault: Fault | None = Fault(
                error_for("shutting_down", "The gateway is restarting.", retry_after=1.0)
            )
            try:
                with self._scope:
                    fault = await self._run(first, route)
            except Exception:
                # A bug of ours, wherever it is: the log gets the traceback, the client an honest ending.
                log.exception("stream_failed", request_id=self._report.request_id)
                fault = Fault(error_for("internal_error", "The gateway made a mistake."))
            if fault is not None:
                await self._outlet.fail(fault.error)

    async def _run(self, first: Try, route: Route) -> Fault | None:
        attempt = first
        while True:
            fault = await self._attempt(attempt)
            if fault is None or self._outlet.committed:
                return fault
            following = route.after(fault)
            if following is None:
                return fault
            self._metrics.failovers.labels(self._report.phase).inc()
            self._outlet.restart()
            attempt = following

    async def _attempt(self, attempt: Try) -> Fault | None:
        backend = attempt.backend
        self._report.upstream = backend.name
        self._report.attempts += 1
        self._metrics.attempts.labels(backend.name).inc()
        reader = AnswerReader(
            self._model,
            starts_in_reasoning=starts_in_reasoning(self._model, thinking=self._request.thinking),
            choices=self._request.n,
            call_prefix=f"call_{self._report.request_id}_",
        )
        body = upstream_body(
            self._request,
            model=self._upstream_model(backend),
            ask_usage=backend.config.ask_usage,
            keep_reasoning=self._model.keep_reasoning,
            thinking_switch=self._model.thinking_switch,
            markers=self._model.markers,
        )
        exchange = Exchange(
            attempt, reader, self._outlet, report=self._report, metrics=self._metrics, deadline=self._deadline
        )
        try:
            await trio.sleep(attempt.pause)
            return await exchange.run(body, self._authorization)
        finally:
            exchange.release()

    def _upstream_model(self, backend: Backend) -> str:
        asked = self._request.model
        if self._model.upstream_model:
            return self._model.upstream_model
        # "default" is a name of ours. An upstream that serves one model leaves no doubt which is meant.
        if asked == "default" and len(backend.models) == 1:
            return backend.models[0]
        return asked
