"""Patience: decides by when an upstream's next event must come.

Hosted models send comments while a request waits in their queue (OpenRouter, DeepSeek). So a comment extends
the time for the next event, up to the queue timeout without an event in all. When that has passed, nothing
is known against the upstream: it has answered all the time. Empty events, and those of other kinds than ours,
are as good as comments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..config import UpstreamConfig

__all__ = ["Patience"]


_STEP: Final = 0.01
"""Part of a timeout by which its end may be noticed late, so that no timer is moved with each token: 5 µs."""


class Patience:
    """The clock of one attempt, which begins at *now*. All instants are monotonic seconds."""

    __slots__ = ("_commented", "_config", "_since", "_timeout", "deadline")

    def __init__(self, config: UpstreamConfig, now: float) -> None:
        self._config = config
        self._commented = False
        self._since = now  # the last event, or the beginning
        self._timeout = config.first_event_timeout
        self.deadline = now + self._timeout
        """Instant by which the next event must come."""

    def event(self, now: float) -> None:
        """An event came."""
        self._commented = False
        self._since = now
        self._timeout = self._config.idle_timeout
        self.deadline = now + self._timeout

    def comment(self, now: float) -> None:
        """A comment came."""
        self._commented = True
        latest = self._since + self._config.queue_timeout
        self.deadline = max(self.deadline, min(now + self._timeout, latest))

    def timer(self, current: float, at_most: float) -> float:
        """The instant for a timer that is set to *current*, and has to end by *at_most* in any case.

        It is not before the deadline, and stays while it is late by a step at the most.
        """
        step = _STEP * self._timeout
        late = current - self.deadline
        if not 0.0 <= late <= step:
            # Events that follow each other closely set it a step too late, and leave it for as long.
            current = self.deadline + (step if -step < late < 0.0 else 0.0)
        return min(current, at_most)

    def was_queued(self, now: float) -> bool:
        """Whether the upstream has sent comments and nothing else for the whole queue timeout."""
        return self._commented and now >= self._since + self._config.queue_timeout
