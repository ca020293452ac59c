"""Styled output: sets summaries as wrapped lines, output as Markdown.

Each writer turns text into rows for a region at the terminal's end. Control characters must have been dropped
from the text before.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .blocks import BlockReader, Code, Prose
from .region import STYLING, Region
from .text import PARSER, code_rows, parse_markdown, rows_of, wrapped_rows

if TYPE_CHECKING:
    from rich.console import Console

    from .blocks import Block

__all__ = ["StyledOutput", "StyledSummary"]

SUMMARY = "dim"
# Seconds between two drawings, at least; and how often the time that one takes must lie between them.
_INTERVAL, _REST = 0.05, 4
# Characters of code before a line that decide how it is highlighted; lines longer than that are cut.
MAX_CONTEXT = 8192


class _Writer(ABC):
    def __init__(self, console: Console) -> None:
        self._console = console
        self._region = Region(console)
        self._final: list[str] = []
        self._next_drawing = 0.0
        self._changed = False

    def draw(self, *, force: bool = False) -> None:
        """Show what has changed, if it is time to."""
        began = time.monotonic()
        if self._changed and (force or began >= self._next_drawing):
            final, self._final, self._changed = self._final, [], False
            self._region.show(final, self._live())
            ended = time.monotonic()
            self._next_drawing = ended + max(_INTERVAL, _REST * (ended - began))

    @abstractmethod
    def _live(self) -> list[str]:
        """The rows that are not final yet."""


class StyledSummary(_Writer):
    """Summary lines, dim, and below them the status line."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._line, self._status = "", ""

    def write(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.strip():
                self._final += self._rows(line)
        self._changed = True
        self.draw()

    def status(self, text: str) -> None:
        """Put *text* below the lines; nothing where it is empty."""
        self._changed, self._status = self._changed or text != self._status, text
        self.draw()

    def end(self) -> None:
        """What was written is final; there is no status any more."""
        if self._line.strip():
            self._final += self._rows(self._line)
        self._line = self._status = ""
        self._changed = True
        self.draw(force=True)

    def _rows(self, line: str) -> list[str]:
        return wrapped_rows(self._console, line.rstrip(), SUMMARY, self._region.width)

    def _live(self) -> list[str]:
        line = self._rows(self._line) if self._line.strip() else []
        status = wrapped_rows(self._console, self._status, SUMMARY, self._region.width)[:1]
        return line + (status if self._status else [])


class StyledOutput(_Writer):
    """Markdown, set block by block: all but the last block is final."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._reset()

    def write(self, text: str) -> None:
        for block in self._reader.feed(text):
            self._final += self._rows(block)
            self._took(block)
        self._changed = True
        self.draw()

    def end(self) -> None:
        """The output is over."""
        for block in self._reader.finish():
            self._final += self._rows(block)
            self._took(block)
        self._changed = True
        self.draw(force=True)
        self._reset()

    def _reset(self) -> None:
        self._reader = BlockReader(PARSER)
        self._context = ""  # the code so far of the block that is open
        self._begun = False  # a blank row stands between two blocks

    def _live(self) -> list[str]:
        return [row for block in self._reader.rest for row in self._rows(block)]

    def _took(self, block: Block) -> None:
        self._begun = True
        if isinstance(block, Prose) or block.opens:
            self._context = ""
            return
        self._context += f"{block.text}\n"
        if len(self._context) > MAX_CONTEXT:
            self._context = self._context[self._context.find("\n", MAX_CONTEXT // 2) + 1 :]

    def _rows(self, block: Block) -> list[str]:
        width = self._region.width
        gap = [""] if self._begun else []
        if isinstance(block, Code):
            if block.opens:
                return gap
            return code_rows(self._console, self._context, block.text, block.language, width)
        rows = rows_of(self._console, parse_markdown(block.text), width)
        while rows and not STYLING.sub("", rows[0]).strip():  # rich frames tables with blank rows
            del rows[0]
        while rows and not STYLING.sub("", rows[-1]).strip():
            del rows[-1]
        return gap + rows if rows else []
