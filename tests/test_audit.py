"""The audit of dependencies: good news only where packages were looked up, bad news in one line each."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FLAW = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
GOOD: dict[str, Any] = {"name": "a", "version": "1.0", "vulns": []}


def audit(folder: Path, report: str, status: int) -> subprocess.CompletedProcess[str]:
    """Run it with a pip-audit that writes *report* where it is asked to, and ends with *status*."""
    (folder / "report").write_text(report)
    program = folder / "pip-audit"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != --output ]; do shift; done\n'
        f'[ -s {folder}/report ] && cp {folder}/report "$2"\necho "no network" >&2\nexit {status}\n'
    )
    program.chmod(0o755)
    return subprocess.run(
        ["sh", ".ci/audit"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PIP_AUDIT": str(program)},
    )


@pytest.mark.parametrize(
    ("dependencies", "status", "good", "said"),
    [
        ([GOOD], 0, True, "1 packages audited, 0 known vulnerabilities"),
        ([{**GOOD, "vulns": [FLAW]}], 1, False, "a 1.0: PYSEC-1, fixed in 2.0"),
        ([], 0, False, "nothing was audited"),
        ([{"name": "a", "skip_reason": "not found"}], 0, False, "nothing was audited"),
        ([GOOD, {"name": "b", "skip_reason": "not found"}], 0, False, "1 of 2 packages were not audited"),
        ([GOOD], 1, False, "1 packages audited"),
        (None, 1, False, "nothing was audited: no network"),
        (None, 0, False, "nothing was audited"),
    ],
)
def test_an_audit_says_what_it_has_seen(
    dependencies: list[dict[str, Any]] | None, status: int, good: bool, said: str, tmp_path: Path
) -> None:
    report = "" if dependencies is None else json.dumps({"dependencies": dependencies})
    done = audit(tmp_path, report, status)
    assert (done.returncode == 0) == good, done.stderr
    assert said in done.stdout + done.stderr
