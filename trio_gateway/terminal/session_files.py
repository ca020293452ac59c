"""Session state: keeps typed lines and the last conversation.

Both are files in the state folder of the XDG base directories, readable by their owner alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from .received import to_json

__all__ = ["SessionFiles"]

# Lines that are recalled; a file that holds twice as many is shortened. Bytes of it that are read.
MAX_LINES, MAX_HISTORY = 1000, 4 * 2**20


class SessionFiles:
    """The files of the state, or none where *enabled* is false.

    A file that cannot be read or written is as none: no conversation ends for that.
    """

    def __init__(self, *, enabled: bool) -> None:
        home = os.environ.get("XDG_STATE_HOME", "")
        base = Path(home) if os.path.isabs(home) else Path("~/.local/state")
        self._folder = base / "trio-gateway"
        self._enabled = enabled
        with contextlib.suppress(RuntimeError):  # no home folder is known
            self._folder = self._folder.expanduser()

    @property
    def last(self) -> Path:
        return self._folder / "last.json"

    def lines(self) -> list[str]:
        """What was typed in earlier sessions, oldest first."""
        if not self._enabled:
            return []
        path, lines = self._folder / "history.jsonl", []
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - MAX_HISTORY))
                written = file.read().splitlines()
        except OSError:
            return []
        for line in written:
            with contextlib.suppress(ValueError):  # half a line, or not ours
                lines.append(str(json.loads(line)))
        if len(lines) > 2 * MAX_LINES or size > MAX_HISTORY:
            self._replace(path, b"".join(to_json(line) + b"\n" for line in lines[-MAX_LINES:]))
        return lines[-MAX_LINES:]

    def add_line(self, line: str) -> None:
        if self._enabled and line.strip():
            with contextlib.suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                with open(os.open(self._folder / "history.jsonl", flags, 0o600), "ab") as file:
                    file.write(to_json(line) + b"\n")

    def keep(self, body: dict[str, object]) -> None:
        """*body* is the last conversation."""
        if self._enabled:
            self._replace(self.last, to_json(body))

    def _replace(self, path: Path, data: bytes) -> None:
        new = path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            new.replace(path)
