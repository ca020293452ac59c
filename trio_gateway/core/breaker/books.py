"""Books: what a breaker counts and reports. Nothing is decided by them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from .calls import Outcome

if TYPE_CHECKING:
    from .calls import Verdict
    from .state import Transition

__all__ = ["Books"]

# Transitions kept for a reader that is late. A gap shows, as generations are numbered without one.
_MAX_EVENTS: Final = 256


class Books:
    """Counts of calls by outcome; admitted = settled + stale + in flight."""

    def __init__(self) -> None:
        self.admitted = 0
        self.settled = dict.fromkeys(Outcome, 0)
        self.stale = 0
        self.opened_total = 0
        self.last_error_class: str | None = None
        self.events: deque[Transition] = deque(maxlen=_MAX_EVENTS)

    @property
    def in_flight(self) -> int:
        """Permits that are neither settled nor lapsed."""
        return self.admitted - self.stale - sum(self.settled.values())

    def count(self, verdict: Verdict, *, own_key: bool) -> None:
        """A call of the present generation ended. *own_key*: it was made with the gateway's key."""
        self.settled[verdict.outcome] += 1
        if verdict.outcome is Outcome.FAILURE or (verdict.pauses is not None and own_key):
            self.last_error_class = verdict.error_class or self.last_error_class

    def drain(self) -> list[Transition]:
        """The transitions since the last drain, oldest first."""
        events = list(self.events)
        self.events.clear()
        return events
