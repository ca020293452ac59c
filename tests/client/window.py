"""A terminal's window, as far as the client uses one: what is to be seen in it, and above it."""

from __future__ import annotations

import re

from rich.cells import cell_len

STYLING = r"\x1b\[[\d;]*m"
WIDE = "\0"  # the second cell of a wide character


class Window:
    """What is to be seen in a terminal's window, and above it, after it was sent some text."""

    def __init__(self, text: str, *, columns: int = 80, rows: int = 24) -> None:
        self.lines, self._row, self._column = [""], 0, 0
        self._columns, self._rows, self._wraps = columns, rows, True
        for control, plain in re.findall(r"(\x1b\[[\d;?]*[A-Za-z]|[\r\n])|([^\x1b\r\n]+)", text):
            if control:
                self._control(control)
            for character in plain:
                self._put(character)

    def _control(self, control: str) -> None:
        if control == "\n":
            self._down()
        elif control == "\r":
            self._column = 0
        elif control.endswith("F"):
            top = max(0, len(self.lines) - self._rows)
            self._row, self._column = max(top, self._row - int(control[2:-1])), 0
        elif control == "\x1b[G":
            self._column = 0
        elif control in {"\x1b[?7l", "\x1b[?7h"}:
            self._wraps = control.endswith("h")
        elif control == "\x1b[J":
            del self.lines[self._row + 1 :]
            self.lines[self._row] = self.lines[self._row][: self._column]
        else:
            assert control.endswith("m"), control

    def _put(self, character: str) -> None:
        width = cell_len(character)
        if self._column + width > self._columns:  # not before: a line may fill its row
            if not self._wraps:
                return
            self._down()
            self._column = 0
        line = self.lines[self._row].ljust(self._column)
        cells = character + WIDE * (width - 1)
        self.lines[self._row] = line[: self._column] + cells + line[self._column + width :]
        self._column += width

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    @property
    def text(self) -> str:
        return "\n".join(line.replace(WIDE, "").rstrip() for line in self.lines).rstrip("\n")
