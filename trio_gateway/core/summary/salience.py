"""Salience: weighs terms, and remembers which clauses have been shown."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ShownClauses", "Weights"]

VOCABULARY = 4000
"""Terms whose rounds are counted; the rarer half is forgotten beyond."""
REMEMBERED = 256
"""ShownClauses clauses that a new one is compared with; of older ones the exact terms are remembered."""
REMEMBERED_EXACTLY = 4096
TOO_SIMILAR = 0.7
"""Share of the shorter clause's terms that makes two clauses say the same."""
FEW = 2
"""So few terms say too little for a share of them to count when a line is late."""
CONTAINED = 0.9
ALIKE = 0.65
"""The same when a line is late: the share of the new clause's own terms, and of the terms of both together.
A model that goes over its work again says little that is new, which is then worth more than nothing."""


class Weights:
    """Weights of terms: more for frequent new ones, less for old ones.

    The exponents were chosen on annotated chains of thought (``benchmarks/summaries.py``) from the middle of
    a plateau: a third more or less of any of them changes the measure by less than a twentieth.
    """

    def __init__(self) -> None:
        self._rounds = 1
        self._had: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._known: dict[str, tuple[float, float]] = {}  # of this round: what a term gains, and costs

    def learn(self, sentences: Iterable[list[str]]) -> None:
        """Take the terms of all new sentences; again, with more of them, while nothing was shown."""
        self._now = Counter(term for sentence in sentences for term in dict.fromkeys(sentence))
        self._known.clear()

    def close(self) -> None:
        """The round is over: its terms are no longer new."""
        self._had.update(self._now.keys())
        if len(self._had) > VOCABULARY:
            self._had = Counter(dict(self._had.most_common(VOCABULARY // 2)))
        self._now = Counter()
        self._known.clear()
        self._rounds += 1

    def value(self, line: frozenset[str]) -> float:
        """The weight a line of these terms carries, against what it costs to read them."""
        known = [self._known.get(term) or self._weigh(term) for term in line]
        # fsum: the same in every order, and the order of a set differs from process to process.
        gain = math.fsum([term[0] for term in known])
        cost = 1 + math.fsum([term[1] for term in known])
        return gain / float(cost**0.3)

    def _weigh(self, term: str) -> tuple[float, float]:
        rarity = math.log(1 + self._rounds / (1 + self._had[term])) ** 2
        known = self._known[term] = rarity * float(self._now[term] ** 0.75), rarity
        return known


class ShownClauses:
    """Clauses that have been shown, kept by their terms; bounded."""

    def __init__(self) -> None:
        self._recent: deque[frozenset[str]] = deque(maxlen=REMEMBERED)
        self._exact: dict[int, None] = {}

    def __len__(self) -> int:
        """Clauses that a new one is compared with."""
        return len(self._recent)

    def add(self, clause: frozenset[str]) -> None:
        if len(clause) > 1:
            self._recent.append(clause)
        self.add_exactly(clause)

    def add_exactly(self, clause: frozenset[str]) -> bool:
        """Remember these terms, no others like them; False if they were shown already."""
        if hash(clause) in self._exact:
            return False
        self._exact[hash(clause)] = None
        if len(self._exact) > REMEMBERED_EXACTLY:
            del self._exact[next(iter(self._exact))]
        return True

    def knows(self, clause: frozenset[str], *, late: bool = False) -> bool:
        """Whether a clause of these terms would repeat what was shown; *late*, in nearly the same words."""
        if hash(clause) in self._exact:
            return True
        size = len(clause)
        if late and size <= FEW:
            return False
        for shown in self._recent:
            common = len(clause & shown)
            if late:
                if common > CONTAINED * size or common > ALIKE * (size + len(shown) - common):
                    return True
            elif common > TOO_SIMILAR * min(size, len(shown)):
                return True
        return False
