"""What the streams of one gateway have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..core.learning import StartMemory

if TYPE_CHECKING:
    from ..core.config import ServerConfig, SummaryConfig
    from .bodies import Bodies
    from .metrics import Metrics
    from .summary_model import SummaryModel

__all__ = ["Running", "Shared"]


class Running(Protocol):
    """The upstream side of an open stream."""

    def cut(self) -> None:
        """End it with an error, as the gateway stops."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Handed to each stream, and used by it without waiting for another."""

    server: ServerConfig
    summary: SummaryConfig
    metrics: Metrics
    bodies: Bodies
    """Reads and encodes the bodies of requests."""
    summary_model: SummaryModel | None = None
    """Who writes summaries where the configuration says ``"model"``."""
    memory: StartMemory = field(default_factory=StartMemory)
    """What was learned of models."""
    running: set[Running] = field(default_factory=set)
    """Every open stream: a shutdown finds them here."""
