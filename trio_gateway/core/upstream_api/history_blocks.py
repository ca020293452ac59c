"""History blocks: find where reasoning at the head of an earlier answer begins and ends.

What is looked for next depends on what was found, so that no character is read more than once for each kind
of block: an end that does not come any more is not looked for again.
"""

from __future__ import annotations

import re
from itertools import permutations
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Block", "LeadingBlocks"]

FARTHEST: Final = 1024 * 1024
"""Characters in which the end of a block is looked for; a longer one stays."""
MOST: Final = 32
"""Blocks that are taken away at the head of one text, where two kinds of start can stand at one place."""

_BLANK = re.compile(r"[\s\ufeff]*+")


class Block(NamedTuple):
    """One block, as places in its text."""

    inside: int
    """Where the opening marker ends."""
    inside_end: int
    """Where the closing marker begins; at the end of the text where there is none."""
    end: int | None
    """Where the closing marker ends; None: the block is open."""


class LeadingBlocks:
    """Blocks between markers at a text's head, one after another.

    A block that never ends is none, nor is one in code. ``<name>`` tags may be in any case, and the opening
    one may bear attributes.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        ends: dict[str, list[str]] = {}
        for start, end in pairs:
            if start and end and end not in ends.setdefault(start, []):
                ends[start].append(end)
        # The longest start that fits is the one; all its ends are looked for at once.
        starts = sorted(ends, key=len, reverse=True)
        self._blocks_at_head = None if _are_alike(starts) else re.compile(_run(ends), re.DOTALL)
        self._starts = [re.compile(_spelled(start)) for start in starts]
        self._any_start = re.compile("|".join(f"({_spelled(start)})" for start in starts))
        self._ends = [re.compile("|".join(map(_spelled, ends[start]))) for start in starts]

    def end(self, text: str) -> int:
        """Where the blocks at the head of *text* end, and whitespace after them; 0 where there is none."""
        if self._blocks_at_head is not None:
            return run.end() if (run := self._blocks_at_head.match(text)) else 0
        last, place = 0, _without_blanks(text, 0)
        ends = _Ends(text, self._ends)
        for _ in range(MOST):
            block = self._block(text, place, ends)
            if not block:
                break
            last = place = _without_blanks(text, block)
        return last

    def first(self, text: str) -> Block | None:
        """The block at the head of *text*, which may be open; None where there is none."""
        place, opened = _without_blanks(text, 0), None
        for start, ends in zip(self._starts, self._ends, strict=True):
            begun = start.match(text, place)
            if begun is None:
                continue
            if found := ends.search(text, begun.end(), begun.end() + FARTHEST):
                return Block(begun.end(), found.start(), found.end())
            opened = opened or Block(begun.end(), len(text), None)
        return opened

    def _block(self, text: str, place: int, ends: _Ends) -> int:
        """Where the block at *place* ends; 0 where none stands there."""
        begun = self._any_start.match(text, place)
        if begun is None or begun.lastindex is None:
            return 0
        first = begun.lastindex - 1
        if end := ends.after(begun.end(), first):
            return end
        # A shorter start may stand there too.
        for kind in range(first + 1, len(self._starts)):
            if (begun := self._starts[kind].match(text, place)) and (end := ends.after(begun.end(), kind)):
                return end
        return 0


class _Ends:
    """The ends of blocks in one text, each looked for once."""

    def __init__(self, text: str, patterns: Sequence[re.Pattern[str]]) -> None:
        self._text = text
        self._patterns = patterns
        self._known: dict[int, re.Match[str] | None] = {}

    def after(self, place: int, kind: int) -> int:
        """Where the first end of that *kind* behind *place* ends; 0 where none comes any more."""
        found = self._known.get(kind)
        if kind not in self._known or (found is not None and found.start() < place):
            found = self._known[kind] = self._patterns[kind].search(self._text, place, place + FARTHEST)
        return found.end() if found else 0


def _without_blanks(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found else place


def _are_alike(starts: Sequence[str]) -> bool:
    """Whether two of *starts* can stand at one place, so that a search for the end of one may be in vain."""
    return any(_is_like(*pair) for pair in permutations(map(str.lower, starts), 2))


def _is_like(start: str, other: str) -> bool:
    """Whether *start* can stand where *other* does. The name of a tag ends where its attributes may begin."""
    stem = start.removesuffix(">")
    return other.startswith(stem) and (stem == start or not other[len(stem) :][:1].isalnum())


def _run(ends: Mapping[str, Sequence[str]]) -> str:
    """All blocks at the head of a text at once, as a pattern."""
    blocks = (
        rf"{_spelled(start)}.{{0,{FARTHEST}}}?(?:{'|'.join(map(_spelled, its_ends))})"
        for start, its_ends in ends.items()
    )
    return rf"[\s\ufeff]*+(?:(?>{'|'.join(blocks)})[\s\ufeff]*+)++"


def _spelled(marker: str) -> str:
    """A marker as a pattern."""
    if re.fullmatch(r"<[a-zA-Z]\w*>", marker):
        return rf"(?ai:{marker[:-1]}(?:[ \t][^<>\n]{{0,64}})?>)"
    return f"(?ai:{marker})" if re.fullmatch(r"</[a-zA-Z]\w*>", marker) else re.escape(marker)
