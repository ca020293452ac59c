"""Commands: change a conversation without asking the model.

A line in, a line to show out. They know the conversation and its files, and no network.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .received import AnswerFormError, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .transcript import Transcript

__all__ = ["COMMANDS", "LEAVING", "candidates", "command"]

COMMANDS = """\
/help, /?      this list
/clear         forget the conversation
/system TEXT   set the system message; without TEXT, drop it
/model NAME    ask another model
/models        list the models
/retry         ask the last question again
/edit          change the last question in $EDITOR, and ask it
/copy          put the last answer on the clipboard
/save FILE     write the conversation to a file, as a request body
/load FILE     go on with a conversation from a file
/bye           leave (also /exit, /quit, Ctrl-D)
\"\"\"            begins and ends a message of several lines
Tab            completes commands, models and files
Ctrl-C         stops the answer"""
LEAVING = ("/bye", "/exit", "/quit")
_NAMES = sorted({line.split()[0].strip(",") for line in COMMANDS.splitlines() if line[0] == "/"} | {*LEAVING})


def command(line: str, conversation: Transcript) -> str:
    """Carry out a line that begins with a slash; what to show the user."""
    match line.split(maxsplit=1):
        case ["/help" | "/?"]:
            return COMMANDS
        case ["/clear"]:
            conversation.clear()
            return "The conversation is forgotten."
        case ["/system", *text]:
            conversation.system = text[0] if text else None
            return "The system message is set." if text else "There is no system message now."
        case ["/model", name]:
            conversation.model = name
            return f"Talking to {name}."
        case ["/save" | "/load" as verb, name]:
            return store(verb, Path(os.path.expanduser(name)), conversation)
        case _:
            return f"{line!r} is not understood; /help lists the commands."


def store(verb: str, path: Path, conversation: Transcript) -> str:
    try:
        if verb == "/save":
            path.write_bytes(to_json(conversation.body, indent=2))
            return f"Saved in {path}."
        conversation.load(path.read_bytes())
        return f"Talking to {conversation.model} about {path}: {len(conversation.turns)} messages so far."
    except OSError as exc:  # reading or writing the file
        return f"error: {path}: {exc.strerror}"
    except AnswerFormError as exc:  # reading what is in it
        return f"error: {path} holds no conversation: {exc}"


def candidates(line: str, models: Sequence[str]) -> list[str]:
    """The lines that *line* may become by Tab."""
    verb, blank, rest = line.partition(" ")
    if not blank:
        return [name for name in _NAMES if name.startswith(line)] if line.startswith("/") else []
    if verb == "/model":
        return [f"/model {name}" for name in models if name.startswith(rest)]
    if verb in {"/save", "/load"}:
        home, whole = os.path.expanduser("~"), os.path.expanduser(rest)
        names = sorted(glob.glob(glob.escape(whole) + "*"))
        names = [name + "/" * os.path.isdir(name) for name in names]
        if rest.startswith("~/"):
            names = ["~" + name.removeprefix(home) for name in names]
        return [f"{verb} {name}" for name in names]
    return []
