"""What is worth saying: how much a term weighs just now, and what was said already."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SIMILAR_AFTER_SILENCE", "TOO_SIMILAR", "Told", "Weights"]

VOCABULARY = 4000
"""Terms whose rounds are counted; the rarer half is forgotten beyond."""
REMEMBERED = 256
"""Told clauses that a new one is compared with; of older ones the exact terms are remembered."""
REMEMBERED_EXACTLY = 4096
TOO_SIMILAR = 0.7
"""Share of the shorter clause's terms that makes two clauses say the same."""
SIMILAR_AFTER_SILENCE = 0.9
"""The same after a round without a line: a model that goes over its work again says little that is new, and
that little is then worth more than nothing."""


class Weights:
    """A term weighs more the more of the new sentences have it, and the fewer earlier rounds had it.

    The exponents were chosen on annotated chains of thought (``benchmarks/summaries.py``) from the middle of
    a plateau: a third more or less of any of them changes the measure by less than a twentieth.
    """

    def __init__(self) -> None:
        self._rounds = 0
        self._had: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    def learn(self, sentences: Iterable[list[str]]) -> None:
        """Begin a new round with the terms of its sentences."""
        self._had.update(self._now.keys())
        if len(self._had) > VOCABULARY:
            self._had = Counter(dict(self._had.most_common(VOCABULARY // 2)))
        self._now = Counter(term for sentence in sentences for term in dict.fromkeys(sentence))
        self._rounds += 1

    def value(self, line: frozenset[str]) -> float:
        """The weight a line of these terms carries, against what it costs to read them."""
        rarity = {term: math.log(1 + self._rounds / (1 + self._had[term])) ** 2 for term in line}
        # fsum: the same in every order, and the order of a set differs from process to process.
        gain = math.fsum(rarity[term] * float(self._now[term] ** 0.75) for term in line)
        cost = 1 + math.fsum(rarity.values())
        return gain / float(cost**0.3)


class Told:
    """Remembers clauses by their terms, so that nothing is told twice, also not in other words. Bounded."""

    def __init__(self) -> None:
        self._recent: deque[frozenset[str]] = deque(maxlen=REMEMBERED)
        self._exact: dict[int, None] = {}

    def add(self, clause: frozenset[str]) -> None:
        self._recent.append(clause)
        self._exact[hash(clause)] = None
        if len(self._exact) > REMEMBERED_EXACTLY:
            del self._exact[next(iter(self._exact))]

    def knows(self, clause: frozenset[str], similar: float = TOO_SIMILAR) -> bool:
        """Whether a clause of these terms would repeat what was told, if more than that share is the same."""
        if hash(clause) in self._exact:
            return True
        size = len(clause)
        for told in self._recent:
            common = len(clause & told)
            if common > similar * size or common > similar * len(told):
                return True
        return False
