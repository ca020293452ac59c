"""Probes: let few calls through a half-open breaker, each with a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config import BreakerConfig
    from .calls import Permit

__all__ = ["Probes"]


class Probes:
    """The probes of one half-open. Instants are monotonic seconds."""

    def __init__(self, config: BreakerConfig, now: float) -> None:
        self._config = config
        self._until = now + config.max_half_open
        self._running: list[Permit] = []
        self._passed = 0

    def __len__(self) -> int:
        return len(self._running)

    @property
    def deadline(self) -> float:
        """When half-open ends undecided: with its first overdue probe, or else with its own time."""
        return min((permit.deadline for permit in self._running), default=self._until)

    def configure(self, config: BreakerConfig) -> None:
        """Go on under *config*; deadlines already given stay as they are."""
        self._config = config

    def has_room(self) -> bool:
        """Whether one more call may be let through."""
        return len(self._running) < self._config.probes

    def begin(self, permit: Permit, now: float) -> None:
        """Let a call through."""
        permit.deadline = min(now + self._config.probe_timeout, self._until)
        self._running.append(permit)

    def end(self, permit: Permit) -> None:
        """A probe has ended: its place is free."""
        self._running.remove(permit)

    def pass_one(self) -> bool:
        """One succeeded; whether these are enough to close."""
        self._passed += 1
        return self._passed >= self._config.probes

    def take_overdue(self) -> list[Permit]:
        """The probes whose time is over at the deadline."""
        deadline = self.deadline
        return [permit for permit in self._running if permit.deadline == deadline]
