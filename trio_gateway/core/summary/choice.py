"""ClauseChoice: selects the clauses of a line by weight, cost and novelty.

*late* means here that the reader has been waiting: what was shown in part, but not in nearly the same words,
may then be shown.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from .clauses import cut_short, shortened
from .computations import is_computation
from .folding import AnyCase
from .signs import MOST_SIGNS, signs
from .steps import Effort
from .terms import is_cjk, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .salience import ShownClauses, Weights
    from .steps import Steps

__all__ = ["CODE", "COMPARED", "SIZES", "Clause", "ClauseChoice", "Detail", "joined"]

Detail = Literal["concise", "auto", "detailed"]


class _Size(NamedTuple):
    width: int
    clauses: int


SIZES: dict[Detail, _Size] = {"concise": _Size(80, 2), "auto": _Size(140, 3), "detailed": _Size(300, 5)}
"""Longest line, in characters, and the most clauses it is made of."""
FEWEST_TERMS = 2
"""Less is "let me see" in other words."""
COMPARED = 20
"""Best clauses among which pairs are tried."""
PAIR = 10
"""The effort of trying a pair."""
ROUNDED = 1 + 1e-9
"""By what a value may be wrong."""
TRIED = 96
"""Best clauses that are compared with those that were shown."""
CODE = "Writing code: "

_LEANS_BACK = AnyCase(re.compile(r"(?:that|this|these|those|it|they|he|she)(?:['’]s|['’]re)?\b"))
_WORK_DONE = re.compile(r"[A-Z][a-z-]+ing\s")


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence that can stand alone.

    A *fragment* is a sentence that lacks a verb.
    """

    text: str
    terms: frozenset[str]
    sentence: int
    fragment: bool = False


class ClauseChoice:
    """Chooses among the clauses of one reasoning, by what its *weights* and *shown* have become."""

    def __init__(self, detail: Detail, weights: Weights, shown: ShownClauses) -> None:
        self._size = SIZES[detail]
        self._weights = weights
        self._shown = shown

    def best(
        self, options: Sequence[Clause], *, late: bool = False, compared: int = COMPARED
    ) -> Steps[list[Clause]]:
        """The clauses to show, in their order; none when all was shown. The best pair is found by trying,
        among so many clauses as are *compared*, and more are added one by one while that makes it better."""
        options = [option for option in options if len(option.terms) >= FEWEST_TERMS and not option.fragment]
        short = [option for option in options if len(option.text) <= self._size.width]
        fresh = yield from self._fresh(short, late, compared)
        best = yield from self._best_pair(fresh)
        while 1 < len(best) < self._size.clauses:
            more = [
                sorted([*best, one], key=_place) for one in fresh if one.sentence not in map(_place, best)
            ]
            better = self._better(best, more)
            if better is best:
                break
            best = better
        return best or (yield from self._made_to_fit(options, shortened, late))

    def rough(self, options: Sequence[Clause]) -> Steps[list[Clause]]:
        """One clause of what :meth:`best` scorns: remarks of hardly a word that carries meaning ("Verifying
        each step again"), fragments and, failing these, what must be cut off to fit."""
        short = [
            option
            for option in options
            if (option.fragment or len(option.terms) <= FEWEST_TERMS) and len(option.text) <= self._size.width
        ]
        fresh = yield from self._fresh(short, late=True)
        return next(([one] for one in fresh if self._fits([one])), []) or (
            yield from self._made_to_fit(options, cut_short, late=True)
        )

    def _best_pair(self, fresh: Sequence[Clause]) -> Steps[list[Clause]]:
        """The best clause, or the best two of different sentences, if they are better together.

        Together they gain no more than either alone and cost no less, so that most pairs need not be tried.
        """
        best = next(([one] for one in fresh if self._fits([one])), [])
        most = self._value(best) if best else -math.inf
        alone = [(one, ROUNDED * self._value([one]), _liking(one.text)) for one in fresh]
        effort = Effort()
        for one, value, liking in alone:
            pairs = [
                [one, other]
                for other, others, liked in alone
                if one.sentence < other.sentence and value * liked + others * liking > most
            ]
            better = self._better(best, pairs)
            if better is not best:
                best, most = better, self._value(better)
            if effort.spend(len(fresh) + PAIR * len(pairs)):
                yield
        return best

    def _made_to_fit(
        self, options: Sequence[Clause], shorten: Callable[[str, int], str | None], late: bool
    ) -> Steps[list[Clause]]:
        for option in (yield from self._fresh(options, late)):
            text = shorten(option.text, self._size.width)
            yield
            if text:
                whole = replace(option, text=text, terms=frozenset(terms(text)))
                if not self._shown.knows(whole.terms, late=late) and _is_words([whole]):
                    return [whole]
        return []

    def _fresh(self, options: Sequence[Clause], late: bool, most: int = COMPARED) -> Steps[list[Clause]]:
        """The best options that were not shown, best first, among those that are worth a try."""
        effort = Effort()
        values = []
        for option in options:
            values.append(self._value([option]))
            if effort.spend(2 * len(option.terms)):
                yield
        ranking = sorted(zip(values, options, strict=True), key=lambda valued: -valued[0])
        fresh: list[Clause] = []
        for _, option in ranking[:TRIED]:
            if not self._shown.knows(option.terms, late=late):
                fresh.append(option)
                if len(fresh) == most:
                    break
            if effort.spend(2 + len(self._shown)):
                yield
        return fresh

    def _better(self, best: list[Clause], lines: list[list[Clause]]) -> list[Clause]:
        """The one of *lines* that fits and is worth most, if that is more than *best*, which may be none."""
        most = self._value(best) if best else -math.inf
        for line in lines:
            if sum([len(clause.text) for clause in line]) > self._size.width:
                continue
            value = self._value(line)
            if value > most and self._fits(line):
                best, most = line, value
        return best

    def _fits(self, line: list[Clause]) -> bool:
        """Whether a line is neither too long nor mostly signs."""
        return len(joined(line)) <= self._size.width and _is_words(line)

    def _value(self, line: list[Clause]) -> float:
        """What a line of these clauses is worth."""
        value = self._weights.value(line[0].terms.union(*[clause.terms for clause in line[1:]]))
        for clause in line:
            value *= _liking(clause.text)
        return value


@lru_cache(maxsize=1024)
def _liking(text: str) -> float:
    """A factor for what a clause is: questions and work done are liked, one that leans on another is not.

    That a number was computed is shown only where nothing else is new.
    """
    if text.startswith(CODE):
        return 0.5
    if _LEANS_BACK.match(text):
        return 0.8
    if text.endswith("?"):
        return 1.15
    return 1.1 if "=" in text or (_WORK_DONE.match(text) and not is_computation(text)) else 1.0


def joined(line: Sequence[Clause]) -> str:
    """Clauses as sentences, the last without its full stop."""
    parts: list[str] = []
    for clause in line:
        stop, space = ("。", "") if is_cjk(clause.text) else (".", " ")
        parts += [clause.text, "" if clause.text[-1] in "?!？！" else stop, space]
    return "".join(parts[:-2])


def _is_words(line: list[Clause]) -> bool:
    """Whether at most a third of a line is formulas and numbers, so that it can be read in passing."""
    between = 2 * (len(line) - 1)  # a stop between two formulas belongs to them
    return between + sum(signs(clause.text) for clause in line) <= MOST_SIGNS * len(joined(line))


def _place(clause: Clause) -> int:
    return clause.sentence
