"""Queue of one answer's events, which hands them out in the order of the phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .phases import Phase

if TYPE_CHECKING:
    from .events import Batch

__all__ = ["PhaseQueue"]

_ORDER: Final = tuple(Phase)


class PhaseQueue:
    """Events of a phase wait here until every phase before it is closed.

    Several sources may fill one phase.
    """

    __slots__ = ("_closed", "_current", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Phase, Batch] = {}
        self._closed: tuple[Phase, ...] = ()
        self._current = 0

    def put(self, phase: Phase, events: Batch) -> None:
        """Add *events* to *phase*.

        Raises:
            ValueError: the phase is closed.
        """
        if phase in self._closed:
            raise ValueError(f"phase {phase} is closed")
        self._waiting.setdefault(phase, []).extend(events)

    def close(self, phase: Phase) -> None:
        """Nothing more comes in *phase*. Closing it again changes nothing."""
        if phase not in self._closed:
            self._closed += (phase,)

    def is_open(self, phase: Phase) -> bool:
        """Whether more may come in *phase*."""
        return phase not in self._closed

    def has_turn(self, phase: Phase) -> bool:
        """Whether events of *phase* would be the next to be taken: they need not be put here at all."""
        return (
            self._current < len(_ORDER)
            and _ORDER[self._current] is phase
            and phase not in self._closed
            and phase not in self._waiting
        )

    def take(self) -> Batch:
        """Everything whose turn has come, in order; empty where nothing is ready."""
        ready: Batch = []
        while self._current < len(_ORDER):
            phase = _ORDER[self._current]
            if events := self._waiting.pop(phase, None):
                ready = ready + events if ready else events
            if phase not in self._closed:
                break
            self._current += 1
        return ready

    def has_waiting(self, phase: Phase) -> bool:
        """Whether events of *phase* wait for their turn, or to be taken."""
        return bool(self._waiting.get(phase))

    @property
    def is_over(self) -> bool:
        """Every phase is closed and everything was taken."""
        return self._current == len(_ORDER)
