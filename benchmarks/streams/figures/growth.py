"""Growth (P6): measures CPU time a token over more and more streams.

The total rate stays the same.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.load import Load, RunFailedError

if TYPE_CHECKING:
    from benchmarks.streams.load import Tick
    from benchmarks.streams.stage import Stage

__all__ = ["GROWTH", "STREAMS", "key"]

STREAMS: Final = (50, 100, 200, 500, 1000)
_TOTAL: Final = 2000
"""Tokens a second over all streams."""
_RAMP: Final = 3.0
_PATIENCE: Final = 15.0
"""Seconds after the ramp, at the most, until every stream has its first token."""
_SPARE: Final = 5.0
"""Seconds by which the streams outlast all that."""
_PAUSE: Final = 0.5
"""Seconds for the server to be rid of the streams that were left."""


def key(streams: int) -> str:
    return f"at_{streams}"


class _Window:
    """Ticks between which the cost is measured; it ends a run that has them.

    The window opens when every stream has had its first token, and lasts *seconds*. A stream that failed before
    its first token is not waited for. Where some are still waiting when the patience is over, the window is all
    the time since the ramp.
    """

    def __init__(self, streams: int, seconds: float) -> None:
        self._streams = streams
        self._seconds = seconds
        self._first: Tick | None = None
        self._last: Tick | None = None
        self.waiting = 0
        """Streams without a token when the patience was over."""

    def __call__(self, ticks: list[Tick]) -> bool:
        tick = self._last = ticks[-1]
        if self._first is None and tick.open + tick.finished == self._streams and tick.open <= tick.answered:
            self._first = tick
        elif self._first is None and tick.seconds > _RAMP + _PATIENCE:
            self._first = next(each for each in ticks if each.seconds >= _RAMP)
            self.waiting = tick.open - tick.answered
        return self._first is not None and tick.seconds - self._first.seconds >= self._seconds

    def cost(self) -> float:
        """Microseconds of CPU time a token."""
        if self._first is None or self._last is None:
            raise RunFailedError(f"the run with {self._streams} streams ended before all of them ran")
        tokens = self._last.tokens - self._first.tokens
        return 1e6 * (self._last.usage.cpu - self._first.usage.cpu) / max(tokens, 1)


def _run(stage: Stage, target: str, streams: int, seconds: float) -> _Window:
    pace = streams / _TOTAL
    longest = _RAMP + _PATIENCE + seconds + _SPARE
    load = Load(
        answer=f"tokens={round(longest / pace)},pace_us={round(1e6 * pace)}",
        streams=streams,
        requests=streams,
        ramp_ms=round(1000 * _RAMP),
        seconds=round(longest),
        may_fail=True,
    )
    window = _Window(streams, seconds)
    stage.load.run(stage.server(target), load, until=window)
    time.sleep(_PAUSE)
    return window


def _growth(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    counts = (STREAMS[0], STREAMS[-1]) if quick else STREAMS
    windows = {streams: _run(stage, target, streams, 2.0 if quick else 4.0) for streams in counts}
    costs = {streams: window.cost() for streams, window in windows.items()}
    return {
        **{key(streams): cost for streams, cost in costs.items()},
        "growth": costs[STREAMS[-1]] / costs[STREAMS[0]],
        "waiting": windows[STREAMS[-1]].waiting,
    }


GROWTH: Final = Figure(
    "P6",
    "2,000 tokens/s in all, over more and more streams, all of them open",
    (
        *(Quantity(key(streams), f"CPU, {streams:,} streams", "µs/token") for streams in STREAMS),
        Quantity(
            "waiting", f"of 1,000 streams, without a token after {_RAMP + _PATIENCE:.0f} s", "", compare=None
        ),
        Quantity("growth", "1,000 streams against 50", "×", Bar(1.3, 1.1), compare=None),
    ),
    _growth,
    targets=("smg",),
    in_quick=False,
)
