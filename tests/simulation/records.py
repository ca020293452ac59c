"""What happened: the trace, and the facts that the oracles judge by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tests.simulation.answers import Answer
    from tests.simulation.behaviour import Kind
    from tests.simulation.plan import Asked, ClientPlan
    from tests.simulation.sockets import Socket

__all__ = ["Attempt", "Opening", "Records", "Transcript"]


@dataclass(slots=True)
class Attempt:
    """One request as an upstream saw it, and what it has sent for it so far, by choice."""

    nonce: str
    tag: str
    kind: Kind
    answer: Answer
    socket: Socket
    said: dict[int, str] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    whole_at: float | None = None
    """The response is complete, and its connection may be used again."""
    upstream: str = ""
    began_at: float = 0.0


@dataclass(slots=True)
class Transcript:
    """One answer as its client saw it. *left_at*: instant the client left before its end."""

    asked: Asked
    client: ClientPlan
    sent_at: float | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    done_at: float | None = None
    ended_at: float | None = None
    left_at: float | None = None

    @property
    def slow(self) -> bool:
        """Its client takes its time; the gateway may give up on it."""
        return self.client.pause > 0


@dataclass(frozen=True, slots=True)
class Opening:
    """The breaker of an upstream has opened."""

    at: float
    upstream: str
    reason: str


@dataclass(slots=True)
class Records:
    """Everything that is written down while a schedule runs."""

    trace: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    """Of chat requests."""
    lines: list[Attempt] = field(default_factory=list)
    """Of requests to the model that summarises."""
    transcripts: list[Transcript] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)
    """Request id to the instant its log line was written."""
    openings: list[Opening] = field(default_factory=list)
    unanswered: list[tuple[float, str]] = field(default_factory=list)
    """Instants at which an upstream took no connection, or closed one without an answer."""
    faults: list[str] = field(default_factory=list)
    """Violations seen on the way: tracebacks in the log and the like."""

    def note(self, who: str, what: str) -> None:
        """Write a line into the trace."""
        self.trace.append(f"{trio.current_time():10.4f} {who:<10} {what}")

    def log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        """The last processor of structlog: what the gateway logs becomes part of the trace."""
        name = event.pop("event")
        if name == "request":
            self.ended[event["request_id"]] = trio.current_time()
        if name == "breaker_changed" and event["new"] == "open":
            self.openings.append(Opening(trio.current_time(), event["upstream"], event["reason"]))
        if event.pop("exc_info", None) or level in {"error", "critical"}:
            self.faults.append(f"logged as an error: {name}")
        told = " ".join(f"{key}={value}" for key, value in event.items() if not key.endswith("_s"))
        self.note("gateway", f"{name} {told}")
        return ""
