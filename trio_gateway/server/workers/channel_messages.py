"""Messages between the parent and its workers: questions, and what answers them.

Either end may ask. A further kind of question is one more member of :data:`Question`, and what answers it one
of :data:`Reply`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

from ...core import sharing  # noqa: TC001  # msgspec reads these hints
from ...core.config.settings import Settings  # noqa: TC001  # likewise
from .sums import Family  # noqa: TC001  # likewise

__all__ = [
    "Acknowledged",
    "Adopt",
    "Ask",
    "Banner",
    "Failed",
    "HealthBody",
    "KeepSamples",
    "Lines",
    "MetricsText",
    "OwnHealth",
    "OwnSamples",
    "Question",
    "Reply",
    "Samples",
    "Tell",
    "Trade",
    "Traded",
    "WholeHealth",
    "WholeMetrics",
]


class Adopt(Struct, frozen=True, tag=True):
    """To a worker: serve under these settings.

    The first ones start it; its answer means that it accepts connections.
    """

    serial: int
    """Grows with each reading of the configuration: older settings never follow newer ones."""
    settings: Settings


class OwnSamples(Struct, frozen=True, tag=True):
    """To a worker: its metrics."""


class OwnHealth(Struct, frozen=True, tag=True):
    """To a worker: its own ``/health``."""


class Banner(Struct, frozen=True, tag=True):
    """To a worker: give the banner's lines, once its upstreams were asked."""

    url: str


class WholeMetrics(Struct, frozen=True, tag=True):
    """To the parent: the page of ``/metrics`` of all workers."""


class WholeHealth(Struct, frozen=True, tag=True):
    """To the parent: the ``/health`` of all workers."""


class KeepSamples(Struct, frozen=True, tag=True):
    """To the parent: the last metrics of a worker that ends."""

    families: list[Family]


class Trade(Struct, frozen=True, tag=True):
    """To the parent: what a worker spent of limits and learned of upstreams."""

    report: sharing.Report


Question: TypeAlias = (
    Adopt | OwnSamples | OwnHealth | Banner | WholeMetrics | WholeHealth | KeepSamples | Trade
)


class Acknowledged(Struct, frozen=True, tag=True):
    """It has been done."""


class Samples(Struct, frozen=True, tag=True):
    """Metrics of one worker."""

    families: list[Family]


class HealthBody(Struct, frozen=True, tag=True):
    """Body of a ``/health``."""

    body: dict[str, Any]


class Lines(Struct, frozen=True, tag=True):
    """Lines of text."""

    lines: list[str]


class MetricsText(Struct, frozen=True, tag=True):
    """Text as it leaves, UTF-8."""

    text: bytes


class Traded(Struct, frozen=True, tag=True):
    """What the parent grants the worker, and knows from the others."""

    reply: sharing.ExchangeReply


class Failed(Struct, frozen=True, tag=True):
    """There is no answer; the log of the end that was asked says why."""

    message: str


Reply: TypeAlias = Acknowledged | Samples | HealthBody | Lines | MetricsText | Traded | Failed


class Ask(Struct, frozen=True, tag=True):
    """Frame that carries a question. *number*: distinct among those of its sender."""

    number: int
    question: Question


class Tell(Struct, frozen=True, tag=True):
    """Frame that carries the reply to the question of that number."""

    number: int
    reply: Reply
