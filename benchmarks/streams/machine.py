"""Machine of a run, and the versions of all that was measured."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.streams.gateway import revision
from benchmarks.streams.peers import PEERS, executable, version
from benchmarks.streams.programs import compiler

if TYPE_CHECKING:
    from benchmarks.streams.stage import Stage

__all__ = ["describe", "load_average"]

_PACKAGES: Final = ("trio", "quart", "quart-trio", "hypercorn", "httpx", "h11", "msgspec")


def describe(stage: Stage) -> dict[str, str]:
    """What a reader has to know of the machine, in the order in which it is printed."""
    cores = stage.cores
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "CPU": f"{_field('/proc/cpuinfo', 'model name')}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "cores used": f"load programs on {cores.load}, gateway and peers on {cores.gateway}",
        "gateway": f"{package_version('trio-gateway')}, commit {revision()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {package_version(name)}" for name in _PACKAGES),
        "compiler": _first_line([compiler() or "cc", "--version"]),
    }
    found |= {f"gateway {name}": f"commit {revision(tree)}" for name, tree in stage.trees.items()}
    return found | {peer.name: version(peer) for peer in PEERS if executable(peer)}


def load_average() -> str:
    """How many processes wanted to run, averaged over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0 (unknown)"


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout or "?").splitlines()[0]
