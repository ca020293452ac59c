"""Half pairs: joins surrogate pairs whose halves came in two chunks.

Some servers write JSON in ASCII and cut text between the two escapes of an emoji. Each half alone is no
character, so the first one waits for the next text of its field. What is no half of a pair in the end is
U+FFFD.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..text.surrogates import joined
from .tool_calls import ARGUMENTS

__all__ = ["HalfPairs", "calls_with_halves", "has_halves"]

Json = dict[str, Any]

_HALF_ESCAPE: Final = re.compile(r'\\u[dD][89abAB][0-9a-fA-F]{2}"|"\\u[dD][c-fC-F]')
"""In JSON, the first half of a pair at the end of a string, or the second one at the beginning of one."""


def has_halves(data: str) -> bool:
    """Whether a string in the JSON text *data* may end or begin with half of a pair."""
    return ("\\ud" in data or "\\uD" in data) and _HALF_ESCAPE.search(data) is not None


def calls_with_halves(mended: object, halved: object) -> object:
    """The tool calls *mended*, their arguments as *halved* has them, half pairs at their ends."""
    if type(mended) is not list or type(halved) is not list:
        return mended
    return [_with_arguments(*pair) for pair in zip(mended, halved, strict=True)]


def _with_arguments(mended: object, halved: object) -> object:
    if type(mended) is not dict or type(halved) is not dict:
        return mended
    call = dict(mended)
    for kind, name in ARGUMENTS.items():
        body, other = mended.get(kind), halved.get(kind)
        if type(body) is dict and type(other) is dict and type(other.get(name)) is str:
            call[kind] = {**body, name: other[name]}
    return call


class HalfPairs:
    """Halves of one choice that wait: at most one of text, one of reasoning."""

    __slots__ = ("_reasoning", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""

    def __bool__(self) -> bool:
        return bool(self._text or self._reasoning)

    def join(self, text: str, reasoning: str) -> tuple[str, str]:
        """What waited, and *text* and *reasoning* behind it.

        Where either is empty, its half is none of a pair: something came in another field.
        """
        text, self._text = joined(self._text, text)
        reasoning, self._reasoning = joined(self._reasoning, reasoning)
        return text, reasoning
