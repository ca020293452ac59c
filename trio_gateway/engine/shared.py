"""What the streams of one gateway have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.learning import StartMemory

if TYPE_CHECKING:
    from ..core.config import ServerConfig, SummaryConfig
    from .attempts import Attempts
    from .metrics import Metrics
    from .summary_model import SummaryModel

__all__ = ["Shared"]


@dataclass(frozen=True, slots=True)
class Shared:
    """Handed to each stream, and used by it without waiting for another."""

    server: ServerConfig
    summary: SummaryConfig
    metrics: Metrics
    summary_model: SummaryModel | None = None
    """Who writes summaries where the configuration says ``"model"``."""
    memory: StartMemory = field(default_factory=StartMemory)
    """What was learned of models."""
    running: set[Attempts] = field(default_factory=set)
    """The attempts of every open stream: a shutdown finds them here."""
