"""Gateway process of the endurance run, and the census of what it holds."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from benchmarks.streams.processes import usage
from benchmarks.streams.servers import health_answered
from trio_gateway.__main__ import main as run_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Census", "Gateway", "open_process"]

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Census:
    """What the gateway holds."""

    files: int
    tasks: Counter[str]
    """Names of Trio's tasks."""
    objects: int
    rss: int
    """KiB."""

    def __str__(self) -> str:
        tasks = f"{self.tasks.total()} tasks"
        return f"{self.files} files, {tasks}, {self.objects} objects, {self.rss / 1024:.1f} MiB"


class Gateway:
    """A gateway that runs as a process of its own; *report* is the file its census is written to."""

    def __init__(self, process: subprocess.Popen[bytes], report: Path) -> None:
        self._process = process
        self._report = report

    async def census(self) -> Census:
        """Count what it holds; it collects its garbage first."""
        self._report.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        with trio.fail_after(10):
            while not self._report.exists():  # noqa: ASYNC110  (a file has no event)
                await trio.sleep(0.05)
        inside = json.loads(self._report.read_text(encoding="utf-8"))
        return Census(self._files(), Counter(inside["tasks"]), inside["objects"], self.rss())

    def rss(self) -> int:
        """Resident memory in KiB."""
        return round(usage(self._process.pid).rss)

    def reload(self) -> None:
        """Let it read its configuration again."""
        self._process.send_signal(signal.SIGHUP)

    def _files(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))


@contextmanager
def open_process(config: Path, folder: Path, port: int) -> Iterator[Gateway]:
    """Run the gateway with that configuration, which names *port*, and wait until it serves.

    Its log goes into ``gateway.log`` in *folder*.
    """
    report = folder / "census.json"
    command = [sys.executable, "-m", __spec__.name, str(config), str(report)]
    environ = {**os.environ, "LOG_LEVEL": "info", "LOG_FORMAT": "json"}
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
    try:
        health_answered(process, port, "/health/live")
        yield Gateway(process, report)
    finally:
        process.terminate()
        process.wait(20)


def _serve(config: str, report: str) -> int:
    """Run the gateway; at SIGUSR1 it writes its census into the file *report*."""

    def count(_number: int, _frame: FrameType | None) -> None:
        gc.unfreeze()
        gc.collect()
        gc.unfreeze()  # what has survived a collection is frozen by the gateway, and not listed otherwise
        objects = gc.get_objects()
        gc.freeze()
        tasks = [each.name for each in objects if isinstance(each, trio.lowlevel.Task)]
        written = Path(f"{report}.new")
        written.write_text(json.dumps({"objects": len(objects), "tasks": tasks}), encoding="utf-8")
        written.rename(report)  # so that nobody reads half of it

    signal.signal(signal.SIGUSR1, count)
    return run_gateway(["--config", config])


if __name__ == "__main__":
    sys.exit(_serve(*sys.argv[1:]))
