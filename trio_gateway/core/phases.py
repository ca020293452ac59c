"""Phases: three parts of an answer, in order, each at most once.

The server emits through a :class:`PhaseOrder`; clients and tests check what they receive with the
same object, so there is one definition of "in order".
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Phase", "PhaseOrder", "PhaseOrderError"]


class Phase(StrEnum):
    """A part of the answer, in the order of the members."""

    PROMPT_SUMMARY = "prompt_summary"
    REASONING_SUMMARY = "reasoning_summary"
    FINAL_OUTPUT = "final_output"


_RANK = {phase: rank for rank, phase in enumerate(Phase)}


class PhaseOrderError(ValueError):
    """A phase came after a later one had begun."""


class PhaseOrder:
    """Follows one answer through its phases.

    >>> order = PhaseOrder()
    >>> order.accept(Phase.PROMPT_SUMMARY), order.accept(Phase.PROMPT_SUMMARY)
    (True, False)
    """

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current: Phase | None = None

    def accept(self, phase: Phase) -> bool:
        """Take something that belongs to *phase*; true when it opens that phase.

        Raises:
            PhaseOrderError: a later phase is open already, so this would go back.
        """
        if phase is self.current:
            return False
        if self.current is not None and _RANK[phase] < _RANK[self.current]:
            raise PhaseOrderError(f"phase {phase} after {self.current}")
        self.current = phase
        return True

    def late(self, phase: Phase) -> Phase:
        """Where something of *phase* that may come late belongs: there, or in a later phase that is open."""
        if self.current is not None and _RANK[self.current] > _RANK[phase]:
            return self.current
        return phase
