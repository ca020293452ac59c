"""C programs of the benchmark: the upstream and the load generator, compiled at first use."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["MissingProgramError", "build", "compiler"]

_SOURCES: Final = Path(__file__).parent / "native"
_NAMES: Final = ("upstream", "load")
_FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
_SECONDS: Final = 120
"""Longest time for one compilation."""


class MissingProgramError(Exception):
    """A program that the benchmark needs is missing; the text explains how to get it."""


def compiler() -> str | None:
    """The C compiler's path: of ``CC`` if that is set, else of ``cc`` or ``gcc``; None if there is none."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc"]
    return next((path for name in names if (path := shutil.which(name))), None)


def build(folder: Path) -> tuple[Path, Path]:
    """Compile into *folder* what is not there yet; the paths of the upstream and of the load generator.

    The files' names hold a digest of the sources, so that another version is compiled anew.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_SOURCES.iterdir()))).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    upstream, load = (_program(name, folder / f"{name}-{digest[:12]}") for name in _NAMES)
    return upstream, load


def _program(name: str, target: Path) -> Path:
    if target.exists():
        return target
    cc = compiler()
    if cc is None:
        raise MissingProgramError(
            "The benchmark's upstream and load generator are written in C, because one in Python would be slower "
            "than what it measures, and there is no C compiler here. Install one (Debian, Ubuntu: apt install gcc "
            "libc6-dev; Fedora: dnf install gcc), or name it: CC=/path/to/cc ./run bench"
        )
    unfinished = target.with_suffix(f".{os.getpid()}")
    command = [cc, *_FLAGS, "-o", str(unfinished), str(_SOURCES / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise MissingProgramError(f"{' '.join(command)} failed:\n{done.stderr}")
    return unfinished.replace(target)
