"""Supervision: decides when workers start, stop and start again; nothing here waits.

Every way between the states of a worker is a row of :data:`TABLE`; what is not there cannot happen.

    paused    no process; a start is due now or after a pause
    starting  its process runs and does not accept connections yet
    serving   it accepts connections
    stopping  it was ordered to stop and finishes what runs
    ended     no process, and none will follow
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["START_FAILURES", "TABLE", "Happening", "Supervision", "WorkerState", "pause_after"]

START_FAILURES: Final = 5
"""Starts of one worker that may fail in a row; then the gateway ends."""
_FIRST_PAUSE: Final = 0.1
"""Seconds before the second restart in a row, the first being at once; it doubles each time."""
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 60.0
"""Seconds of service after which an end counts as the first one again."""


class WorkerState(StrEnum):
    """What a worker is doing."""

    PAUSED = "paused"
    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    ENDED = "ended"


class Happening(StrEnum):
    """What changes it."""

    DUE = "due"
    """The pause is over."""
    READY = "ready"
    """It accepts connections."""
    EXIT = "exit"
    """Its process has ended, or could not be made."""
    STOP = "stop"
    """The gateway stops."""


TABLE: Final[Mapping[tuple[WorkerState, Happening], WorkerState]] = {
    (WorkerState.PAUSED, Happening.DUE): WorkerState.STARTING,
    (WorkerState.PAUSED, Happening.STOP): WorkerState.ENDED,
    (WorkerState.STARTING, Happening.READY): WorkerState.SERVING,
    (WorkerState.STARTING, Happening.EXIT): WorkerState.PAUSED,
    (WorkerState.STARTING, Happening.STOP): WorkerState.STOPPING,
    (WorkerState.SERVING, Happening.EXIT): WorkerState.PAUSED,
    (WorkerState.SERVING, Happening.STOP): WorkerState.STOPPING,
    (WorkerState.STOPPING, Happening.READY): WorkerState.STOPPING,
    (WorkerState.STOPPING, Happening.STOP): WorkerState.STOPPING,
    (WorkerState.STOPPING, Happening.EXIT): WorkerState.ENDED,
    (WorkerState.ENDED, Happening.DUE): WorkerState.ENDED,
    (WorkerState.ENDED, Happening.STOP): WorkerState.ENDED,
}


def pause_after(ends: int) -> float:
    """Seconds to wait before a worker starts again that has ended *ends* times (1 or more) in a row."""
    if ends == 1:
        return 0.0
    doublings = min(ends - 2, 10)  # far beyond the longest pause; a float would overflow some day
    return min(_FIRST_PAUSE * 2.0**doublings, _LONGEST_PAUSE)


@dataclass(slots=True)
class _Worker:
    state: WorkerState = WorkerState.PAUSED
    ends: int = 0
    """Times it ended without having served steadily."""
    failed_starts: int = 0
    """How many of the last ones it ended before it was ready."""
    serving_since: float = 0.0


class Supervision:
    """States of all workers, numbered from 0. Instants are seconds of any one clock."""

    def __init__(self, count: int) -> None:
        self._workers = [_Worker() for _ in range(count)]
        self._announced = False
        self.is_stopping = False
        self.trouble = ""
        """Why the gateway has to end; empty while it does not."""

    def state(self, number: int) -> WorkerState:
        """What that worker is doing."""
        return self._workers[number].state

    @property
    def serving(self) -> int:
        """How many accept connections."""
        return sum(each.state is WorkerState.SERVING for each in self._workers)

    def due(self, number: int) -> bool:
        """Its pause is over: whether its process has to be started now."""
        return self._move(number, Happening.DUE) is WorkerState.STARTING

    def ready(self, number: int, now: float) -> bool:
        """It accepts connections: whether now, for the first time, all do."""
        self._workers[number].serving_since = now
        self._workers[number].failed_starts = 0
        self._move(number, Happening.READY)
        first = not self._announced and all(each.state is WorkerState.SERVING for each in self._workers)
        self._announced = self._announced or first
        return first

    def exited(self, number: int, now: float) -> float | None:
        """Its process has ended: seconds until it has to start again; None: it has not.

        Where it keeps failing at its start, ``trouble`` is true from now on.
        """
        worker = self._workers[number]
        before = worker.state
        if self._move(number, Happening.EXIT) is WorkerState.ENDED:
            return None
        if before is WorkerState.STARTING:
            worker.failed_starts += 1
        elif now - worker.serving_since >= _STEADY:
            worker.ends = 0
        worker.ends += 1
        if worker.failed_starts >= START_FAILURES:
            self.trouble = (
                f"a worker ended {START_FAILURES} times in a row while it started: the lines above say why;"
                " the gateway ends"
            )
            return None
        return pause_after(worker.ends)

    def stop(self) -> list[int]:
        """The gateway stops: which workers have a process that has to be ordered to stop."""
        self.is_stopping = True
        numbers = range(len(self._workers))
        return [number for number in numbers if self._move(number, Happening.STOP) is WorkerState.STOPPING]

    def _move(self, number: int, happening: Happening) -> WorkerState:
        worker = self._workers[number]
        worker.state = TABLE[worker.state, happening]
        return worker.state
