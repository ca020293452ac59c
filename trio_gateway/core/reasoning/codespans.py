"""Code spans: tell whether a place in arriving text lies in Markdown code.

A marker in code is text: an answer about ``<think>`` must not be cut by it. The question is asked seldom
and text arrives often, so text is only collected until it is asked (or enough of it has gathered), and then
read once, line by line.

Rules, those of CommonMark where it matters: a line that begins with three or more backticks or tildes
opens a fence, unless a backtick on the same line makes it a code span; a line of nothing but the same
characters, as many or more, closes it. A run of backticks opens a span that a run of the same length or a
blank line closes. Unlike CommonMark any indentation is allowed, as fences stand in lists, and of two runs of
more than ``LONGEST`` characters neither is the longer one.
"""

from __future__ import annotations

import re
from copy import copy

__all__ = ["CodeTracker"]

COLLECT = 4096
"""Characters collected before they are read unasked: a bound on memory, not a rule."""
LONGEST = 1024
"""Characters of a run that are counted."""

_FENCE = re.compile(r"`{3,}|~{3,}")
_TICKS = re.compile(r"`+")


class CodeTracker:
    """Follows a text from its first line.

    >>> tracker = CodeTracker()
    >>> tracker.add("use `")
    >>> tracker.inside()
    True
    """

    __slots__ = ("_clean", "_fence", "_lead", "_parts", "_size", "_span")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._fence = ""  # the run that opened the fence we are in
        self._span = 0  # length of the run that opened the code span we are in
        self._lead = ""  # the run this line began with, if it may open or close a fence
        self._clean = True  # nothing on this line but blanks and that run

    def add(self, text: str) -> None:
        """Take the next piece, cut anywhere."""
        self._parts.append(text)
        self._size += len(text)
        if self._size > COLLECT:
            self._gather()

    def inside(self, blank: str = "") -> bool:
        """Whether what follows the text so far and then *blank* (whitespace) is in code.

        What follows must not be a backtick or a tilde: a run of them could go on.
        """
        self._read("".join(self._parts))
        self._parts.clear()
        self._size = 0
        if "\n" in blank:
            tracker = copy(self)
            tracker._read(blank)
            return tracker.inside()
        if self._fence and self._clean and self._lead.startswith(self._fence):
            return False  # the fence closes here: a marker that follows at once is allowed for
        return bool(self._fence or self._span or self._lead)

    def _gather(self) -> None:
        text = "".join(self._parts)
        whole = text.rstrip(text[-1]) if text[-1] in "`~" else text  # a run at the end may go on
        self._read(whole)
        run = text[len(whole) :][:LONGEST]
        self._parts = [run]
        self._size = len(run)

    def _read(self, text: str) -> None:
        first, *lines = text.split("\n")
        self._read_line(first)
        for line in lines:
            self._end_line()
            self._read_line(line)

    def _read_line(self, text: str) -> None:
        """Read a part of a line."""
        if self._clean and not self._lead:
            text = text.lstrip()
            if run := _FENCE.match(text):
                self._lead = run[0][:LONGEST]
                text = text[run.end() :]
                self._span = len(self._lead) if self._lead[0] == "`" else self._span
        if text and not text.isspace():
            self._clean = False
        if not self._fence and "`" in text:
            for run in _TICKS.findall(text):
                ticks = min(len(run), LONGEST)
                self._span = 0 if ticks == self._span else self._span or ticks
            if self._lead.startswith("`"):
                self._lead = ""

    def _end_line(self) -> None:
        if self._fence:
            if self._clean and self._lead.startswith(self._fence):
                self._fence = ""
            self._span = 0
        elif self._lead:
            self._fence = self._lead
        elif self._clean:
            self._span = 0
        self._lead, self._clean = "", True
