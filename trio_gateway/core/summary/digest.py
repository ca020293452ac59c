"""Digest: turns an attempt's reasoning into sentences, terms and clauses.

Text is only kept as it comes. It is worked up when it is asked for, in pieces of ``PIECE`` characters from
the place where it was asked for before, so that neither the pieces in which it came nor the moment matter.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..text.recent import RecentText
from .answer_guard import AnswerGuard
from .choice import CODE, Clause
from .clauses import clauses, fragment, is_claim, whole, without_formula
from .computations import computations
from .confidential import IMPROPER, improper
from .languages import language_of
from .plain_text import plain
from .qualifiers import TAKEN_BACK
from .sentences import KEPT, SentenceReader
from .signs import is_words
from .steps import Effort
from .terms import is_cjk, terms

if TYPE_CHECKING:
    from .confidential import Confidential
    from .languages import Language
    from .sentences import Sentence
    from .steps import Steps

__all__ = ["END", "RECENT", "Digest", "Digested", "unclaimed"]

RECENT = 16 * 1024
"""Characters that wait to be worked up; older ones are dropped. A person reads a line of it."""
PIECE = 240
"""Characters that are read between two looks for complete sentences."""
MOST_TERMS = 100
"""Different terms that are weighed of one sentence."""

END = re.compile(r"[.!?]\s|[\n。！？]")
"""Where a thought probably ends."""
_TELLING = 16
"""Sentences, from the latest back, that are asked for their language."""
_ENGLISH = ("en", None)
_NAME = re.compile(r"[^\W\d]{3}")


@dataclass(frozen=True, slots=True)
class Digested:
    """A sentence in plain words with its terms and clauses."""

    text: str
    terms: list[str]
    clauses: list[Clause]


class Digest:
    """The latest sentences of one attempt, and the text that waits."""

    def __init__(self, confidential: Confidential) -> None:
        self.confidential = confidential
        self.pending = RecentText(RECENT)
        self.guard = AnswerGuard()
        self.sentences: deque[Digested] = deque(maxlen=KEPT)
        self._reader = SentenceReader()
        self._complete: deque[Sentence] = deque(maxlen=KEPT)
        self._count = 0
        self._language: Language | None = None
        self._of_any_language: deque[str] = deque(maxlen=_TELLING)

    @property
    def unfinished(self) -> str:
        """What had come of the sentence under way when text was last worked up."""
        return self._reader.unfinished

    def work_up(self, *, final: bool = False) -> Steps[None]:
        """Work up what is pending; *final*: what is left at its end counts as complete too."""
        left = len(self.pending)  # what comes meanwhile waits for the next time
        while left > 0:
            piece = self.pending.take(min(left, PIECE))
            left -= len(piece)
            whole = left or len(piece) == PIECE
            self._reader.feed(self._begin_anew(piece) if self.pending.torn else piece)
            if whole:
                yield from self._digest(final=False)
                yield
        yield from self._digest(final=final)

    def _begin_anew(self, piece: str) -> str:
        """Text before *piece* was dropped: what can be read begins behind the next end of a thought."""
        self.pending.torn = False
        self._reader.clear()
        end = END.search(piece)
        return piece[end.end() :] if end else piece

    def _digest(self, *, final: bool) -> Steps[None]:
        self._complete.extend(self._reader.take(final=final))
        effort = Effort()
        while self._complete:
            sentence = self._complete.popleft()
            yield from self._sentence(sentence, effort)

    def _sentence(self, sentence: Sentence, effort: Effort) -> Steps[None]:
        text = plain(sentence.text)
        self._count += 1
        self._of_any_language.append(text)
        if effort.spend(40 + 2 * len(text)):
            yield
        hidden = self.guard.hides(sentence.text, text)
        for pattern in IMPROPER:
            hidden = bool(pattern.search(text)) or hidden
            if effort.spend(len(text) // 2):
                yield
        if hidden:
            self.confidential.hides(text)
        if hidden and self.sentences and self.confidential.hides_before(text):
            self.sentences[-1] = replace(self.sentences[-1], clauses=[])
        found = [] if hidden else (yield from self._clauses(sentence, text, effort))
        shown = []
        for clause in found:
            if effort.spend(2 * len(clause.text)):
                yield
            if (
                clause.text
                and not self.guard.announces(clause.text)
                and not self.confidential.bars(clause.text)
            ):
                shown.append(clause)
        if self.sentences and TAKEN_BACK.match(text):
            shown += [] if hidden else self._taken_back(self.sentences[-1], text)
        distinct = list(dict.fromkeys(terms(text)))
        self.sentences.append(Digested(text, distinct[:MOST_TERMS], shown))

    def _taken_back(self, before: Digested, text: str) -> list[Clause]:
        """The next sentence takes back what *before* states: it is shown with it or not at all."""
        claims = [clause.text for clause in before.clauses if is_claim(clause.text)]
        self.sentences[-1] = replace(before, clauses=unclaimed(before))
        both = [f"{claim}. {text.rstrip(' .')}" for claim in claims[:1] if whole(text.rstrip(" ."))]
        return [self.clause(part) for part in both if not (is_cjk(part) or self.confidential.bars(part))]

    def _clauses(self, sentence: Sentence, text: str, effort: Effort) -> Steps[list[Clause]]:
        """What can be shown of a sentence: its clauses, and words for those that are mostly signs."""
        if sentence.code:
            return [self.clause(_of_code(text))] if self._is_english() else []
        parts = clauses(text)
        found = [self.clause(part) for part in parts] or [self.clause(fragment(text), fragment=True)]
        heads = []
        for part in parts:
            if not is_words(part):
                heads.append(without_formula(part))
                if effort.spend(2 * len(part)):
                    yield
        named = computations(text) if not is_words(text) and self._is_english() else []
        return found + [self.clause(words) for words in [*heads, *named] if words]

    def _is_english(self) -> bool:
        """Whether the latest sentence that tells its language is English, or none did. Seldom asked for."""
        while self._of_any_language:
            if found := language_of(self._of_any_language.pop()):
                self._language = found
                self._of_any_language.clear()
        return self._language in _ENGLISH

    def gives_away(self, line: str) -> bool:
        """Whether a line bears the result, or what is confidential."""
        result = self.guard.announces(line) or self.guard.tells(line)
        return result or self.confidential.bars(line) or improper(line)

    def clause(self, text: str, *, fragment: bool = False) -> Clause:
        """A clause of the latest sentence."""
        return Clause(text, frozenset(terms(text)), self._count, fragment)


def unclaimed(sentence: Digested) -> list[Clause]:
    """The clauses of a sentence that may be shown although the next one takes back what it states."""
    return [clause for clause in sentence.clauses if not is_claim(clause.text)]


def _of_code(line: str) -> str:
    """A program is shown by its first line, if that has a name in it."""
    line = line.rstrip(" {(:")
    return CODE + line if _NAME.search(line) else ""
