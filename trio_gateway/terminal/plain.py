"""Plain output: writes an answer's parts to a pipe or bare terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["PlainOutput", "PlainSummary"]


class PlainSummary:
    """Summary lines without blank lines between them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held, self._begun = "", False

    def write(self, text: str) -> None:
        # White space at the end waits for more text: the blank line that closes a phase is for clients
        # that join all content.
        text = self._held + text
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if shown:
            self._stream.write(re.sub(r"(?<!\s)\s*\n", "\n", shown))
            self._stream.flush()
            self._begun = True

    def status(self, text: str) -> None:
        """There is no status line here."""

    def draw(self) -> None:
        """All is shown already."""

    def end(self) -> None:
        if self._begun:
            self._stream.write("\n")
            self._stream.flush()
        self._held, self._begun = "", False


class PlainOutput:
    """The model's text, with a newline at its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._open = stream, False

    def write(self, text: str) -> None:
        if text:
            self._open = not text.endswith("\n")
            self._stream.write(text)
            self._stream.flush()

    def draw(self) -> None:
        """All is shown already."""

    def end(self) -> None:
        if self._open:
            self.write("\n")
