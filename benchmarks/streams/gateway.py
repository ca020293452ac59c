"""Gateway of this repository: starts with everything on, as in use."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.streams.servers import Launch, NotStartedError, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROOT", "gateway", "revision"]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_CONFIG: Final = """
[server]
host = "127.0.0.1"
port = {port}
api_keys_file = "{keys}"
max_streams = 4000
[upstreams.main]
url = "http://127.0.0.1:{upstream}"
max_concurrency = 4000
{summary}
"""
_LIMITS: Final = ("--rpm", "10000000", "--tpm", "999999999", "--concurrent", "4000")
"""Limits that are counted with each request and never reached."""
_PACKAGE: Final = "trio_gateway"
_CLEARED: Final = ("GATEWAY_", "UPSTREAM_", "HOST", "PORT", "ALLOWED_HOSTS")
"""Variables that would change the gateway's configuration, or how their names begin."""


def gateway(
    upstream: int, folder: Path, *, name: str = "gateway", summary: str = "", tree: Path = ROOT
) -> Launch:
    """How the gateway of the checkout *tree* is started; *summary* is more of its configuration, in TOML.

    It checks a key with limits, counts metrics, writes its log at level ``info`` into a file and summarises.
    """
    port, config = free_port(), folder / f"{name}.toml"
    keys, header = _key(tree, folder)
    text = _CONFIG.format(port=port, keys=keys, upstream=upstream, summary=summary)
    config.write_text(text, encoding="utf-8")
    command = [_python(tree), "-m", _PACKAGE, "--config", str(config)]
    return Launch(name, command, port, [header], _environ(tree))


@cache
def _key(tree: Path, folder: Path) -> tuple[Path, str]:
    """A file of keys, made by the gateway of *tree*, and the header that shows its one key."""
    keys = folder / f"keys-{tree.name}.txt"
    keys.unlink(missing_ok=True)
    command = [_python(tree), "-m", _PACKAGE, "keys", "add", "bench", "--file", str(keys), *_LIMITS]
    added = subprocess.run(command, env=_environ(tree), capture_output=True, text=True, check=False)
    if added.returncode:
        raise NotStartedError(f"{' '.join(command)}: {added.stderr}")
    return keys, f"Authorization: Bearer {added.stdout.strip()}"


def _python(tree: Path) -> str:
    own = tree / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _environ(tree: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLEARED)}
    return {**kept, "PYTHONPATH": str(tree), "LOG_LEVEL": "info"}


def revision(tree: Path = ROOT) -> str:
    """The last commit that changed the gateway of a checkout, with a plus sign if files differ from it."""
    commit = _git(tree, "log", "-1", "--format=%h", "--abbrev=10", "--", _PACKAGE)
    return f"{commit}+" if _git(tree, "status", "--porcelain", "--", _PACKAGE) else commit or "unknown"


def _git(tree: Path, *words: str) -> str:
    command = ["git", "-C", str(tree), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
