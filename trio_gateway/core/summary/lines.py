"""What a model is working out, in lines for people, taken from its reasoning while it comes.

Theory of operation: sentences are collected as they become complete. When a line is asked for, every clause
of the new sentences that can stand alone is a candidate. The line is the clause, or the few clauses of
different sentences, that carry most weight for their cost: terms that many of the new sentences share and
that earlier rounds did not have. What was told is not told again, also not in other words, and the final
result is kept back.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .answer_guard import AnswerGuard
from .clauses import clauses, shortened
from .plain_text import cut, plain
from .salience import SIMILAR_AFTER_SILENCE, TOO_SIMILAR, Told, Weights
from .sentences import KEPT, Sentence, SentenceReader
from .terms import is_cjk, terms

__all__ = ["SIZES", "Detail", "ReasoningSummary"]

Detail = Literal["concise", "auto", "detailed"]


class _Size(NamedTuple):
    width: int
    clauses: int


SIZES: dict[Detail, _Size] = {"concise": _Size(80, 2), "auto": _Size(140, 3), "detailed": _Size(300, 5)}
"""Longest line, in characters, and the most clauses it is made of."""
FIRST_LOOK = 30
LONG_LOOK = 400
"""New characters from which on a line may be worth asking for: after the end of a sentence, and without."""
DIGESTED_AT = 240
"""New characters after which complete sentences are worked up. Most of a line's work is done so before it is
asked for: the last one is asked for when the answer is about to leave."""
FEWEST_TERMS = 2
"""Less is "let me see" in other words."""
COMPARED = 12
"""Best clauses among which pairs are tried."""

_END = re.compile(r"[.!?]\s|[\n。！？]")
_CODE = "Writing code: "
_NAME = re.compile(r"[^\W\d]{3}")
# Work done is liked, a clause that leans on one before it is not; of a program there is only its first line.
_LIKED = (
    (re.compile(_CODE), 0.5),
    (re.compile(r"(?:that|this|these|those|it|they|he|she)(?:['’]s|['’]re)?\b", re.IGNORECASE), 0.8),
    (re.compile(r"[A-Z][a-z-]+ing\s|.*="), 1.1),
)


@dataclass(frozen=True, slots=True)
class _Clause:
    text: str
    terms: frozenset[str]
    sentence: int


@dataclass(frozen=True, slots=True)
class _Digested:
    """A sentence in plain words, its terms, and its clauses; none where it gives the result away."""

    text: str
    terms: list[str]
    clauses: list[_Clause]


class ReasoningSummary:
    """The extractive summary of one answer's reasoning.

    >>> summary = ReasoningSummary()
    >>> summary.feed("Okay. I need to add the two numbers first. Then")
    >>> summary.line()
    'Adding the two numbers first'
    """

    def __init__(self, *, detail: Detail = "auto") -> None:
        self._size = SIZES[detail]
        self._reader = SentenceReader()
        self._guard = AnswerGuard()
        self._weights = Weights()
        self._told = Told()
        self._digested: deque[_Digested] = deque(maxlen=KEPT)
        self._sentences = 0
        self._silent = False
        self._new = 0
        self._undigested = 0
        self._complete = False
        self._open_end = ""

    def feed(self, text: str) -> None:
        """Take reasoning as it comes, in pieces of any size."""
        start = 0
        while start < len(text):
            piece = text[start : start + DIGESTED_AT - self._undigested]
            start += len(piece)
            self._reader.feed(piece)
            self._undigested += len(piece)
            # At places that depend on the text alone, so that its pieces do not matter.
            if self._undigested == DIGESTED_AT:
                self._digest(self._reader.take())
        self._new += len(text)
        self._note_end(self._open_end + text)

    @property
    def ready(self) -> bool:
        """Whether a complete thought has probably come since a line was last asked for."""
        return self._new >= (FIRST_LOOK if self._complete else LONG_LOOK)

    def line(self) -> str | None:
        """What is new since the last line, in one line; None if nothing is worth saying."""
        self._digest(self._reader.take())
        return self._say()

    def last(self) -> str | None:
        """The last line, when the reasoning has ended: what was left incomplete counts too."""
        self._digest(self._reader.take(final=True))
        if self._digested:
            self._guard.note_value(self._digested[-1].text)
        return self._say()

    def accept(self, line: str) -> bool:
        """Take a line that somebody else wrote of what is pending, which then counts as told.

        False, and nothing changes, if it repeats what was told or gives the result away.
        """
        self._digest(self._reader.take())
        told = frozenset(terms(line))
        if self._guard.announces(line) or self._guard.tells(line) or self._told.knows(told):
            return False
        self._candidates()
        self._told.add(told)
        self._new = 0
        self._complete = False
        return True

    def restart(self) -> None:
        """Another attempt reasons anew: forget what was pending, remember what was told."""
        self._reader.clear()
        self._digested.clear()
        self._guard = AnswerGuard()
        self._new = 0
        self._undigested = 0
        self._complete = False
        self._open_end = ""

    def _note_end(self, text: str) -> None:
        """A thought is complete when something visible has followed its end, in this piece or a later one."""
        if end := _END.search(text):
            self._complete = self._complete or bool(text[end.end() :].strip())
        seen = text.rstrip()
        if "\n" in text[len(seen) :] or seen.endswith(("。", "！", "？")):
            self._open_end = "\n"
        elif seen.endswith((".", "!", "?")):
            self._open_end = "\n" if len(seen) < len(text) else "."
        else:
            self._open_end = ""

    def _digest(self, sentences: list[Sentence]) -> None:
        self._undigested = 0
        for sentence in sentences:
            text = plain(sentence.text)
            self._sentences += 1
            parts = _of_code(text) if sentence.code else clauses(text)
            if self._guard.hides(sentence.text, text):
                parts = []
            self._digested.append(
                _Digested(text, terms(text), [_clause(part, self._sentences) for part in parts])
            )

    def _say(self) -> str | None:
        self._new = 0
        self._complete = False
        chosen = self._choose(self._candidates())
        self._silent = not chosen
        for option in chosen:
            self._told.add(option.terms)
        return _joined(chosen) if chosen else None

    def _candidates(self) -> list[_Clause]:
        """The clauses of the sentences since the last line, which are done with."""
        digested = list(self._digested)
        self._digested.clear()
        self._weights.learn(sentence.terms for sentence in digested)
        # All sentences have passed the guard before any clause does: a later one may betray the result.
        return [
            clause
            for sentence in digested
            for clause in sentence.clauses
            if len(clause.terms) >= FEWEST_TERMS and not self._guard.tells(clause.text)
        ]

    def _choose(self, options: list[_Clause]) -> list[_Clause]:
        """The clauses to tell, in their order; none when all was told. The best pair is found by trying, and
        more are added one by one while that makes the line better."""
        fresh = self._fresh([option for option in options if len(option.text) <= self._size.width])
        pairs = [[one, other] for one in fresh for other in fresh if one.sentence < other.sentence]
        best = max([[one] for one in fresh] + self._fitting(pairs), key=self._value, default=[])
        while 1 < len(best) < self._size.clauses:
            more = [
                sorted([*best, one], key=_place) for one in fresh if one.sentence not in map(_place, best)
            ]
            better = max(self._fitting(more), key=self._value, default=best)
            if self._value(better) <= self._value(best):
                break
            best = better
        return best or self._shortest(self._fresh(options))

    def _shortest(self, options: list[_Clause]) -> list[_Clause]:
        """The best of those that do not fit, without its last phrases; cut off only after a silence."""
        shorter = [(option, shortened(option.text, self._size.width)) for option in options]
        if self._silent:
            shorter += [(option, cut(option.text, self._size.width)) for option in options]
        whole = (_clause(text, option.sentence) for option, text in shorter if text)
        return next(([clause] for clause in whole if not self._repeats(clause)), [])

    def _fresh(self, options: list[_Clause]) -> list[_Clause]:
        """The best options that were not told, best first."""
        fresh: list[_Clause] = []
        for option in sorted(options, key=lambda option: -self._value([option])):
            if not self._repeats(option):
                fresh.append(option)
                if len(fresh) == COMPARED:
                    break
        return fresh

    def _repeats(self, clause: _Clause) -> bool:
        return self._told.knows(clause.terms, SIMILAR_AFTER_SILENCE if self._silent else TOO_SIMILAR)

    def _fitting(self, lines: list[list[_Clause]]) -> list[list[_Clause]]:
        return [line for line in lines if len(_joined(line)) <= self._size.width]

    def _value(self, line: list[_Clause]) -> float:
        """What a line of these clauses is worth."""
        value = self._weights.value(frozenset().union(*(clause.terms for clause in line)))
        for clause in line:
            value *= next((factor for mark, factor in _LIKED if mark.match(clause.text)), 1.0)
        return value


def _clause(text: str, sentence: int) -> _Clause:
    return _Clause(text, frozenset(terms(text)), sentence)


def _of_code(line: str) -> list[str]:
    """A program is told by its first line, if that has a name in it."""
    line = line.rstrip(" {(:")
    return [_CODE + line] if _NAME.search(line) else []


def _place(clause: _Clause) -> int:
    return clause.sentence


def _joined(line: list[_Clause]) -> str:
    """Clauses as sentences, the last without its full stop."""
    parts: list[str] = []
    for clause in line:
        stop, space = ("。", "") if is_cjk(clause.text) else (".", " ")
        parts += [clause.text, "" if clause.text[-1] in "?!？！" else stop, space]
    return "".join(parts[:-2])
