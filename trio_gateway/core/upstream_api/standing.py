"""Standing: whether an upstream answers, and what last kept it from answering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..breaker import Outcome

if TYPE_CHECKING:
    from .faults import Fault

__all__ = ["Standing"]

_MUTE: Final = "first_event_timeout"
# Ends of calls that say nothing about the upstream.
_OURS: Final = frozenset({"circuit_open", "deadline", "answer_too_large", "shutting_down", "internal_error"})


class Standing:
    """What is known of one upstream. Every *now* is monotonic seconds.

    A trouble is what the operator can mend: a fault with a hint, before the first event of an
    answer. It ends with a first event; one that kept every request from an answer also ends with a list of
    models.
    """

    def __init__(self) -> None:
        self.reachable: bool | None = None
        """Whether it answered when last asked; None: it was not asked yet."""
        self.trouble = ""
        """What keeps it from answering, in a few words; empty: nothing that is known."""
        self._seen_at = 0.0
        self._ends_with_list = False

    def age(self, now: float) -> float | None:
        """Seconds since ``reachable`` was last found out."""
        return None if self.reachable is None else now - self._seen_at

    def note_event(self, now: float) -> bool:
        """A first event came; true where that ends a trouble."""
        self._see(True, now)
        return self._recover()

    def note_list(self, now: float) -> bool:
        """A list of models came; true where that ends a trouble."""
        self._see(True, now)
        return self._ends_with_list and self._recover()

    def note_failure(self, fault: Fault, now: float) -> bool:
        """A call failed before its first event; true where that is a trouble not noted yet."""
        is_mute = fault.error.code == _MUTE and fault.outcome is Outcome.FAILURE
        if fault.error.code in _OURS:
            return False
        self._see(not (fault.unanswered or is_mute), now)
        reason = fault.verdict.cause
        if not fault.hint or reason == self.trouble:
            return False
        self.trouble = reason
        self._ends_with_list = fault.unanswered or fault.pauses is not None
        return True

    def note_silence(self, now: float, reason: str) -> bool:
        """No list of models came in time; true where that is a trouble not noted yet."""
        self._see(False, now)
        is_new = not self.trouble
        if is_new:
            self.trouble, self._ends_with_list = reason, True
        return is_new

    def _see(self, reachable: bool, now: float) -> None:
        self.reachable, self._seen_at = reachable, now

    def _recover(self) -> bool:
        had = bool(self.trouble)
        self.trouble, self._ends_with_list = "", False
        return had
