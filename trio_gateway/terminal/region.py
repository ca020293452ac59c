"""Live region: redraws the last rows of a terminal until they are final.

It writes its own control sequences and the rows that it is given, and knows nothing of what they mean. What
was made final is never touched again. The live rows always fit the window, so that none of them scrolls
off where it could not be erased: nothing is shown twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["STYLING", "Region"]

STYLING = re.compile(r"\x1b\[[\d;]*m")
# Live rows are drawn without automatic wrap: where terminal and client disagree on the width of a character,
# a row is cut at the edge instead of becoming two.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Region:
    """Rows below all that is final."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: list[str] = []
        self._columns = console.width

    @property
    def width(self) -> int:
        """The columns that a row may take; the last column of the window stays empty."""
        return max(1, self._console.width - 1)

    def show(self, final: Sequence[str], live: Sequence[str] = ()) -> None:
        """Put *final* rows, and below them *live* ones, in the place of the live rows shown so far.

        Rows are text with styling and without line breaks. Of *live* the last rows are shown, as many as fit.
        """
        columns, height = self._console.size
        live = live[max(0, len(live) - max(1, height - 1)) :]
        rows, before = [*final, *live], self._live
        # How many rows stand there already, and in which row, from the first one, the cursor is.
        same, cursor = _count_same(rows, before), len(before) - 1
        if columns != self._columns:  # a terminal may have broken the rows anew
            same, self._columns = 0, columns
            cursor = sum(max(1, -(-cell_len(STYLING.sub("", row)) // columns)) for row in before) - 1
        elif same == len(rows) == len(before) and (live or not rows):
            self._live = list(live)  # some rows may have become final as they stand
            return
        if live and same == len(rows):  # the cursor is to stand behind the last one
            same -= 1
        parts = []
        if same < len(before):
            parts.append((f"\x1b[{cursor - same}F" if cursor > same else "\x1b[G") + "\x1b[J")
        elif before:
            parts.append("\n")
        parts += [f"{row}\n" for row in rows[same : len(final)]]
        if live:
            parts += [_NO_WRAP, "\n".join(rows[max(same, len(final)) :]), _WRAP]
        self._live = list(live)
        self._console.file.write("".join(parts))
        self._console.file.flush()

    def clear(self) -> None:
        """Take the live rows away."""
        self.show(())


def _count_same(rows: Sequence[str], before: Sequence[str]) -> int:
    differs = (at for at, (one, other) in enumerate(zip(rows, before, strict=False)) if one != other)
    return next(differs, min(len(rows), len(before)))
