"""What a model is working out, in lines for people, taken from its reasoning while it comes.

Theory of operation: sentences are collected as they become complete. When a line is asked for, every clause
of the new sentences that can stand alone is a candidate. The line is the clause, or the few clauses of
different sentences, that carry most weight for their cost: terms that many of the new sentences share and
that earlier rounds did not have. What was told is not told again, also not in other words, and the final
result is kept back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .answer_guard import AnswerGuard
from .clauses import clauses, shortened
from .plain_text import cut, plain
from .salience import Told, Weights
from .sentences import Sentence, SentenceReader
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
        self._silent = False
        self._new = 0
        self._complete = False
        self._open_end = ""

    def feed(self, text: str) -> None:
        """Take reasoning as it comes, in pieces of any size."""
        self._reader.feed(text)
        self._new += len(text)
        self._note_end(self._open_end + text)

    @property
    def ready(self) -> bool:
        """Whether a complete thought has probably come since a line was last asked for."""
        return self._new >= (FIRST_LOOK if self._complete else LONG_LOOK)

    def line(self) -> str | None:
        """What is new since the last line, in one line; None if nothing is worth saying."""
        return self._say(self._reader.take())

    def last(self) -> str | None:
        """The last line, when the reasoning has ended: what was left incomplete counts too."""
        sentences = self._reader.take(final=True)
        for sentence in sentences[-1:]:
            self._guard.note_value(plain(sentence.text))
        return self._say(sentences)

    def accept(self, line: str) -> bool:
        """Take a line that somebody else wrote of what is pending, which then counts as told.

        False, and nothing changes, if it repeats what was told or gives the result away.
        """
        told = frozenset(terms(line))
        if self._guard.tells(line) or self._told.knows(told):
            return False
        self._candidates(self._reader.take())
        self._told.add(told)
        self._new = 0
        self._complete = False
        return True

    def restart(self) -> None:
        """Another attempt reasons anew: forget what was pending, remember what was told."""
        self._reader.clear()
        self._guard = AnswerGuard()
        self._new = 0
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

    def _say(self, sentences: list[Sentence]) -> str | None:
        self._new = 0
        self._complete = False
        chosen = self._choose(self._candidates(sentences))
        self._silent = not chosen
        for option in chosen:
            self._told.add(option.terms)
        return _joined(chosen) if chosen else None

    def _candidates(self, sentences: list[Sentence]) -> list[_Clause]:
        texts = [plain(sentence.text) for sentence in sentences]
        self._weights.learn(terms(text) for text in texts)
        # All sentences pass the guard before any clause does: the result may be betrayed by a later one.
        hidden = [
            self._guard.hides(sentence.text, text) for sentence, text in zip(sentences, texts, strict=True)
        ]
        found = [
            _clause(text, at)
            for at, whole in enumerate(texts)
            if not hidden[at]
            for text in (_of_code(whole) if sentences[at].code else clauses(whole))
            if not self._guard.tells(text)
        ]
        return [clause for clause in found if len(clause.terms) >= FEWEST_TERMS]

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
        return next(([clause] for clause in whole if not self._told.knows(clause.terms)), [])

    def _fresh(self, options: list[_Clause]) -> list[_Clause]:
        """The best options that were not told, best first."""
        fresh: list[_Clause] = []
        for option in sorted(options, key=lambda option: -self._value([option])):
            if not self._told.knows(option.terms):
                fresh.append(option)
                if len(fresh) == COMPARED:
                    break
        return fresh

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
