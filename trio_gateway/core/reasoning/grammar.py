"""Grammar: compiles a model's markers for each state of the splitter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..config import ModelConfig
from ..config.families import HEAD_MARKERS, declares_markers
from .harmony import HARMONY, HEADER, STRIPPED, STRIPPED_HEAD
from .markers import Kind, Marker, MarkerSearch, MarkerSet, is_prose, orphan, phrase, tag
from .prose import CUES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Grammar", "grammar_after", "grammar_of"]


class Grammar:
    """The markers of one model, compiled.

    The text of a marker, as here, is that of :class:`Marker`.
    """

    echo: MarkerSet
    """At the head of a text that begins in reasoning: a start marker all the same."""
    head: MarkerSet
    """At the head of any other text."""
    prose_head: MarkerSet
    """There too, after emphasis."""
    beside_field: MarkerSearch
    """At the head of text beside reasoning in a field of its own: blocks, and an end that is left over."""
    beside_open: MarkerSearch
    """The same where a block was open when the field came: its end may stand before other text."""
    any_block: MarkerSearch
    """Inside a block that the prompt opened: any end, and inner starts."""
    blocks: dict[str, MarkerSearch]
    """Inside a block, by its start: the ends paired with it, and inner starts that have the same ends."""
    prose: MarkerSearch
    """Inside prose."""
    candidate: MarkerSearch
    """After words that may have ended it; outside code, which is minded there."""
    closers: dict[str, str]
    """What closes a wrapper, by what opens it."""

    def __init__(self, model: ModelConfig) -> None:
        pairs = [pair for pair in model.markers if all(pair)]
        own = {_text(start) for start, _ in pairs}
        more = () if declares_markers(model) else HEAD_MARKERS
        at_head = [pair for pair in more if pair[0] not in own]
        starts = [tag(Kind.START, text, attributes=True) for text in _unique(start for start, _ in pairs)]
        ends = _unique(end for _, end in pairs)
        tools = [tag(Kind.TOOL, text, attributes=True) for text in _unique(model.tool_markers)]
        self._starts = [start for start in starts if not is_prose(start.text)]
        self._orphans = [orphan(end) for end in ends if not is_prose(end)]
        openers = _unique(opener for opener, _ in model.wrappers)
        self._openers = [tag(Kind.OPEN, text, attributes=True) for text in openers]
        self.closers = {_text(opener): _text(closer) for opener, closer in model.wrappers if opener}
        self._lone_closers = {_text(closer) for opener, closer in model.wrappers if not opener}
        self._outputs: dict[tuple[bool, frozenset[str]], MarkerSearch] = {}

        heads = [*starts, *(tag(Kind.START, start, attributes=True) for start, _ in at_head)]
        end_tags = [tag(Kind.END, end) for end in _unique([*ends, *(end for _, end in at_head)])]
        self.beside_field = MarkerSearch(line=[*heads, *map(orphan, (end.text for end in end_tags))])
        self.beside_open = MarkerSearch(line=[*heads, *end_tags])
        if pairs or more:  # an entry with no markers has chosen to see everything
            heads.append(HEADER)
        self.echo = MarkerSet(heads)
        self.head = MarkerSet([*heads, *self._orphans, *self._openers, *self._closing(self._lone_closers)])
        self.prose_head = MarkerSet(phrase(Kind.PROSE_START, text) for text in _unique(model.prose_starts))
        known = [*pairs, *at_head]
        self.any_block = _block(ends, tools, known)
        paired = {start.text: [end for text, end in pairs if _text(text) == start.text] for start in starts}
        self.blocks = {start: _block(ends, tools, known) for start, ends in paired.items()}
        self.blocks |= {start: _block([end], tools, known) for start, end in at_head}
        tags = [*self._orphans, *self._starts]
        prose_ends = [phrase(Kind.PROSE_END, text) for text in _unique(model.prose_ends)]
        cues = [phrase(Kind.CUE, cue) for cue in CUES]
        self.prose = MarkerSearch(tools, sentence=prose_ends, line=tags, outside_code=True)
        self.candidate = MarkerSearch(tools, sentence=cues, line=tags)

    def output(self, *, orphans: bool, wrapped: frozenset[str]) -> MarkerSearch:
        """In output: whether *orphans* count, and the closers of the wrappers that are open."""
        key = (orphans, wrapped)
        if key not in self._outputs:
            line = [*(self._orphans if orphans else ()), *self._starts, *self._openers]
            closers = self._closing(self._lone_closers | wrapped)
            self._outputs[key] = MarkerSearch(closers, line=line, outside_code=True)
        return self._outputs[key]

    def _closing(self, closers: Iterable[str]) -> list[Marker]:
        return [tag(Kind.CLOSE, text) for text in sorted(closers) if text]


class _Harmony(Grammar):
    """Grammar of the channel format; tags count at its head only."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(ModelConfig(family=model.family, markers=model.markers))
        self.head = MarkerSet([*self.head.markers, *HARMONY.line.markers, STRIPPED_HEAD])
        self.any_block = HARMONY

    def output(self, *, orphans: bool, wrapped: frozenset[str]) -> MarkerSearch:
        return HARMONY


class _Stripped(Grammar):
    """The channel format without its tokens, until the channel ``final``."""

    def __init__(self) -> None:
        super().__init__(ModelConfig())
        self.any_block = STRIPPED

    def output(self, *, orphans: bool, wrapped: frozenset[str]) -> MarkerSearch:
        return STRIPPED


class _Final(Grammar):
    """Text in which nothing is a marker any more."""

    def __init__(self) -> None:
        super().__init__(ModelConfig())

    def output(self, *, orphans: bool, wrapped: frozenset[str]) -> MarkerSearch:
        return _NOTHING


_NOTHING = MarkerSearch()


@lru_cache(maxsize=256)
def grammar_of(model: ModelConfig) -> Grammar:
    """The grammar of *model*; kept, as compiling it takes some milliseconds."""
    return _Harmony(model) if model.dialect == "harmony" else Grammar(model)


@lru_cache(maxsize=1)
def _harmonies() -> tuple[Grammar, Grammar, Grammar]:
    return _Harmony(ModelConfig()), _Stripped(), _Final()


def grammar_after(header: str) -> Grammar:
    """The grammar of what follows a harmony *header*, with its tokens or without them."""
    harmony, stripped, final = _harmonies()
    if "<|" in header:
        return harmony
    return final if header.endswith("final") else stripped


def _unique(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]


def _text(marker: str) -> str:
    return tag(Kind.START, marker).text


def _block(ends: Sequence[str], tools: list[Marker], pairs: Iterable[tuple[str, str]]) -> MarkerSearch:
    starts = _unique(start for start, end in pairs if end in ends and not is_prose(start))
    inner = (tag(Kind.START, start, attributes=True) for start in starts)
    return MarkerSearch([*(tag(Kind.END, end) for end in _unique(ends)), *inner, *tools])
