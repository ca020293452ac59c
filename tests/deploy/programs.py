"""Programs of the system that a test needs: it bears the mark ``system``, and is skipped where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def needs(program: str) -> pytest.MarkDecorator:
    """The mark of a test that runs *program*; apply it with :func:`pytest.mark.system` beside it."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def check(*command: str | Path, cwd: Path | None = None, **environ: str) -> str:
    """What *command* printed; it must end well."""
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
