"""Growth: doubles the length of a pause with each renewal, up to a cap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import BreakerConfig

__all__ = ["Growth"]


class Growth:
    """One row of openings.

    Lengths are seconds, spread by ``jitter`` so that gateways do not return together.

    *random* gives numbers in [0, 1).
    """

    __slots__ = ("_random", "_span", "_spread")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._span = 0.0  # before it is spread; 0: none yet
        self._spread = 2 * random() - 1  # drawn ahead, so that the next length is known before it is taken

    def next_length(self, config: BreakerConfig, wait: float = 0.0) -> float:
        """The length that :meth:`take` would give: at least *wait*, which the upstream asked for."""
        return max(wait, self._next_span(config) * (1 + config.jitter * self._spread))

    def take(self, config: BreakerConfig, wait: float = 0.0) -> float:
        """The length of the opening that begins."""
        length = self.next_length(config, wait)
        self._span = self._next_span(config)
        self._spread = 2 * self._random() - 1
        return length

    def end_row(self) -> None:
        """The row is over: the next opening is as short as a first one."""
        self._span = 0.0

    def _next_span(self, config: BreakerConfig) -> float:
        return min(config.open_cap, 2 * self._span or config.open_base)
