"""Screen: sends each part of an answer to stdout or stderr.

It knows stdout, stderr and the clock, by which times are reported; nothing of the network.
"""

from __future__ import annotations

import codecs
import os
import sys
import time
from typing import TYPE_CHECKING, Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..core.phases import Phase
from ..core.text.control_characters import ascii_json, drop_controls, escape_controls
from .plain import PlainOutput, PlainSummary
from .received import INTERRUPTED, to_json
from .status import StatusLine
from .styled import StyledOutput, StyledSummary
from .text import error_line, one_line, wrapped_rows

if TYPE_CHECKING:
    from argparse import Namespace

    from .received import Answer, Piece

__all__ = ["Screen", "open_console"]

# More than any answer has: a server may report any number.
_MOST_TOKENS = 1_000_000_000


def open_console(stream: TextIO) -> Console:
    """*stream* for rich: colour on a terminal only, and with ``NO_COLOR`` no bold or underline either."""
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, color_system=system, force_terminal=stream.isatty(), highlight=False)


class Screen:
    """Final output to stdout as it comes, all else to stderr.

    On a terminal both are one screen: what one stream has begun there is ended before the other one writes.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self._quiet = options.raw or options.json
        self._err, out = open_console(sys.stderr), open_console(sys.stdout)
        styled = self._err.color_system is not None
        self._summary = StyledSummary(self._err) if styled else PlainSummary(sys.stderr)
        self._output = StyledOutput(out) if out.color_system is not None else PlainOutput(sys.stdout)
        self.moves = not self._quiet and (styled or out.color_system is not None)
        """Whether ``tick`` has anything to do."""
        self.begin()

    def begin(self) -> None:
        """A request is being sent: times count from here."""
        self._sent = self._phase_began = time.monotonic()
        self._answered = self._begun = self._gap_due = False
        self._tokens = 0
        self._status = StatusLine(self._sent, self._err.encoding)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def tick(self) -> None:
        """Time has passed: the status line goes on, and what waited to be drawn is drawn."""
        self._summary.status(self._status.text(time.monotonic(), self._tokens))
        self._output.draw()

    def count(self, tokens: int) -> None:
        """About so many *tokens* have come."""
        self._tokens = tokens

    def mark(self, what: str) -> None:
        """With ``-v``: *what* happened now."""
        if self._options.verbose:
            self.note(f"{time.monotonic() - self._sent:8.3f} s  {what}")

    def note(self, text: str, style: str = "bright_black") -> None:
        """A line of its own on stderr."""
        self._end_line()
        text = drop_controls(text)
        if self._options.json:  # a terminal, where both streams are one, gets ASCII alone
            text = ascii_json(text)
        width = max(1, self._err.width - 1)
        for line in text.split("\n"):
            if self._err.color_system is None or cell_len(line) <= width:
                self._err.print(Text(line, style), soft_wrap=True)
            else:
                for row in wrapped_rows(self._err, line, style, width):
                    self._err.file.write(f"{row}\n")
        self._err.file.flush()

    def gap(self) -> None:
        """On a styled terminal, an empty row behind an answer."""
        if self.moves and self._err.is_terminal:
            self._err.print()

    def show(self, piece: Piece | None) -> None:
        """A piece of the answer, if there is one, where and how its phase is shown."""
        if piece is None:
            return
        if piece.opens:
            self._open(piece.phase, begins=bool(piece.text))
        hidden = self._options.hide_reasoning and piece.phase is Phase.REASONING_SUMMARY
        if not piece.text or self._quiet or hidden:
            return
        if self._gap_due:
            self._gap_due = False
            self._end_line()  # a status line may stand there
            self.gap()
        writer = self._output if piece.phase is Phase.FINAL_OUTPUT else self._summary
        writer.write(drop_controls(piece.text))
        self._begun = True

    def arrived(self, chunk: bytes) -> None:
        """Bytes as they were received."""
        if not self._answered:
            self._answered = True
            self.mark("first byte")
        if self._options.raw:
            self._raw(chunk)

    def finish(self, answer: Answer) -> None:
        """The answer is over, well or not."""
        self._status.stop()
        self._end_line()
        if self._options.raw:
            self._raw(b"", final=True)
        if self._options.json:
            self._write(ascii_json(to_json(answer.as_dict()).decode()) + "\n")
        if answer.finish_reason not in {None, "stop", "error"}:
            self.note(f"The model ended with: {one_line(answer.finish_reason)}")
        self.mark(f"end: {self._speed(answer)}")
        if answer.exit_code == INTERRUPTED:
            self.note("stopped by Ctrl-C")
        elif answer.error is not None:
            self.note(error_line(answer.error), "red")

    def _open(self, phase: Phase, *, begins: bool) -> None:
        """The first piece of *phase* has come; *begins*: with text to show."""
        self._end_line()
        thought = self._status.opens(phase, time.monotonic())
        if self.moves and thought:
            self.note(thought)
        self._gap_due = self._begun and not (
            self._options.hide_reasoning and phase is Phase.REASONING_SUMMARY
        )
        if self._gap_due and begins:
            self._gap_due = False
            self.gap()
        self.mark(phase)
        self._phase_began = time.monotonic()

    def _speed(self, answer: Answer) -> str:
        count, since, unit = len(answer.content), self._phase_began, "characters of output"
        tokens = (answer.usage or {}).get("completion_tokens")
        if isinstance(tokens, int) and 0 <= tokens <= _MOST_TOKENS:
            count, since, unit = tokens, self._sent, "tokens with reasoning"
        return f"{count} {unit}, {count / max(time.monotonic() - since, 1e-3):.0f} a second"

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _raw(self, chunk: bytes, *, final: bool = False) -> None:
        """Bytes as they came, but for the control characters that would drive a terminal."""
        if sys.stdout.isatty():
            self._write(escape_controls(self._decoder.decode(chunk, final)))
        else:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()

    def _end_line(self) -> None:
        self._summary.end()
        self._output.end()
