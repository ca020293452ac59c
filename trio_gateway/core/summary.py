"""What a model is working out, in lines for people, taken from its reasoning while it comes.

Theory of operation: sentences are collected as they become complete. When a line is asked for, every clause of
the new sentences that can stand alone is a candidate. A term weighs more the more of the new sentences have it and
the fewer earlier rounds had it; the line is the clause, or the two clauses of different sentences, whose terms carry most
weight for their cost. What was told is not told again, also not in other words, and the final result is kept back.
"""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trio_gateway.core.answer_guard import AnswerGuard
from trio_gateway.core.clauses import clauses
from trio_gateway.core.plain_text import cut, plain
from trio_gateway.core.sentences import Sentence, SentenceReader
from trio_gateway.core.terms import terms

__all__ = ["Detail", "ReasoningSummary"]

Detail = Literal["concise", "auto", "detailed"]

WIDTHS: dict[Detail, int] = {"concise": 80, "auto": 140, "detailed": 300}
"""Longest line, in characters."""
FIRST_LOOK = 30
"""New characters from which on a line may be worth asking for."""
PAIRED = 12
"""Best clauses among which pairs are tried."""
REMEMBERED = 256
"""Told clauses that a new one is compared with; of older ones the exact terms are remembered."""
REMEMBERED_EXACTLY = 4096
TOO_SIMILAR = 0.7
"""Share of the shorter clause's terms that makes two clauses say the same."""
VOCABULARY = 4000
"""Terms whose rounds are counted; the rarer half is forgotten beyond."""

_END = re.compile(r"[.!?。！？\n]")
_LEANS = re.compile(r"(?:that|this|these|those|it|they|he|she)(?:['’]s|['’]re)?\b", re.IGNORECASE)


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
        self._width = WIDTHS[detail]
        self._reader = SentenceReader()
        self._guard = AnswerGuard()
        self._weights = _Weights()
        self._told = _Told()
        self._new = 0
        self._complete = False

    def feed(self, text: str) -> None:
        """Take reasoning as it comes, in pieces of any size."""
        self._reader.feed(text)
        self._new += len(text)
        self._complete = self._complete or bool(_END.search(text))

    @property
    def ready(self) -> bool:
        """Whether a complete thought has probably come since a line was last asked for."""
        return self._complete and self._new >= FIRST_LOOK

    def line(self) -> str | None:
        """What is new since the last line, in one line; None if nothing is worth saying."""
        return self._say(self._reader.take())

    def last(self) -> str | None:
        """The last line, when the reasoning has ended: what was left incomplete counts too."""
        sentences = self._reader.take(final=True)
        for sentence in sentences[-1:]:
            self._guard.note_values(plain(sentence.text))
        return self._say(sentences)

    def restart(self) -> None:
        """Another attempt reasons anew: forget what was pending, remember what was told."""
        self._reader.clear()
        self._guard = AnswerGuard()
        self._new = 0
        self._complete = False

    def _say(self, sentences: list[Sentence]) -> str | None:
        self._new = 0
        self._complete = False
        plain_texts = [plain(sentence.text) for sentence in sentences]
        self._weights.learn(frozenset(terms(text)) for text in plain_texts)
        shown = [
            not (sentence.code or self._guard.hides(sentence.text, text))
            for sentence, text in zip(sentences, plain_texts, strict=True)
        ]
        options = [
            _Clause(clause, frozenset(terms(clause)), number)
            for number, text in enumerate(plain_texts)
            if shown[number]
            for clause in clauses(text)
            if not self._guard.tells(clause)
        ]
        chosen = self._choose([option for option in options if option.terms])
        for option in chosen:
            self._told.add(option.terms)
        return cut(_joined([option.text for option in chosen]), self._width) if chosen else None

    def _choose(self, options: list[_Clause]) -> list[_Clause]:
        """The one or two clauses to tell, in their order; none when all was told."""
        fitting = [option for option in options if len(option.text) <= self._width]
        ranked = sorted(fitting or options, key=lambda option: -self._value([option]))
        fresh: list[_Clause] = []
        for option in ranked:
            if not self._told.knows(option.terms):
                fresh.append(option)
                if len(fresh) == PAIRED:
                    break
        singles = [[option] for option in fresh]
        pairs = [
            [one, other]
            for one in fresh
            for other in fresh
            if one.sentence < other.sentence and len(_joined([one.text, other.text])) <= self._width
        ]
        return max(singles + pairs, key=self._value, default=[])

    def _value(self, chosen: list[_Clause]) -> float:
        value = self._weights.value(frozenset().union(*(option.terms for option in chosen)))
        for option in chosen:
            if _LEANS.match(option.text):
                value *= 0.8
        return value


class _Weights:
    """What a term is worth: how many new sentences have it, against how many earlier rounds had it."""

    def __init__(self) -> None:
        self._rounds = 0
        self._had: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    def learn(self, sentences: Iterable[frozenset[str]]) -> None:
        """Begin a new round with the terms of its sentences."""
        self._had.update(self._now.keys())
        if len(self._had) > VOCABULARY:
            self._had = Counter(dict(self._had.most_common(VOCABULARY // 2)))
        self._now = Counter(term for sentence in sentences for term in sentence)
        self._rounds += 1

    def value(self, line: frozenset[str]) -> float:
        """Weight gained by a line of these terms, against what saying them costs."""
        gain = cost = 0.0
        for term in line:
            rarity = math.log(1 + self._rounds / (1 + self._had[term])) ** 2
            gain += rarity * self._now[term] ** 0.75
            cost += rarity
        return gain / (1 + cost) ** 0.35


class _Told:
    """What was said, so that it is not said again."""

    def __init__(self) -> None:
        self._recent: deque[frozenset[str]] = deque(maxlen=REMEMBERED)
        self._exact: dict[int, None] = {}

    def add(self, clause: frozenset[str]) -> None:
        self._recent.append(clause)
        self._exact[hash(clause)] = None
        if len(self._exact) > REMEMBERED_EXACTLY:
            del self._exact[next(iter(self._exact))]

    def knows(self, clause: frozenset[str]) -> bool:
        return hash(clause) in self._exact or any(
            len(clause & told) > TOO_SIMILAR * min(len(clause), len(told)) for told in self._recent
        )


def _joined(texts: list[str]) -> str:
    """Sentences after each other, the last without its full stop."""
    head = "".join(f"{text} " if text[-1] in "?!" else f"{text}. " for text in texts[:-1])
    return head + texts[-1]
