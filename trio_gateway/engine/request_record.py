"""Request record: collects what the log line and the metrics need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import structlog
import trio

from ..core.access.usage import TokenCounts, read_usage
from ..core.errors import CODES
from ..core.phases import Phase
from .charge import Charge
from .tracing import CHAT, NO_SPAN, chat_name, shown_model

if TYPE_CHECKING:
    from ..core.client_api.request import ChatRequest
    from .clients import Client
    from .metrics import Metrics
    from .tracing import Span

__all__ = ["RequestOutcome", "RequestRecord"]

RequestOutcome: TypeAlias = Literal["ok", "error", "cancelled", "refused"]

# Statuses of refusals that concern the moment, not the request: such a request does not count.
_LATER: Final = frozenset({429, 503})

log = structlog.get_logger("trio_gateway.request")


class RequestRecord:
    """The facts of one request.

    Instants are Trio's clock; no text of the client's is kept.

    Its methods alone write the outcome, and the first verdict stands: an answer that is complete stays
    complete whatever happens to its connection afterwards. Without any verdict the client left.
    """

    def __init__(self, client: Client, *, request_id: str, accepted_at: float, span: Span = NO_SPAN) -> None:
        self.span = span
        """The request's own; :meth:`close` ends it."""
        self.charge = Charge(client)
        self.request_id = request_id
        self.model = ""
        self.accepted_at = accepted_at
        self.upstream: str | None = None
        """The upstream whose answer the client gets, or that was asked last."""
        self.attempts = 0
        self.error_class: str | None = None
        self.usage: dict[str, Any] = {}
        """As the upstream gave it, if it can be believed."""
        self._counts = TokenCounts()
        self._unbelievable: str | None = None
        self.pieces = 0
        """Pieces of final output that were given to the client."""
        self._verdict: RequestOutcome | None = None
        self._reached = {Phase.PROMPT_SUMMARY: accepted_at}

    @property
    def outcome(self) -> RequestOutcome:
        """How the request ended, or would end if it were closed now."""
        return self._verdict or "cancelled"

    @property
    def phase(self) -> Phase:
        """The latest phase that the upstream has sent something of."""
        return max(self._reached, key=list(Phase).index)

    def note_request(self, request: ChatRequest) -> None:
        """The body was a valid request."""
        self.model = request.model

    def note_attempt(self, upstream: str) -> None:
        """An attempt at *upstream* begins."""
        self.upstream = upstream
        self.attempts += 1

    def reach(self, phase: Phase) -> None:
        """The upstream sent something of *phase*."""
        if phase not in self._reached:
            self._reached[phase] = trio.current_time()
            self.span.event(phase)

    def count_usage(self, usage: dict[str, Any]) -> None:
        """The upstream has counted tokens. Numbers that cannot be such are ignored, which is counted."""
        counts = read_usage(usage)
        if counts is None:
            self._unbelievable = self.upstream or ""
        else:
            self.usage, self._counts = usage, counts

    def restart(self) -> None:
        """Another attempt begins: the client does not pay for the one before it."""
        self.usage, self._counts = {}, TokenCounts()
        self.charge.restart()

    def count_piece(self, text: str = "") -> None:
        """Count one more piece of final output."""
        self.charge.add_output(text)
        if not self.pieces:
            self.reach(Phase.FINAL_OUTPUT)
        self.pieces += 1

    def succeed(self) -> None:
        """The answer is complete."""
        self._conclude("ok", None)

    def fail(self, error_class: str) -> None:
        """The answer ended with an error."""
        self._conclude("error", error_class)

    def cancel(self) -> None:
        """The client took its request back."""
        self._conclude("cancelled", "cancelled")

    def refuse(self, error_class: str | None) -> None:
        """The request was refused before any upstream was asked."""
        self._conclude("refused", error_class)
        status, _ = CODES.get(error_class, (None, ""))
        if status in _LATER:
            self.charge.withdraw()

    def settle(self) -> None:
        """The answer is over: its client's limits get what it has cost. Later calls change nothing."""
        self.charge.settle(self._counts)

    def timing(self) -> dict[str, float]:
        """Seconds until now, by phase that was reached, and ``total``."""
        now = trio.current_time()
        seconds: dict[str, float] = {phase.value: spent for phase, spent in self._spans(now).items()}
        return {**seconds, "total": now - self.accepted_at}

    def close(self, metrics: Metrics, *, model_label: str) -> None:
        """Write the log line and count, for the client's limits too."""
        self.settle()
        ended_at = trio.current_time()
        metrics.requests.labels(model_label, self.outcome).inc()
        if self.outcome == "refused":
            metrics.count_refusal(self.error_class)
        if self.outcome == "cancelled":
            metrics.client_disconnects.labels(self.phase).inc()
        self._count_tokens(metrics, model_label)
        spans = self._spans(ended_at)
        for phase, seconds in spans.items():
            metrics.phase_seconds.labels(phase).observe(seconds)
        first_output_at = self._reached.get(Phase.FINAL_OUTPUT)
        if first_output_at is not None:
            metrics.time_to_first_token.observe(first_output_at - self.accepted_at)
            if self.pieces > 1:
                metrics.time_per_output_token.observe((ended_at - first_output_at) / (self.pieces - 1))
        log.info(
            "request",
            request_id=self.request_id,
            model=self.model,
            upstream=self.upstream,
            attempts=self.attempts,
            outcome=self.outcome,
            error_class=self.error_class,
            key_id=self.charge.client.key.id or None,
            duration_s=round(ended_at - self.accepted_at, 4),
            **{f"{phase}_s": round(seconds, 4) for phase, seconds in spans.items()},
            **({} if self.span.trace_id is None else {"trace_id": self.span.trace_id}),
        )
        self._end_span(model_label)

    def _conclude(self, verdict: RequestOutcome, error_class: str | None) -> None:
        if self._verdict is None:
            self._verdict, self.error_class = verdict, error_class

    def _spans(self, ended_at: float) -> dict[Phase, float]:
        """Seconds spent in each phase that was reached."""
        bounds = [*self._reached.values(), ended_at]
        return {phase: bounds[i + 1] - bounds[i] for i, phase in enumerate(self._reached)}

    def _end_span(self, model_label: str) -> None:
        """End the span of the request. A client's own mistake makes it none that has failed."""
        if self.span.trace_id is None:
            return  # nothing is recorded
        counts = self._counts
        attributes = {
            "gen_ai.request.model": shown_model(self.model),
            "gen_ai.usage.input_tokens": counts.input,
            "gen_ai.usage.output_tokens": counts.output,
            "gen_ai.usage.reasoning.output_tokens": counts.reasoning,
            "gateway.upstream": self.upstream,
            "gateway.key_id": self.charge.client.key.id,
            "gateway.error_class": self.error_class,
        }
        self.span.end(
            {
                **CHAT,
                "gateway.request_id": self.request_id,
                "gateway.outcome": self.outcome,
                "gateway.attempts": self.attempts,
                **{name: value for name, value in attributes.items() if value},
            },
            name=chat_name(model_label),
            error=self.error_class if self.outcome == "error" else None,
        )

    def _count_tokens(self, metrics: Metrics, model_label: str) -> None:
        if self._unbelievable is not None:
            metrics.usage_ignored.labels(self._unbelievable).inc()
        counts = self._counts
        for kind, count in (
            ("input", counts.input),
            ("output", counts.output),
            ("reasoning", counts.reasoning),
        ):
            if count:
                metrics.tokens.labels(model_label, kind).inc(count)
