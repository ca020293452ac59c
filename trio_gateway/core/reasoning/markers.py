"""Markers, and finding them in a text of which only the beginning is known.

A :class:`Marker` says how it is written; a :class:`MarkerSet` tells whether one of several stands at a place,
or may still come to stand there; a :class:`MarkerSearch` knows which markers count at which kind of place,
and finds the places worth looking at.

How a marker may be written:

- ``<name>`` and ``</name>``: ASCII letters in either case. A marker that opens something may bear attributes,
  ``<think type="x">``: at most 64 characters without ``<``, ``>`` or newline.
- anything else: as it stands, but a typographic apostrophe equals a straight one.
- the words of a prose marker end at a word boundary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "BLANKS",
    "Hit",
    "Kind",
    "Marker",
    "MarkerSearch",
    "MarkerSet",
    "is_prose",
    "orphan",
    "phrase",
    "tag",
]

BLANKS = 64
"""Characters of whitespace before a marker that belong to it, and the longest attributes of a tag."""

_NAMED = re.compile(r"</?[A-Za-z][A-Za-z0-9_.:-]*>")
_ATTRIBUTES = rf"[ \t][^<>\n]{{0,{BLANKS}}}"
_SENTENCE_ENDS = frozenset(".!?:")
_REST_OF_LINE = rf"[ \t\r]{{0,{BLANKS}}}"


class Kind(Enum):
    """What a marker does where it counts."""

    START = auto()  # opens a block of reasoning
    END = auto()  # closes it
    ORPHAN = auto()  # an end marker that no start preceded, alone on its line
    TOOL = auto()  # a tool call begins: reasoning ends
    OPEN = auto()  # opens a wrapper around the answer
    CLOSE = auto()  # closes it
    PROSE_START = auto()  # words that open reasoning told in prose
    PROSE_END = auto()  # words that may end it
    CUE = auto()  # words that take such an end back
    HEADER = auto()  # a harmony message begins
    CONTROL = auto()  # a harmony token without text


@dataclass(frozen=True, slots=True)
class Marker:
    """One marker.

    ``text`` is how it begins, in lower case if ``folded``; ``pattern`` matches it whole.

    ``more`` matches the texts at least as long as ``text``, but by at most ``slack`` characters, that leave
    open whether this is the marker.
    """

    kind: Kind
    text: str
    pattern: str
    folded: bool = False
    more: re.Pattern[str] | None = None
    slack: int = 0

    def undecided(self, tail: str) -> bool:
        """Whether *tail* can become this marker, or a longer form of it, when more text comes."""
        if len(tail) >= len(self.text):
            return self.more is not None and self.more.fullmatch(tail) is not None
        if self.folded and tail.isascii():
            tail = tail.lower()
        return self.text.startswith(tail.replace("’", "'"))


def tag(kind: Kind, text: str, *, attributes: bool = False) -> Marker:
    """A marker that is not prose to be kept; *attributes*: where it is a ``<name>`` it may bear some."""
    if not _NAMED.fullmatch(text):
        return Marker(kind, text.replace("’", "'"), _spelled(text))
    pattern, more, slack = _spelled(text, folded=True), None, 0
    if attributes:
        stem = pattern.removesuffix(">")
        pattern = f"{stem}(?:{_ATTRIBUTES})?>"
        more, slack = re.compile(stem + _ATTRIBUTES), BLANKS
    return Marker(kind, text.lower(), pattern, folded=True, more=more, slack=slack)


def orphan(text: str) -> Marker:
    """An end marker that counts only if nothing else stands on its line (after it; before it is the place's
    business)."""
    end = tag(Kind.ORPHAN, text)
    more = re.compile(end.pattern + _REST_OF_LINE)
    pattern = rf"{end.pattern}{_REST_OF_LINE}(?=\n|\Z)"
    return Marker(Kind.ORPHAN, end.text, pattern, folded=end.folded, more=more, slack=BLANKS)


def phrase(kind: Kind, text: str) -> Marker:
    """Words of prose."""
    pattern = _spelled(text)
    if not re.search(r"\w\Z", text):
        return Marker(kind, text.replace("’", "'"), pattern)
    return Marker(kind, text.replace("’", "'"), rf"{pattern}(?!\w)", more=re.compile(pattern))


def is_prose(text: str) -> bool:
    """Whether a marker reads like prose ("Here is my thought process:"): then it counts at the head only."""
    return text[:1].isalpha()


def _spelled(text: str, *, folded: bool = False) -> str:
    def spelled(char: str) -> str:
        if char in "'’":
            return "['’]"
        return f"[{char.lower()}{char.upper()}]" if folded and char.isalpha() else re.escape(char)

    return "".join(map(spelled, text))


class Hit(NamedTuple):
    """A marker found, up to ``stop``; without a marker: more text must tell."""

    marker: Marker | None
    stop: int


class MarkerSet:
    """Markers that are looked for at the same places. The longest that matches wins."""

    __slots__ = ("_full", "_reach", "markers")

    def __init__(self, markers: Iterable[Marker]) -> None:
        self.markers = tuple(sorted(markers, key=lambda marker: -len(marker.text)))
        self._reach = max((len(marker.text) + marker.slack for marker in self.markers), default=-1)
        self._full = re.compile("|".join(f"({marker.pattern})" for marker in self.markers) or "(?!)")

    def at(self, text: str, place: int, end: int, *, final: bool) -> Hit | None:
        """The marker at *place* of ``text[:end]``; *final*: no text will follow."""
        if not final and end - place <= self._reach:
            tail = text[place:end]
            if any(marker.undecided(tail) for marker in self.markers):
                return Hit(None, end)
        found = self._full.match(text, place, end)
        if found is None or found.lastindex is None:
            return None
        return Hit(self.markers[found.lastindex - 1], found.end())


class MarkerSearch:
    """Markers searched in one state: anywhere, at a sentence's or a line's start.

    ``outside_code``: markers in Markdown code are text. ``ends``: the ends of a block alone, without prose.
    """

    __slots__ = ("ends", "line", "mid", "outside_code", "sentence", "triggers")

    def __init__(
        self,
        mid: Sequence[Marker] = (),
        *,
        sentence: Sequence[Marker] = (),
        line: Sequence[Marker] = (),
        outside_code: bool = False,
    ) -> None:
        self.mid = MarkerSet(mid)
        self.sentence = MarkerSet((*mid, *sentence)) if sentence else self.mid
        # First those of a line: an end marker that stands alone on one may close a wrapper elsewhere.
        self.line = MarkerSet((*line, *mid, *sentence)) if line or sentence else self.mid
        self.ends = MarkerSet(
            marker for marker in mid if marker.kind is Kind.END and not is_prose(marker.text)
        )
        self.outside_code = outside_code
        self.triggers = _triggers(self.line.markers)

    def place(self, text: str, place: int, before: str) -> MarkerSet:
        """What counts at *place* of *text*; *before*: the last character before it that is no whitespace.

        A sentence starts after a newline, or after ``.``, ``!``, ``?`` or ``:`` and whitespace.
        """
        previous = text[place - 1] if place else ""
        if previous == "\n":
            return self.line
        if self.sentence is self.mid or not previous.isspace():
            return self.mid
        near = text[max(0, place - BLANKS) : place]
        starts = "\n" in near[len(near.rstrip()) :] or before in _SENTENCE_ENDS
        return self.sentence if starts else self.mid


def _triggers(markers: Iterable[Marker]) -> re.Pattern[str]:
    """Finds the places where one of *markers* can begin, by two characters: one alone is too common.

    The second is forbidden to be any other: the quickest way to say that it is one of some, or missing.
    """
    seconds: dict[str, set[str]] = {}
    for marker in markers:
        first, second = (_spelled(char, folded=marker.folded) for char in (marker.text[0], marker.text[1:2]))
        seconds.setdefault(first, set()).add(second.strip("[]") if len(second) > 2 else second)
    parts = [
        first if "" in rest else f"{first}(?![^{''.join(sorted(rest))}])"
        for first, rest in sorted(seconds.items())
    ]
    return re.compile("|".join(parts) or "(?!)")
