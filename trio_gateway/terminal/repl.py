"""A conversation at the keyboard: its loop, and the commands that ask something.

Each answer and each list of models is an event loop of its own; between them there is only a line to read.
"""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

import trio

from ..core.text.control_characters import drop_controls
from .ask import ask
from .attachments import attach
from .commands import COMMANDS, LEAVING, candidates, command
from .editing import edited, prepare_line_editing
from .models import list_models
from .reading import read_block, read_message
from .text import error_line, one_line
from .transcript import Transcript, text_of

if TYPE_CHECKING:
    from argparse import Namespace

    from .attachments import Attachment
    from .screen import Screen
    from .session_files import SessionFiles
    from .transcript import Content

__all__ = ["COMMANDS", "chat", "turn"]

# Characters that terminals take for their clipboard; many drop what is longer.
MAX_CLIPBOARD = 74_000


def chat(options: Namespace, conversation: Transcript, screen: Screen, state: SessionFiles) -> int:
    """Hold *conversation* until Ctrl-D or ``/bye``."""
    return Chat(options, conversation, screen, state).hold()


def turn(
    options: Namespace, conversation: Transcript, prompt: Content, screen: Screen, state: SessionFiles | None
) -> int:
    """Ask once; the exit code. What came of an answer is kept even when it was stopped: it may be asked to
    go on."""
    request = conversation.request(prompt, stream=not options.no_stream)
    if screen.moves and not options.no_stream:
        request["gateway"] = {"reasoning": "both"}  # to be counted: it is not shown
    answer = trio.run(ask, options, request, screen)
    conversation.keep(prompt, answer.content)
    if state is not None and answer.content:
        state.keep(conversation.body)
    return answer.exit_code


class Chat:
    """The loop, and what it holds beside the conversation."""

    def __init__(self, options: Namespace, talk: Transcript, screen: Screen, state: SessionFiles) -> None:
        self._options, self._talk, self._screen = options, talk, screen
        self._state = state if sys.stdin.isatty() else None
        self._attached: list[Attachment] = options.attach
        self._models: list[str] | None = None

    def hold(self) -> int:
        joins = self._state is not None and prepare_line_editing(self._state.lines(), self._candidates)
        so_far = f" {len(self._talk.turns)} messages so far." if self._talk.turns else ""
        self._screen.note(f"Talking to {self._talk.model}.{so_far} /help lists the commands, Ctrl-D leaves.")
        if self._options.prompt:
            self._ask(self._options.prompt)
        while True:
            try:
                line = read_message(">>> ", joins=joins).strip()
                if line.startswith('"""'):
                    line = read_block(line)
                    self._remember(line)
                    self._ask(line)
                    continue
                self._remember(line)
                if line in LEAVING:
                    return 0
                if line.startswith("/") and "\n" not in line:
                    self._command(line)
                else:
                    self._ask(line)
            except KeyboardInterrupt:  # from read_line: an answer takes Ctrl-C itself
                self._screen.note("\nCtrl-D or /bye leaves.")
            except EOFError:  # from read_line
                self._screen.note("")
                return 0

    def _remember(self, line: str) -> None:
        if self._state is not None:
            self._state.add_line(line)

    def _ask(self, text: str) -> None:
        if text.strip():
            files, self._attached = self._attached, []
            self._send(attach(text, files))

    def _send(self, content: Content) -> None:
        turn(self._options, self._talk, content, self._screen, self._state)
        self._screen.gap()

    def _command(self, line: str) -> None:
        match line.split(maxsplit=1):
            case ["/models"]:
                self._show_models()
            case ["/retry"]:
                self._again(edit=False)
            case ["/edit"]:
                self._again(edit=True)
            case ["/copy"]:
                self._screen.note(self._copy())
            case _:
                self._screen.note(command(line, self._talk))

    def _show_models(self) -> None:
        self._models, answer = trio.run(list_models, self._options)
        if answer.error is not None:
            self._screen.note(error_line(answer.error), "red")
        for name in self._models:
            self._screen.note(f"{'*' if name == self._talk.model else ' '} {one_line(name)}")

    def _again(self, *, edit: bool) -> None:
        question = self._talk.question
        if question is None and not edit:
            self._screen.note("Nothing was asked yet.")
            return
        question = question or ""
        if edit:
            try:
                text = edited(text_of(question))
            except (OSError, ValueError) as exc:
                self._screen.note(f"error: {exc}; VISUAL or EDITOR names the editor", "red")
                return
            if not text:
                self._screen.note("The message is empty; nothing is asked.")
                return
            images = [] if isinstance(question, str) else [part for part in question if "text" not in part]
            question = [{"type": "text", "text": text}, *images] if images else text
            self._remember(text)
            self._screen.note(text)
        self._talk.retract()
        self._send(question)

    def _copy(self) -> str:
        text = self._talk.answer
        if not text:
            return "There is no answer yet."
        stream = next((stream for stream in (sys.stdout, sys.stderr) if stream.isatty()), None)
        if stream is None:
            return "There is no terminal, whose clipboard it could be."
        coded = base64.b64encode(text.encode("utf-8", "replace")).decode()
        if len(coded) > MAX_CLIPBOARD:
            return "The answer is too long for a terminal's clipboard; /save writes it to a file."
        stream.write(f"\x1b]52;c;{coded}\x07")  # base64: nothing of the model's text is in there as it came
        stream.flush()
        return f"Sent {len(text)} characters to the terminal's clipboard (in tmux: set -g set-clipboard on)."

    def _candidates(self, line: str) -> list[str]:
        """What Tab offers. The models are asked for when a name is wanted for the first time."""
        if line.startswith("/model ") and self._models is None:
            self._models = trio.run(list_models, self._options)[0]
        # A name that holds control characters, or a blank, is none to be typed.
        known = [
            name for name in self._models or () if name == drop_controls(one_line(name)) and " " not in name
        ]
        return candidates(line, known)
