"""Markdown blocks: separate what no later text can change from the rest.

Text in, blocks out; pure. A fenced block of code is given line by line: nothing that follows changes a line.
Everything else is final once the next block has begun. Decided is by complete lines alone, since half a line
may still become the start of another kind of block.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["Block", "BlockReader", "Code", "Prose"]

# Characters. A longer block is cut, or to set it again and again would take all the time there is.
MAX_BLOCK = 16_384
_SLICE = 4096


@dataclass(frozen=True, slots=True)
class Prose:
    """Markdown without fenced code at its top level: one block or several."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Block reader: returns blocks that are final, each once and in order.

    *opens*: the block's fence, with an empty text.
    """

    language: str
    text: str
    opens: bool = False


Block: TypeAlias = Prose | Code


@dataclass(frozen=True, slots=True)
class _Fence:
    language: str
    indent: int
    marks: str

    def ends_with(self, line: str) -> bool:
        """Whether *line* is the end of the code: as many marks as began it, or more, and nothing else."""
        marks = line.strip(" \t")
        indent = len(line) - len(line.lstrip(" "))
        return indent < 4 and len(marks) >= len(self.marks) and set(marks) == set(self.marks)


class BlockReader:
    """Reader of text as it comes: returns the blocks that are final, each once."""

    def __init__(self, parser: MarkdownIt) -> None:
        self._parser = parser
        self._tail = ""
        self._fence: _Fence | None = None

    @property
    def rest(self) -> list[Block]:
        """What came since the last final block: it may still change."""
        if self._fence is None:
            return [Prose(self._tail)] if self._tail.strip() else []
        # A line of fence marks alone may be the end of the code: it waits for its line break.
        waits = not self._tail.strip(" `~")
        return [] if waits else [self._line(self._fence, self._tail)]

    def feed(self, text: str) -> list[Block]:
        final: list[Block] = []
        for start in range(0, len(text), _SLICE):
            self._tail += text[start : start + _SLICE]
            if "\n" in text[start : start + _SLICE] or len(self._tail) > MAX_BLOCK:
                final += self._settle()
        return final

    def finish(self) -> list[Block]:
        """The text is over: what is left is final too."""
        final = self.feed("" if self._tail.endswith("\n") else "\n") + self.rest
        self._tail, self._fence = "", None
        return final

    def _settle(self) -> Iterator[Block]:
        more = True
        while more:
            if self._fence is None:
                more = yield from self._settle_prose()
            else:
                more = yield from self._settle_code(self._fence)
        while len(self._tail) > MAX_BLOCK:
            cut = self._tail.rfind("\n", 0, MAX_BLOCK) + 1 or MAX_BLOCK
            yield from self._cut(cut)

    def _settle_prose(self) -> Generator[Block, None, bool]:
        complete = self._tail[: self._tail.rfind("\n") + 1]
        tops = [token for token in self._parser.parse(complete) if token.level == 0 and token.map]
        fence = next((token for token in tops if token.type == "fence"), None)
        last = fence or (tops[-1] if tops else None)
        if last is None or last.map is None:
            return False
        starts = [token.map[0] for token in tops[: tops.index(last) + 1] if token.map]
        for count in (after - before for before, after in pairwise((0, *starts))):
            yield from self._cut(_offset(self._tail, count))
        if fence is None:
            return False
        opening, _, self._tail = self._tail.partition("\n")
        self._fence = _fence(fence, opening)
        yield Code(self._fence.language, "", opens=True)
        return True

    def _settle_code(self, fence: _Fence) -> Generator[Block, None, bool]:
        while "\n" in self._tail:
            line, _, self._tail = self._tail.partition("\n")
            if fence.ends_with(line):
                self._fence = None
                return True
            yield self._line(fence, line)
        return False

    def _cut(self, end: int) -> Iterator[Block]:
        text, self._tail = self._tail[:end], self._tail[end:]
        if self._fence is not None:
            yield self._line(self._fence, text)
        elif text.strip():
            yield Prose(text)

    def _line(self, fence: _Fence, line: str) -> Code:
        blanks = len(line) - len(line.lstrip(" "))
        return Code(fence.language, line[min(blanks, fence.indent) :])


def _offset(text: str, line: int) -> int:
    at = 0
    for _ in range(line):
        at = text.index("\n", at) + 1
    return at


def _fence(token: Token, opening: str) -> _Fence:
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    return _Fence(language, len(opening) - len(opening.lstrip(" ")), token.markup)
