"""Nesting: whether the end of a block belongs to a start that stands inside it.

A thought may quote a block, or hold one. Then the first end is not the block's, and what follows it is no
answer. But a thought may as well name the start marker alone. So an end behind such a start is in doubt for a
while (the hold): another end that comes then shows that the first one belonged to the inner start.
"""

from __future__ import annotations

import re
from typing import Final

from .markers import BLANKS, Kind, Marker, MarkerSearch

__all__ = ["HOLD", "InnerStarts", "NestedEnd"]

HOLD: Final = 1024
"""Characters behind an end in doubt that decide; without another end in them it was the block's."""

_REST_OF_LINE = re.compile(rf"[ \t\r]{{0,{BLANKS}}}")


class InnerStarts:
    """Inner starts of a block that are still open, by where they stand."""

    __slots__ = ("at_lines", "in_lines")

    def __init__(self) -> None:
        self.in_lines = 0
        self.at_lines = 0

    def __bool__(self) -> bool:
        return self.in_lines > 0 or self.at_lines > 0

    def add(self, *, at_line: bool) -> None:
        """Another one stands there."""
        if at_line:
            self.at_lines += 1
        else:
            self.in_lines += 1

    def close(self) -> None:
        """An end closes one of them."""
        if self.in_lines:
            self.in_lines -= 1
        else:
            self.at_lines -= 1


class NestedEnd:
    """Weighs an end in doubt: *length* characters, the whitespace before it included.

    *scan*: what is looked for in the block. *starts*: its inner starts. *begins_line*: nothing but whitespace
    stands before the end on its line.
    """

    __slots__ = ("_begins_line", "_depth", "_read", "_scan", "_starts", "length")

    def __init__(self, scan: MarkerSearch, starts: InnerStarts, length: int, *, begins_line: bool) -> None:
        self._scan = scan
        self._starts = starts
        self._begins_line = begins_line
        self._read = 0  # characters behind the end that have been read
        self._depth = 0  # starts among them that no end has closed
        self.length = length

    def is_nested(self, text: str, at: int, *, final: bool) -> bool | None:
        """Whether the end at *at* of *text* belongs to an inner start; None: more text must tell.

        What stands from *at* on begins each time with what it was before.

        An end alone on its line is none of a start in the middle of one: there the start is only named.
        *final*: no more text will come.
        """
        begin = at + self.length
        if self._begins_line and not self._starts.at_lines:
            rest = next(_REST_OF_LINE.finditer(text, begin)).end()
            if rest == len(text) and not final:
                return None
            if text[rest : rest + 1] in {"", "\n"}:
                return False
        end = min(len(text), begin + HOLD)
        settled = final or end == begin + HOLD
        for trigger in self._scan.triggers.finditer(text, begin + self._read, end):
            place = trigger.start()
            hit = self._scan.mid.at(text, place, end, final=settled) if place >= begin + self._read else None
            if hit is None:
                continue
            match hit.marker:
                case None:
                    self._read = place - begin
                    return None
                case Marker(kind=Kind.START):
                    self._depth += 1
                case Marker(kind=Kind.END) if self._depth:
                    self._depth -= 1
                case found:  # another end, or a tool call, which ends reasoning
                    return found.kind is Kind.END
            self._read = hit.stop - begin
        self._read = end - begin
        return False if settled else None
