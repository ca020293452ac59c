"""Transcript at the keyboard: runs its loop, commands and files.

It knows no network, and asks through ``ask``.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from .ask import ask
from .reading import read_block, read_line
from .received import OK, AnswerFormError, to_json
from .transcript import Transcript

if TYPE_CHECKING:
    from argparse import Namespace

    from .screen import Screen

__all__ = ["COMMANDS", "chat"]

COMMANDS = """\
/help          this list
/clear         forget the conversation
/system TEXT   set the system message; without TEXT, drop it
/model NAME    ask another model
/save FILE     write the conversation to a file, as a request body
/load FILE     go on with a conversation from a file
/bye           leave (also Ctrl-D)
\"\"\"            begins and ends a message of several lines
Ctrl-C         stops the answer"""


def chat(options: Namespace, screen: Screen) -> int:
    """Hold a conversation until Ctrl-D or ``/bye``."""
    with contextlib.suppress(ImportError):  # some Pythons are built without it
        import readline  # noqa: F401  (its import alone gives input() line editing, and history by arrow up)
    conversation = Transcript(options.model, options.system)
    screen.note(f"Talking to {options.model}. /help lists the commands, Ctrl-D leaves.")
    if options.prompt:
        turn(options, conversation, options.prompt, screen)
    while True:
        try:
            line = read_line(">>> ").strip()
            if line.startswith('"""'):
                turn(options, conversation, read_block(line), screen)
            elif not line.startswith("/"):
                turn(options, conversation, line, screen)
            elif line == "/bye":
                return OK
            else:
                screen.note(command(line, conversation))
        except KeyboardInterrupt:  # from read_line: an answer takes Ctrl-C itself
            screen.note("\nCtrl-D or /bye leaves.")
        except EOFError:  # from read_line
            screen.note("")
            return OK


def turn(options: Namespace, conversation: Transcript, prompt: str, screen: Screen) -> None:
    """Ask once. What came of an answer is kept even when it was stopped: it may be asked to go on."""
    if prompt.strip():
        request = conversation.request(prompt, stream=not options.no_stream)
        conversation.keep(prompt, trio.run(ask, options, request, screen).content)


def command(line: str, conversation: Transcript) -> str:
    """Carry out a line that begins with a slash; what to tell the user."""
    match line.split(maxsplit=1):
        case ["/help"]:
            return COMMANDS
        case ["/clear"]:
            conversation.turns.clear()
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
