"""Prompt cut: joins head and tail of a prompt whose middle is left out.

The cut is made between lines where they are short, and marked by a character that no summary shows. So a
table that goes on over the cut is one table, and what holds the mark was not seen whole.
"""

from __future__ import annotations

import re

__all__ = ["CUT", "joined_at_cut", "over"]

CUT = "\ufff0"
"""Stands where the middle is left out: at the end of a line, or within the line whose middle it is. It is
unassigned in Unicode, so that no text needs it."""
LINE = 1024
"""A line of at most so many characters is not cut in two."""

_FENCE = re.compile(r"^[ \t]*+(?P<mark>```|~~~)[`~]*+(?P<name>[^\n]*+)", re.MULTILINE)


def joined_at_cut(head: str, tail: str) -> str:
    """*head* and *tail* as one text, without the lines that were cut in two.

    A fenced block that is open at one side of the cut alone ends, or begins, there.
    """
    end, start = head.rfind("\n", -LINE), tail.find("\n", 0, LINE)
    if end < 0 and start < 0:
        return head + CUT + tail
    head = head[:end].rstrip() if end >= 0 else head
    tail = tail[start + 1 :]
    return f"{head}{CUT}\n{_missing_fence(head, tail)}{tail}"


def over(text: str) -> str:
    """The word before a count of what *text* holds: none where it was seen whole."""
    return "over " if CUT in text else ""


def _missing_fence(head: str, tail: str) -> str:
    """The fence that *head* and *tail* want between them, so that blocks end where they do."""
    before, behind = _FENCE.findall(head), _FENCE.findall(tail)
    is_open = len(before) % 2 == 1
    goes_on = len(behind) % 2 == 1 and not behind[0][1].strip()  # with a name it would open a block
    if is_open == goes_on:
        return ""
    return f"{before[-1][0]}\n" if is_open else f"{behind[0][0]}\n{CUT}"
