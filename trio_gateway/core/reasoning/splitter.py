"""Splitting one answer's text into reasoning and output, as it arrives.

Theory of operation
-------------------
The splitter is always in one state, which says what the text is just now and what may end that:

HEAD       only whitespace so far; awaited: a start marker, a wrapper, prose that opens reasoning, or text
           (after reasoning in a field of its own: a start marker, an end that is left over, or text)
ASSUMED    as HEAD, but the prompt has opened a block; awaited: an echo of its start marker, or text
OUTPUT     the answer; awaited: a start marker or a wrapper at the start of a line, or what closes a wrapper
GAP        after a marker, back in the answer; whitespace is dropped; awaited: a marker, or text
           (after the end of a block: the same end once more as well, which is dropped)
BLOCK      after a start marker; whitespace and the label are dropped; awaited: text
REASONING  in a block; awaited: an end paired with its start, an inner start, or a tool call
NESTED     after an end that an inner start may have; awaited: another end, or the end of the hold
PRESUMED   text that other answers make likely to be reasoning; awaited: as in OUTPUT
PROSE      reasoning in prose, a guess; awaited: words that end it, or a tag, which beats the guess
CANDIDATE  after such words; awaited: words that take them back, or the end of the hold
CALL       the arguments of a harmony tool call; awaited: the next token of the format

A call looks for the places where an awaited marker can begin (one regular expression), asks there whether
one does (a lexicon), and gives what comes before it. Three things are held back for the next call: what may
yet become a marker; whitespace before it (at most 64 characters; whitespace that touches a marker belongs to
it); and in CANDIDATE and NESTED what is in doubt. Everything else leaves at once. So nothing is decided
twice, and the split does not depend on how the text was cut. Where no marker can begin in the text and no
whitespace ends it, ``feed`` does no more than wrap it.

A marker in the text is a guess: it may be an answer about markers. So the text of an open block is
kept (up to 1 MiB), and may become output after all.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from ..config import ModelConfig
from .codespans import CodeTracker
from .grammar import grammar_after, grammar_of
from .harmony import Channel, read_header
from .markers import BLANKS, Hit, Kind, MarkerSearch, MarkerSet
from .nesting import InnerStarts, NestedEnd
from .piece_buffer import PieceBuffer
from .pieces import Output, Piece, Reasoning, Reclassified, ToolCall
from .prose import CONFIRMED, ProseEndCandidate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..budgets.held_bytes import Holding

__all__ = [
    "Output",
    "Piece",
    "Reasoning",
    "ReasoningSplitter",
    "Reclassified",
    "ToolCall",
    "starts_in_reasoning",
]

UNWRAPPED: Final = 8 * 1024
"""Characters at either end of a block in which wrappers are looked for when it becomes output."""

_BLANK = re.compile(r"\s*")
_BLANK_OR_BOM = re.compile(r"[\s\ufeff]*")
_EMPHASIS = re.compile(rf"[\s*_]{{0,{BLANKS}}}")
_ANYTHING = re.compile("")
_NOTHING: Final = MarkerSearch()


class SplitterState(Enum):
    """Described at the top of the file."""

    HEAD = auto()
    ASSUMED = auto()
    OUTPUT = auto()
    GAP = auto()
    BLOCK = auto()
    REASONING = auto()
    NESTED = auto()
    PRESUMED = auto()
    PROSE = auto()
    CANDIDATE = auto()
    CALL = auto()


_IN_BLOCK: Final = (SplitterState.ASSUMED, SplitterState.BLOCK, SplitterState.REASONING)
_IN_PROSE: Final = (SplitterState.PROSE, SplitterState.CANDIDATE)
_STEADY: Final = (
    SplitterState.OUTPUT,
    SplitterState.REASONING,
    SplitterState.PRESUMED,
    SplitterState.PROSE,
    SplitterState.CALL,
)


def starts_in_reasoning(model: ModelConfig, *, thinking: bool | None) -> bool:
    """Whether the answer to a request begins inside reasoning.

    *thinking* is what the request wants by ``enable_thinking``, ``thinking`` or ``reasoning_effort: none``;
    ``None``: nothing. Where it was switched off no block is open; a model with ``"when_thinking"`` opens one
    only where it was switched on.
    """
    if thinking is False:
        return False
    if model.starts_in_reasoning == "when_thinking":
        return thinking is True
    return model.starts_in_reasoning


class ReasoningSplitter:
    """Splits the text of one choice.

    *starts_in_reasoning*: the prompt has opened a block (see the function of this name).

    *presumed*: other answers make it likely that the prompt has opened a block, so text is given as
    reasoning. An end marker without a start, alone on its line, confirms it. Without one the text is output
    in the end, and any other marker is met as if nothing had been presumed.

    *whole*: the answer is not streamed, so output need not leave before it is certain. It is given when a
    block opens or at the end; if an end marker without a start stands alone on a line before, it was
    reasoning. In a streamed answer such a marker is only dropped, and counted in ``orphans``.

    *room*: what the text of an open block may take of the memory that its stream may hold; without, it is
    alone in its stream.

    >>> splitter = ReasoningSplitter(ModelConfig(markers=(("<think>", "</think>"),)))
    >>> splitter.feed("<think>2 + 2</th"), splitter.feed("ink> 4"), splitter.finish("stop")
    ([Reasoning(text='2 + 2')], [Output(text='4')], [])
    """

    _state: SplitterState
    _scan: MarkerSearch
    """What is looked for in this state."""
    _flow: Callable[[str], None]
    """Where text goes in this state."""
    _trigger: Callable[[str], re.Match[str] | None]
    """Whether anything is looked for that can begin in the text."""
    _doubt: ProseEndCandidate
    """In CANDIDATE."""
    _end: NestedEnd
    """In NESTED."""

    def __init__(
        self,
        model: ModelConfig,
        *,
        starts_in_reasoning: bool = False,
        presumed: bool = False,
        whole: bool = False,
        room: Holding | None = None,
    ) -> None:
        self.orphans = 0
        """End markers that no start preceded, dropped: at most one, or those at the head beside a field."""
        self.divided = False
        """Text stands before such a marker and after it."""
        self.promoted = False
        """The answer ended in a block that was left open, so that this became output."""
        self._model = model
        self._grammar = grammar_of(model)
        self._account = PieceBuffer(keep_output=whole and not starts_in_reasoning, room=room)
        self._code = CodeTracker()
        self._held = ""  # the text under consideration; the next begins after it
        self._presumed = presumed and not (starts_in_reasoning or whole)
        self._structured = False  # reasoning has a field of its own, so that markers count at the head only
        self._follows_text = False  # the orphan has text before it
        self._started = starts_in_reasoning  # a start marker was seen, so that no end is an orphan any more
        self._wrapped: frozenset[str] = frozenset()  # what closes the wrappers that are open
        self._block = self._grammar.any_block  # what ends the block
        self._surplus = _NOTHING.ends  # in the gap behind a block: its ends, one too many
        self._inner = InnerStarts()
        self._label = ""  # text that may follow its start marker, to be dropped
        self._last = ""  # in prose, the last character given that is no whitespace
        if starts_in_reasoning:
            self._account.open_block("")
        self._enter(SplitterState.ASSUMED if starts_in_reasoning else SplitterState.HEAD, _NOTHING)

    def feed(self, text: str) -> list[Piece]:
        """Take the next delta of text; gives what it made certain."""
        if self._held:
            text, self._held = self._held + text, ""
        found = self._trigger(text)
        if found is None and text and not text[-1].isspace():
            pieces = self._account.begin()
            self._flow(text)
            return pieces
        return self._run(text, final=False, first=found.start() if found else len(text))

    def structured(self) -> list[Piece]:
        """A field of its own brought reasoning: text is output from here on, what was held back too.

        Only at the head of the output are blocks split off all the same: there the server has left them.
        """
        pieces = self._account.begin()
        if self._state is SplitterState.NESTED:
            pieces = self._run(self._take_held(), final=True)
        was_open = self._state in _IN_BLOCK
        if self._state in (*_IN_PROSE, SplitterState.PRESUMED):
            self._promote()
        elif was_open:
            self._account.close_block()
            self._account.part()
        self._account.release()
        self._presumed, self._structured, self._wrapped = False, True, frozenset()
        if not self._account.spoken:
            self._account.reasoned = True  # what a block adds to it is joined by a newline
            self._enter(
                SplitterState.HEAD, self._grammar.beside_open if was_open else self._grammar.beside_field
            )
            return pieces
        self._enter(SplitterState.OUTPUT, _NOTHING)
        if held := self._take_held():
            self._flow(held)
        return pieces

    def end_reasoning(self) -> list[Piece]:
        """A tool call came beside the text: open reasoning ends, and words that may have ended it did."""
        self._presumed = False
        if self._state is SplitterState.PRESUMED:
            pieces = self._account.begin()
            self._unpresume()
            return pieces
        if self._state not in (*_IN_BLOCK, *_IN_PROSE, SplitterState.NESTED):
            return []
        pieces = self._run(self._take_held(), final=True)
        if self._state in (*_IN_BLOCK, *_IN_PROSE):
            self._leave()
        return pieces

    def finish(self, finish_reason: str | None) -> list[Piece]:
        """The text is over: gives all that was held back, and says whether an open block was one.

        Where the model stopped of its own accord (``stop``) in an open block, there was no block: that is
        output, with its start marker if other output or reasoning in a field came before it. Cut off for any
        other reason it stays reasoning. Prose that nothing ended, and what was only presumed to be reasoning,
        is output always.
        """
        pieces = self._run(self._take_held(), final=True)
        if (self._state in _IN_BLOCK and finish_reason == "stop") or self._state is SplitterState.PRESUMED:
            self.promoted = self._promote()
        elif self._state in _IN_PROSE:
            self._promote()
        self._account.release()
        return pieces

    @property
    def spoken(self) -> bool:
        """Output came that is not only whitespace, even if it is held back."""
        return self._account.spoken

    def close(self) -> None:
        """Nothing more is asked of it: give the room back."""
        self._account.close_block()
        self._flow = self._account.speak  # not a method of its own: it would keep itself

    def _take_held(self) -> str:
        held, self._held = self._held, ""
        return held

    def _enter(self, state: SplitterState, scan: MarkerSearch) -> None:
        self._state = state
        self._scan = scan
        self._flow = self._account.speak
        match state:
            case SplitterState.OUTPUT if scan.outside_code:
                self._flow = self._emit_output
            case SplitterState.ASSUMED | SplitterState.BLOCK | SplitterState.REASONING | SplitterState.NESTED:
                self._flow = self._account.think
            case SplitterState.PRESUMED:
                self._flow = self._presume
            case SplitterState.PROSE | SplitterState.CANDIDATE:
                self._flow = self._emit_prose
            case SplitterState.CALL:
                self._flow = self._account.call
            case _:
                pass
        self._trigger = (scan.triggers if state in _STEADY else _ANYTHING).search

    def _emit_output(self, text: str) -> None:
        self._code.add(text)
        self._account.speak(text)

    def _presume(self, text: str) -> None:
        self._code.add(text)
        if self._account.room(len(text)):
            self._account.think(text)
        else:  # what cannot become output any more must not be held back on a presumption
            self._unpresume()
            self._account.speak(text)

    def _unpresume(self) -> None:
        """What was presumed to be reasoning is output, and what comes is read as output."""
        self._promote()
        self._enter(SplitterState.OUTPUT, self._scan)

    def _emit_prose(self, text: str) -> None:
        self._code.add(text)
        self._last = text.rstrip()[-1:] or self._last
        self._account.think(text)

    def _run(self, text: str, *, final: bool, first: int = 0) -> list[Piece]:
        """Go through *text*, state after state. Each gives what it can and says how far it came; what it must
        hold back it leaves in ``_held``, and is through. *first*: where this state's first trigger is."""
        pieces = self._account.begin()
        at = 0
        while at < len(text):
            match self._state:
                case SplitterState.HEAD | SplitterState.ASSUMED:
                    at = self._at_head(text, at, final=final)
                case SplitterState.GAP:
                    at = self._in_gap(text, at, final=final)
                case SplitterState.BLOCK:
                    at = self._at_block(text, at, final=final)
                case SplitterState.CANDIDATE:
                    at = self._in_doubt(text, at, final=final)
                case SplitterState.NESTED:
                    at = self._at_nested_end(text, at, final=final)
                case _:  # OUTPUT, REASONING, PRESUMED, PROSE, CALL
                    at = self._in_text(text, at, first, final=final)
            first = 0
        return pieces

    def _at_head(self, text: str, at: int, *, final: bool) -> int:
        at_head = self._state is SplitterState.HEAD
        place = _end(_BLANK_OR_BOM, text, at)
        lexicon = self._grammar.head if at_head else self._grammar.echo
        if self._structured:
            lexicon = self._scan.line
        hit = lexicon.at(text, place, len(text), final=final)
        if hit is None and at_head and not self._structured:
            hit = self._grammar.prose_head.at(text, _end(_EMPHASIS, text, place), len(text), final=final)
        if hit is not None:
            if place - at > BLANKS:
                self._flow(text[at : place - BLANKS])
            return self._on_marker(hit, text, max(at, place - BLANKS), place)
        if at_head and self._presumed:
            self._account.open_block("")
            self._enter(SplitterState.PRESUMED, self._output_scan())
        elif at_head:
            self._begin_output()
        else:
            self._enter(SplitterState.REASONING, self._block)
        return at

    def _in_gap(self, text: str, at: int, *, final: bool) -> int:
        place = _end(_BLANK, text, at)
        if place == len(text):
            return place
        hit = self._surplus.at(text, place, len(text), final=final)
        if hit is None:
            hit = self._scan.line.at(text, place, len(text), final=final)
        if hit is not None:
            return self._on_marker(hit, text, place, place)
        self.divided = self._follows_text
        self._begin_output()
        return place

    def _at_block(self, text: str, at: int, *, final: bool) -> int:
        place = _end(_BLANK, text, at)
        self._account.skip(text[at:place])
        if place == len(text):
            return place
        label, self._label = self._label, ""
        found = text[place : place + len(label)]
        if label and found == label:
            self._account.skip(label)
            return place + len(label)
        if not final and label.startswith(found) and place + len(found) == len(text):
            self._label, self._held = label, found
            return len(text)
        self._enter(SplitterState.REASONING, self._block)
        return place

    def _in_text(self, text: str, at: int, first: int, *, final: bool) -> int:
        scan, end = self._scan, len(text)
        before, read = self._last, at
        for trigger in scan.triggers.finditer(text, max(at, first)):
            place = trigger.start()
            before, read = text[read:place].rstrip()[-1:] or before, place
            hit = scan.place(text, place, before).at(text, place, end, final=final)
            if hit is None:
                continue
            at = self._emit_upto(text, at, place)
            if scan.outside_code and self._code.inside(text[at:place]):
                continue
            return self._on_marker(hit, text, at, place)
        if final or not scan.line.markers:
            self._flow(text[at:])
        else:
            self._held = text[self._emit_upto(text, at, end) :]
        return end

    def _in_doubt(self, text: str, at: int, *, final: bool) -> int:
        verdict = self._doubt.weigh(text, at, final=final)
        if verdict is None:
            self._held = text[at:]
            return len(text)
        if verdict == CONFIRMED:
            self._account.close_block()
            self._enter(SplitterState.OUTPUT, self._output_scan())
            return at  # the words are read again, as output
        self._enter(SplitterState.PROSE, self._grammar.prose)
        return self._emit_upto(text, at, verdict)

    def _at_nested_end(self, text: str, at: int, *, final: bool) -> int:
        is_nested = self._end.is_nested(text, at, final=final)
        if is_nested is None:
            self._held = text[at:]
            return len(text)
        stop = at + self._end.length
        if is_nested:
            self._inner.close()
            self._flow(text[at:stop])
            self._enter(SplitterState.REASONING, self._block)
        else:
            self._leave(self._block.ends)
        return stop

    def _on_marker(self, hit: Hit, text: str, at: int, place: int) -> int:
        """A marker stands at *place*, where it counts; whitespace that touches it begins at *at*."""
        marker, stop = hit
        if marker is None:
            self._held = text[at:]
            return len(text)
        if self._state is SplitterState.PRESUMED and marker.kind is not Kind.ORPHAN:
            self._unpresume()
        match marker.kind:
            case Kind.START if self._state is SplitterState.REASONING:
                if self._account.has_block_text:  # else it repeats the start of its block
                    self._inner.add(at_line="\n" in text[at:place])
                self._flow(text[at:stop])
            case Kind.END if self._inner and self._state is SplitterState.REASONING:
                begins_line = "\n" in text[at:place]
                self._end = NestedEnd(self._block, self._inner, stop - at, begins_line=begins_line)
                self._enter(SplitterState.NESTED, _NOTHING)
                return at
            case Kind.START:
                if self._state is SplitterState.PROSE:
                    self._promote()
                self._started = True
                self._label = self._model.label.lstrip()
                self._open(text[at:stop], self._grammar.blocks[marker.text])
            case Kind.HEADER:
                self._read_header(text[at:stop])
            case Kind.PROSE_START:
                self._account.open_block("")
                self._enter(SplitterState.PROSE, self._grammar.prose)
                self._flow(text[at:stop])
            case Kind.PROSE_END:
                self._flow(text[at:place])
                self._doubt = ProseEndCandidate(
                    self._grammar.candidate, stop - place + self._model.prose_hold
                )
                self._enter(SplitterState.CANDIDATE, _NOTHING)
                return place
            case Kind.TOOL:
                self._leave()
                return place
            case Kind.ORPHAN:
                self.orphans += 1
                self._follows_text = not self._structured and (self._account.spoken or self._account.reasoned)
                self._account.recast()
                self._leave(_NOTHING.ends if self._structured else self._grammar.any_block.ends)
            case Kind.OPEN:
                self._wrapped |= {self._grammar.closers[marker.text]}
                self._leave()
            case Kind.END:
                self._wrapped -= {marker.text}
                self._leave(self._block.ends)
            case _:  # CLOSE, CONTROL; a CUE is met in doubt only
                self._wrapped -= {marker.text}
                self._leave()
        return stop

    def _read_header(self, header: str) -> None:
        channel, name = read_header(header)
        self._grammar = grammar_after(header)
        match channel:
            case Channel.REASONING:
                self._open(header, self._grammar.any_block)
            case Channel.TOOL:
                self._account.open_call(name)
                self._enter(SplitterState.CALL, self._grammar.any_block)
            case _:
                self._leave()

    def _open(self, opener: str, ends: MarkerSearch) -> None:
        self._block = ends
        self._inner = InnerStarts()
        self._account.open_block(opener)
        self._enter(SplitterState.BLOCK, _NOTHING)

    def _leave(self, surplus: MarkerSet = _NOTHING.ends) -> None:
        """A marker is over, and any block with it. *surplus*: the ends that may follow, one too many: a model
        that repeats the start of a block within it ends the block as often."""
        self._surplus = surplus
        self._account.close_block()
        self._account.part()
        self._code = CodeTracker()
        self._enter(SplitterState.GAP, self._output_scan())

    def _begin_output(self) -> None:
        # Beside reasoning in a field of its own, what stands in the answer itself is quoted.
        self._enter(SplitterState.OUTPUT, _NOTHING if self._structured else self._output_scan())

    def _output_scan(self) -> MarkerSearch:
        if self._structured:
            return self._grammar.beside_field
        return self._grammar.output(orphans=not (self._started or self.orphans), wrapped=self._wrapped)

    def _emit_upto(self, text: str, at: int, place: int) -> int:
        """Give the text up to *place*, but no whitespace that may touch a marker there; how far that is."""
        if given := _without_blanks(text[at:place]):
            self._flow(given)
        return at + len(given)

    def _promote(self) -> bool:
        promotion = self._account.reclaim(with_start=self._structured)
        if promotion is None:
            return False
        self._account.promote(Reclassified(self._unwrapped(promotion.text), promotion.given))
        return True

    def _unwrapped(self, text: str) -> str:
        """*text*, taken for reasoning until now, without what output does not show. Of a long one only the
        ends are looked at: there the wrappers are, and the answer must not wait."""
        if not (self._model.wrappers or self._wrapped):
            return text
        splitter = ReasoningSplitter(ModelConfig(wrappers=self._model.wrappers))
        splitter._wrapped = self._wrapped
        tail = max(UNWRAPPED, len(text) - UNWRAPPED)
        pieces = splitter.feed(text[:UNWRAPPED])
        if tail > UNWRAPPED:
            pieces += splitter._pass(text[UNWRAPPED:tail])
        pieces += [*splitter.feed(text[tail:]), *splitter.finish(None)]
        return "".join(piece.text for piece in pieces if isinstance(piece, Output))

    def _pass(self, text: str) -> list[Piece]:
        """Give *text* as output, whatever it holds."""
        pieces = self._account.begin()
        self._account.speak(self._take_held() + text)
        self._code = CodeTracker()
        self._enter(SplitterState.OUTPUT, self._output_scan())
        return pieces


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where *pattern*, which matches everywhere, ends when it begins at *at*."""
    return next(pattern.finditer(text, at)).end()


def _without_blanks(text: str) -> str:
    """*text* without the whitespace at its end that belongs to a marker after it."""
    return text[: max(len(text.rstrip()), len(text) - BLANKS)]
