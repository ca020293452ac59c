"""Lines of a long prompt by their kind: quoted text, tables, logs, data, code.

A line is judged by plain marks of its own, at both ends where it is long. Blank lines belong to the code or
the data before them, and short runs of a kind are words.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias

from .prompt_cut import CUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .steps import Steps

__all__ = ["Kind", "Run", "line_runs"]

Kind = Literal["quote", "table", "log", "data", "code"]
Run: TypeAlias = "tuple[Kind | None, list[str]]"

FEWEST_LINES = 3
LONG_LINE = 300
"""A single line of data this long, in characters, is material too."""
LOOKED_AT = 400
"""Characters at either end of a line by which it is judged."""
LINES_A_SLICE = 40

_QUOTE = re.compile(r">\s?\S")
_LOG = re.compile(
    r"\[?(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|[A-Z][a-z]{2} ++\d{1,2} \d\d:\d\d:)"
    r"|(?:INFO|WARN|ERROR|DEBUG)\b"
)
_DATA = re.compile(r"\"[^\"\n]*+\"\s*+:|[\[{]\s*+(?:[\"\d\[{]|\Z)|[\]}],?\Z")
_CODE = re.compile(
    r"def |class \w++[:(]|import \w|from [\w.]++ import|return\b|@\w|#include|using |public |private |func "
    r"|fn |const |let \w++ =|var |package |//|SELECT |FROM |WHERE |</?\w[^<>]*+>|[\w.\[\]]++ (?:[-+*/]?=) \S"
)
_COMPOUND = re.compile(r"(?:if|for|while|with|elif|else|try|except)\b")
_INDENTED = re.compile(r"(?: {4,}+|\t)\S")
_QUOTED_FIELD = r'"(?:[^"\n]|""){0,200}+"(?=,|\Z)'
_COMMAS = re.compile(
    rf"(?:{_QUOTED_FIELD}|[^,\n]{{0,40}}+)(?:,(?:{_QUOTED_FIELD}|[^,\s][^,\n]{{0,40}}+)?+){{2,}}+\Z"
)
"""Fields with commas between them, and no space behind a comma as in prose; any of them may be empty."""


def line_runs(text: str) -> Steps[list[Run]]:
    """The lines of *text* in runs of one kind; None: words.

    A run that goes up to the cut of a text, or begins behind it, has ``CUT`` in it.
    """
    kinds: list[Kind | None] = []
    lines = text.splitlines()
    if len(lines) < FEWEST_LINES and len(text) <= LONG_LINE:
        return [(None, lines)] if lines else []
    for at, marked in enumerate(lines):
        line = marked.replace(CUT, "")
        inside = kinds and kinds[-1] in ("code", "data") and not line.strip()
        kinds.append(kinds[-1] if inside else _kind(line))
        if at % LINES_A_SLICE == 0:
            yield
    return list(_runs(kinds, lines))


def _runs(kinds: list[Kind | None], lines: list[str]) -> Iterator[Run]:
    before = ""
    for run, group in groupby(zip(kinds, lines, strict=True), key=lambda entry: entry[0]):
        entries = [line for _, line in group]
        if before.endswith(CUT):
            entries[0] = CUT + entries[0]
        before = entries[-1]
        filled = [line for line in entries if line.strip()]
        enough = len(filled) >= FEWEST_LINES or (
            run == "data" and any(len(line) > LONG_LINE for line in filled)
        )
        yield (run, filled) if run and enough else (None, entries)


def _kind(line: str) -> Kind | None:
    line = line if len(line) <= 2 * LOOKED_AT else line[:LOOKED_AT] + line[-LOOKED_AT:]
    bare = line.strip()
    if _QUOTE.match(bare):
        return "quote"
    if bare.startswith("|") and bare.endswith("|", 1):
        return "table"
    if _LOG.match(bare):
        return "log"
    if _DATA.match(bare):
        return "data"
    if _CODE.match(bare) or bare.endswith((";", "{", "}", ")")) or _INDENTED.match(line):
        return "code"
    if bare.endswith(":") and _COMPOUND.match(bare):
        return "code"
    return "table" if line.count("\t") > 1 or _COMMAS.match(line) else None
