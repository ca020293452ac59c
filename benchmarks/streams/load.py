"""Runs of the load generator: send a load and measure the process under it."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.streams.processes import Usage, start, stop, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.streams.servers import Server

__all__ = ["Load", "Loader", "Measurement", "RunFailedError", "Tick"]

_LONGEST_FAILURE: Final = 500
"""Characters of the first failure that are reported."""


class RunFailedError(Exception):
    """A run had answers that failed or were not complete: its figures mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run's load: the load generator's options, which its ``--help`` explains."""

    answer: str
    streams: int = 1
    requests: int = 1
    tokens: int | None = None
    warmup: int = 0
    seconds: int = 60
    ramp_ms: int = 0
    gap_ms: int = 0
    tick_ms: int = 250
    whole: bool = False
    may_fail: bool = False
    """Answers that fail are counted; else one is enough to end the run with :exc:`RunFailedError`."""

    def options(self) -> list[str]:
        numbers = ("streams", "requests", "warmup", "seconds", "ramp_ms", "gap_ms", "tick_ms")
        words = [f"--{name.replace('_', '-')}={getattr(self, name)}" for name in numbers]
        words += [f"--answer={self.answer}"]
        words += [] if self.tokens is None else [f"--tokens={self.tokens}"]
        return words + ["--whole"] * self.whole


@dataclass(frozen=True, slots=True)
class Tick:
    """One instant of a run."""

    seconds: float
    tokens: int
    open: int
    """Requests under way."""
    answered: int
    """Answers of which the first token has come."""
    finished: int
    usage: Usage


@dataclass(slots=True)
class Measurement:
    """A run's measurement: holds its ticks, its end, and what the process used."""

    before: Usage
    after: Usage = field(default_factory=lambda: Usage(0, 0))
    ticks: list[Tick] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    programs: float = 0.0
    """Seconds of CPU time of the load programs themselves."""

    @property
    def seconds(self) -> float:
        return float(self.end["seconds"])

    @property
    def tokens(self) -> int:
        """Stamped tokens that reached the load generator."""
        return int(self.end["tokens"])

    @property
    def failed(self) -> int:
        """Answers that failed or were not complete."""
        return int(self.end["failed"])

    @property
    def cpu(self) -> float:
        """Seconds of CPU time that the process under load used."""
        return self.after.cpu - self.before.cpu

    @property
    def growth(self) -> float:
        """KiB by which its memory grew at the most."""
        return max(tick.usage.rss for tick in self.ticks) - self.before.rss

    def ms(self, name: str, percentile: str = "p50") -> float:
        return float(self.end[name][percentile])


class Loader:
    """Load generator, pinned to a core, with what is known of how to start it."""

    def __init__(self, program: Path, core: int, upstream: int) -> None:
        self._program = program
        self._core = core
        self._upstream = upstream

    def run(
        self, server: Server, load: Load, *, until: Callable[[list[Tick]], bool] | None = None
    ) -> Measurement:
        """Put *load* on *server* and measure, to the load's end or until *until* holds of the ticks.

        A run that *until* ended may leave answers unfinished. Raises :exc:`RunFailedError`.
        """
        with self._started(server, load, subprocess.PIPE) as process:
            seen = Measurement(usage(server.pid))
            assert process.stdout is not None
            for line in process.stdout:
                self._note(seen, json.loads(line), server, process.pid)
                if until is not None and seen.ticks and until(seen.ticks):
                    process.send_signal(signal.SIGTERM)
                    until = None
        if not seen.end or (seen.failed and not load.may_fail):
            failure = seen.end.get("failure", "the load generator ended early")
            raise RunFailedError(f"{server.name}, {load.answer}: {failure}"[:_LONGEST_FAILURE])
        return seen

    @contextmanager
    def beside(self, server: Server, load: Load) -> Iterator[None]:
        """Keep *load* on *server* for as long as the block runs; what becomes of it is not looked at."""
        with self._started(server, load, subprocess.DEVNULL):
            yield

    @contextmanager
    def _started(self, server: Server, load: Load, out: int) -> Iterator[subprocess.Popen[bytes]]:
        command = [str(self._program), f"--port={server.port}", *server.options, *load.options()]
        with start(command, self._core, out) as process:
            try:
                yield process
            finally:
                stop(process)

    def _note(self, seen: Measurement, line: dict[str, Any], server: Server, load: int) -> None:
        programs = usage(self._upstream).cpu + usage(load).cpu
        match line.pop("event"):
            case "start":
                seen.before = usage(server.pid)
                seen.programs = -programs
            case "tick":
                seen.ticks.append(Tick(**line, usage=usage(server.pid)))
            case _:
                seen.after = usage(server.pid)
                seen.programs += programs
                seen.end = line
