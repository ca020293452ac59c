"""The story of one request, told once it is over: the log line and the metrics come from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import structlog
import trio

from ..core.messages import text_length
from ..core.phases import Phase

if TYPE_CHECKING:
    from ..core.chat import ChatRequest
    from .clients import Client
    from .metrics import Metrics

__all__ = ["Report"]

# OpenAI's rule of thumb for English; other languages have fewer.
_CHARACTERS_A_TOKEN = 4

log = structlog.get_logger("trio_gateway.request")


class Report:
    """Filled in as the request goes on. Instants are Trio's clock; no text of the client's is kept."""

    def __init__(self, client: Client, *, request_id: str, accepted_at: float) -> None:
        self._client = client
        self.request_id = request_id
        self.model = ""
        self.accepted_at = accepted_at
        self.upstream: str | None = None
        self.attempts = 0
        self.outcome: Literal["ok", "error", "cancelled", "refused"] = "cancelled"
        """What it is until something else is known: an answer nobody waited for."""
        self.error_class: str | None = None
        self.usage: dict[str, Any] = {}
        self.pieces = 0
        """Pieces of final output that were given to the client."""
        self.characters = 0
        """Of the prompt, and of reasoning and output as far as they have come."""
        self._reached = {Phase.PROMPT_SUMMARY: accepted_at}

    def read(self, request: ChatRequest) -> None:
        """The request is one that can be understood."""
        self.model = request.model
        self.characters = text_length(request.messages)

    @property
    def phase(self) -> Phase:
        """How far the upstream has come: its reasoning, its output, or neither."""
        return max(self._reached, key=list(Phase).index)

    def reach(self, phase: Phase) -> None:
        """The upstream sent something of *phase*."""
        if phase not in self._reached:
            self._reached[phase] = trio.current_time()

    def count_piece(self, characters: int = 0) -> None:
        """One more piece of final output."""
        self.characters += characters
        if not self.pieces:
            self.reach(Phase.FINAL_OUTPUT)
        self.pieces += 1

    def refuse(self, error_class: str | None) -> None:
        """The request was turned away before anything was asked of an upstream."""
        self.outcome, self.error_class = "refused", error_class

    def close(self, metrics: Metrics, *, model_label: str) -> None:
        """Write the log line and count, for the client's limits too."""
        if self.outcome != "refused":
            self._client.spend(self._cost())
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
            key_id=self._client.key.id or None,
            duration_s=round(ended_at - self.accepted_at, 4),
            **{f"{phase}_s": round(seconds, 4) for phase, seconds in spans.items()},
        )

    def _cost(self) -> int:
        """Tokens, as the upstream has told; where it has not, or the client left before, an estimate."""
        told = self.usage.get("total_tokens")
        return told if isinstance(told, int) and told >= 0 else self.characters // _CHARACTERS_A_TOKEN

    def _count_tokens(self, metrics: Metrics, model_label: str) -> None:
        details = self.usage.get("completion_tokens_details")
        counts = {
            "input": self.usage.get("prompt_tokens"),
            "output": self.usage.get("completion_tokens"),
            "reasoning": details.get("reasoning_tokens") if isinstance(details, dict) else None,
        }
        for kind, count in counts.items():
            if isinstance(count, int) and count > 0:
                metrics.tokens.labels(model_label, kind).inc(count)
