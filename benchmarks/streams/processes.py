"""Processes of the benchmark: run on one core and are watched through /proc."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Cores", "Usage", "raise_file_limit", "start", "stop", "usage"]

_GRACE: Final = 5.0
"""Seconds between asking a process to end and ending it."""
_FILES: Final = 16384
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of a run: one for the load programs, one for what is measured."""

    load: int
    gateway: int

    @classmethod
    def choose(cls) -> Cores:
        """The first two that this process may use; the same one twice where there is but one."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[min(1, len(allowed) - 1)])

    @property
    def shared(self) -> bool:
        return self.load == self.gateway


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time and memory of a process and its descendants, since they started."""

    cpu: float
    """Seconds."""
    rss: float
    """KiB."""


def start(
    command: Sequence[str], core: int, log: int, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start *command* on *core*, with its standard output in the file or pipe *log*.

    It gets SIGTERM when this process dies, however that happens.
    """

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=None if log == subprocess.PIPE else subprocess.STDOUT,
        env=environ,
        start_new_session=True,
        preexec_fn=prepare,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process: politely, then by force."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def usage(pid: int) -> Usage:
    """What the process *pid* and its descendants use; those that ended meanwhile count for nothing."""
    cpu = rss = 0.0
    for each in _family(pid):
        try:
            cpu += time.clock_gettime(_cpu_clock(each))
            pages = Path(f"/proc/{each}/statm").read_text().split()[1]
        except (OSError, IndexError):
            continue
        rss += int(pages) * _PAGE / 1024
    return Usage(cpu, rss)


def _cpu_clock(pid: int) -> int:
    """The id of the clock that counts a process's CPU time, in nanoseconds (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            children = [path.read_text() for path in Path(f"/proc/{each}/task").glob("*/children")]
        except OSError:
            continue
        found += [int(child) for text in children for child in text.split()]
    return found


def raise_file_limit() -> None:
    """Allow as many open files as thousands of connections need; programs started later inherit that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
