"""Line editing: recalls lines, completes by Tab, and takes pasted text.

It stands on readline where Python has it, and knows neither the network nor what the lines mean.
"""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["edited", "prepare_line_editing"]


def prepare_line_editing(lines: Iterable[str], candidates: Callable[[str], list[str]]) -> bool:
    """Recall *lines*, and complete by Tab: *candidates* of a line up to the cursor are whole lines.

    Whether the lines of a pasted text have to be joined: GNU readline gives them as one, libedit does not.
    """
    try:  # its import alone gives input() line editing, and history by arrow up
        readline: Any = importlib.import_module("readline")
    except ImportError:  # some Pythons are built without it
        return False
    readline.clear_history()
    for line in lines:
        readline.add_history(line)
    found: list[str] = []

    def complete(word: str, number: int) -> str | None:
        nonlocal found
        if number == 0:
            before = readline.get_line_buffer()[: readline.get_endidx()]
            kept = len(before) - len(word)  # completed is the last word alone
            found = [line[kept:] for line in candidates(before) if line.startswith(before)]
        return found[number] if number < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    if "libedit" in (readline.__doc__ or ""):
        readline.parse_and_bind("bind ^I rl_complete")
        return True
    readline.parse_and_bind("tab: complete")
    readline.parse_and_bind("set enable-bracketed-paste on")
    return False


def edited(text: str) -> str:
    """*text* as it was left in ``$VISUAL`` or ``$EDITOR``.

    Raises:
        OSError: the editor cannot be started.
        ValueError: it failed, or its command line cannot be read.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message.md"
        path.write_text(text, encoding="utf-8")
        # What is run is the user's own setting.
        if subprocess.run([*command, str(path)], check=False).returncode:  # noqa: S603
            raise ValueError(f"{command[0]} failed; nothing is asked")
        return path.read_text(encoding="utf-8", errors="replace").strip()
