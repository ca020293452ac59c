"""The story of one request, told once it is over: the log line and the metrics come from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
import trio

from ..core.errors import CODES
from ..core.phases import Phase
from ..core.usage import TokenCounts, read_usage
from .charge import Charge

if TYPE_CHECKING:
    from ..core.chat import ChatRequest
    from .clients import Client
    from .metrics import Metrics

__all__ = ["Report"]

# Statuses of refusals that are about the moment, not about the request: it does not count.
_LATER: Final = frozenset({429, 503})

log = structlog.get_logger("trio_gateway.request")


class Report:
    """Filled in as the request goes on. Instants are Trio's clock; no text of the client's is kept."""

    def __init__(self, client: Client, *, request_id: str, accepted_at: float) -> None:
        self.charge = Charge(client)
        self.request_id = request_id
        self.model = ""
        self.accepted_at = accepted_at
        self.upstream: str | None = None
        self.attempts = 0
        self.outcome: Literal["ok", "error", "cancelled", "refused"] = "cancelled"
        """What it is until something else is known: an answer nobody waited for."""
        self.error_class: str | None = None
        self.usage: dict[str, Any] = {}
        """As the upstream gave it, if it can be believed."""
        self._counts = TokenCounts()
        self._unbelievable: str | None = None
        self.pieces = 0
        """Pieces of final output that were given to the client."""
        self._reached = {Phase.PROMPT_SUMMARY: accepted_at}

    def read(self, request: ChatRequest) -> None:
        """The request is one that can be understood."""
        self.model = request.model

    @property
    def phase(self) -> Phase:
        """How far the upstream has come: its reasoning, its output, or neither."""
        return max(self._reached, key=list(Phase).index)

    def reach(self, phase: Phase) -> None:
        """The upstream sent something of *phase*."""
        if phase not in self._reached:
            self._reached[phase] = trio.current_time()

    def count_usage(self, usage: dict[str, Any]) -> None:
        """The upstream has counted tokens; numbers that cannot be such are ignored, which is counted."""
        counts = read_usage(usage)
        if counts is None:
            self._unbelievable = self.upstream or ""
        else:
            self.usage, self._counts = usage, counts

    def restart(self) -> None:
        """Another attempt begins: what the one before it has cost is not the client's."""
        self.usage, self._counts = {}, TokenCounts()
        self.charge.restart()

    def count_piece(self, text: str = "") -> None:
        """One more piece of final output."""
        self.charge.add_output(text)
        if not self.pieces:
            self.reach(Phase.FINAL_OUTPUT)
        self.pieces += 1

    def refuse(self, error_class: str | None) -> None:
        """The request was turned away before anything was asked of an upstream."""
        self.outcome, self.error_class = "refused", error_class
        status, _ = CODES.get(error_class, (None, ""))
        if status in _LATER:
            self.charge.withdraw()

    def settle(self) -> None:
        """The answer is over: its client's limits get what it has cost. Later calls change nothing."""
        self.charge.settle(self._counts)

    def close(self, metrics: Metrics, *, model_label: str) -> None:
        """Write the log line and count, for the client's limits too."""
        self.settle()
        ended_at = trio.current_time()
        metrics.requests.labels(model_label, self.outcome).inc()
        if self.outcome == "cancelled":
            metrics.client_disconnects.labels(self.phase).inc()
        self._count_tokens(metrics, model_label)
        bounds = [*self._reached.values(), ended_at]
        spans = {phase: bounds[i + 1] - bounds[i] for i, phase in enumerate(self._reached)}
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
