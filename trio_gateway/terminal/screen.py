"""Screen: sends each part of an answer to stdout or stderr.

It knows stdout, stderr and the clock, by which times are told; nothing of the network.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.rule import Rule
from rich.style import Style
from rich.text import Text

from ..core.phases import Phase
from ..core.text.control_characters import ascii_json, drop_controls, escape_controls
from .received import to_json
from .text import COLOURS, error_line, one_line, parse_markdown

if TYPE_CHECKING:
    from argparse import Namespace

    from .received import Answer, Piece

__all__ = ["Screen", "open_console"]

# More than any answer has: a server may report any number.
_MOST_TOKENS = 1_000_000_000


def open_console(stream: TextIO) -> Console:
    """*stream* for rich: colour on a terminal only, and with ``NO_COLOR`` no bold or underline either."""
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, color_system=system, force_terminal=stream.isatty())


class Screen:
    """Final output to stdout as it comes, all else to stderr.

    On a terminal both are one screen, so it remembers which of the two has begun a line. There the output
    streams as plain text, and is typeset in its place when it is complete.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self._quiet = options.raw or options.json
        self._err, self._out = open_console(sys.stderr), open_console(sys.stdout)
        self._coloured = self._out.color_system is not None
        self._style = Style.parse(COLOURS[Phase.FINAL_OUTPUT]) if self._coloured else Style.null()
        self._line: Literal["out", "err"] | None = None
        self._held = ""
        self.begin()

    def begin(self) -> None:
        """A request is being sent: times count from here."""
        self._sent = self._phase_began = time.monotonic()
        self._answered = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

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
        self._err.print(Text(text, style), soft_wrap=True)

    def show(self, piece: Piece | None) -> None:
        """A piece of the answer, if there is one, where and how its phase is shown."""
        if piece is None:
            return
        if piece.opens:
            self._end_line()
            self.mark(piece.phase)
            self._phase_began = time.monotonic()
        hidden = self._options.hide_reasoning and piece.phase is Phase.REASONING_SUMMARY
        if not piece.text or self._quiet or hidden:
            return
        if piece.phase is Phase.FINAL_OUTPUT:
            self._output(piece.text)
        else:
            self._summary(piece.text, COLOURS[piece.phase])

    def arrived(self, chunk: bytes) -> None:
        """Bytes as they were received."""
        if not self._answered:
            self._answered = True
            self.mark("first byte")
        if self._options.raw:
            self._raw(chunk)

    def finish(self, answer: Answer) -> None:
        """The answer is over, well or not."""
        self._end_line()
        if self._coloured and not self._quiet and answer.error is None:
            self._typeset(drop_controls(answer.content))
        if self._options.raw:
            self._raw(b"", final=True)
        if self._options.json:
            self._write(ascii_json(to_json(answer.as_dict()).decode()) + "\n")
        if answer.finish_reason not in {None, "stop", "error"}:
            self.note(f"The model ended with: {one_line(answer.finish_reason)}")
        self.mark(f"end: {self._speed(answer)}")
        if answer.error is not None:
            self.note(error_line(answer.error), "red")

    def _speed(self, answer: Answer) -> str:
        count, since, unit = len(answer.content), self._phase_began, "characters of output"
        tokens = (answer.usage or {}).get("completion_tokens")
        if isinstance(tokens, int) and 0 <= tokens <= _MOST_TOKENS:
            count, since, unit = tokens, self._sent, "tokens with reasoning"
        return f"{count} {unit}, {count / max(time.monotonic() - since, 1e-3):.0f} a second"

    def _output(self, text: str) -> None:
        text = drop_controls(text)
        if text:
            self._line = None if text.endswith("\n") else "out"
        self._write(self._style.render(text))

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

    def _typeset(self, text: str) -> None:
        """Show the complete output as Markdown in the place of the plain text just above."""
        if (markdown := parse_markdown(text)) is None:
            return
        width, height = self._out.size
        lines = text.removesuffix("\n").split("\n")
        rows = sum(max(1, -(-cell_len(line.expandtabs()) // width)) for line in lines)
        self._out.file.write(f"\x1b[{rows}F\x1b[J")
        if rows >= height:  # all that was on the screen is gone, but not what has scrolled off
            self._out.print(Rule(style="bright_black"))
        self._out.print(markdown)

    def _summary(self, text: str, colour: str) -> None:
        # White space at the end waits for more text: the blank line that closes a phase is for clients
        # that join all content.
        text = self._held + text
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if shown:
            lines = re.sub(r"(?<!\s)\s*\n", "\n", drop_controls(shown))
            self._err.print(Text(lines, colour), end="", soft_wrap=True)
            self._line = "err"

    def _end_line(self) -> None:
        if self._line == "out":
            self._write("\n")
        elif self._line == "err":
            self._err.print()
        self._line, self._held = None, ""
