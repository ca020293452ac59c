"""Services that all requests share: configuration, metrics, the summarising model, what was learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..core.upstream_api.asking import AskingMemory
from ..core.upstream_api.learning import StartMemory

if TYPE_CHECKING:
    from ..core.config import ServerConfig, SummaryConfig
    from .bodies import Bodies
    from .metrics import Metrics
    from .summaries.summary_model import SummaryModel

__all__ = ["Running", "Services"]


class Running(Protocol):
    """The upstream side of an open stream."""

    def cut(self) -> None:
        """End it with an error, because the gateway stops."""


@dataclass(frozen=True, slots=True)
class Services:
    """Passed to each stream, which uses it without waiting for another stream."""

    server: ServerConfig
    summary: SummaryConfig
    metrics: Metrics
    bodies: Bodies
    """Reads and encodes the bodies of requests."""
    summary_model: SummaryModel | None = None
    """Writes summaries where the configuration asks for ``"model"``."""
    memory: StartMemory = field(default_factory=StartMemory)
    """What was learned of models."""
    asking: AskingMemory = field(default_factory=AskingMemory)
    """What upstreams were found to take."""
    running: set[Running] = field(default_factory=set)
    """Every open stream, so that a shutdown finds them."""
