"""What a model is working out, in lines for people, taken from its reasoning while it comes.

Theory of operation: sentences are collected as they become complete. When a line is asked for, every clause
of the new sentences that can stand alone is a candidate. The line is the clause, or the few clauses of
different sentences, that carry most weight for their cost: terms that many of the new sentences share and
that earlier rounds did not have. What was told is not told again, also not in other words, and the final
result is kept back.

A model that goes over its work, or is about to tell the result, leaves nothing to say so. When the line is
late, less will do, in this order: a clause that is new in part, a finished clause of the sentence under way,
a remark or a fragment, the activity as such. Each is told once as well; where all of them are used up there
is no line.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from .activity import activities
from .answer_guard import AnswerGuard
from .choice import CODE, SIZES, Choice, Clause, Detail, joined
from .clauses import clauses, finished, fragment
from .plain_text import plain
from .salience import Told, Weights
from .sentences import KEPT, Sentence, SentenceReader
from .terms import terms

__all__ = ["SIZES", "Detail", "ReasoningSummary"]

FIRST_LOOK = 30
LONG_LOOK = 400
"""New characters from which on a line may be worth asking for: after the end of a sentence, and without."""
DIGESTED_AT = 240
"""New characters after which complete sentences are worked up. Most of a line's work is done so before it is
asked for: the last one is asked for when the answer is about to leave."""

_END = re.compile(r"[.!?]\s|[\n。！？]")
_NAME = re.compile(r"[^\W\d]{3}")


@dataclass(frozen=True, slots=True)
class _Digested:
    """A sentence in plain words, its terms, and its clauses; none where it gives the result away."""

    text: str
    terms: list[str]
    clauses: list[Clause]


class ReasoningSummary:
    """The extractive summary of one answer's reasoning.

    >>> summary = ReasoningSummary()
    >>> summary.feed("Okay. I need to add the two numbers first. Then")
    >>> summary.line()
    'Adding the two numbers first'
    """

    def __init__(self, *, detail: Detail = "auto") -> None:
        self._width = SIZES[detail].width
        self._reader = SentenceReader()
        self._guard = AnswerGuard()
        self._weights = Weights()
        self._told = Told()
        self._dealt_with = Told()
        self._choice = Choice(detail, self._weights, self._told)
        self._digested: deque[_Digested] = deque(maxlen=KEPT)
        self._sentences = 0
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

    def line(self, *, late: bool = False) -> str | None:
        """What is new since the last line, in one line; None if nothing is worth saying.

        *late*: the reader has been waiting, and less will do.
        """
        self._digest(self._reader.take())
        return self._say(late=late)

    def last(self) -> str | None:
        """The last line, when the reasoning has ended: what was left incomplete counts too."""
        self._digest(self._reader.take(final=True))
        if self._digested:
            self._guard.note_value(self._digested[-1].text)
        return self._say(late=False)

    def accept(self, line: str) -> bool:
        """Take a line that somebody else wrote of what is pending, which then counts as told.

        False, and nothing changes, if it repeats what was told or gives the result away.
        """
        self._digest(self._reader.take())
        told = frozenset(terms(line))
        if self._guard.announces(line) or self._guard.tells(line) or self._told.knows(told):
            return False
        self._told.add(told)
        self._new = 0
        self._complete = False
        self._weights.learn(sentence.terms for sentence in self._digested)
        self._close()
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
            if self._guard.hides(sentence.text, text):
                found = []
            elif sentence.code:
                found = [self._clause(_of_code(text))]
            else:
                found = [self._clause(part) for part in clauses(text)] or [
                    self._clause(fragment(text), fragment=True)
                ]
            shown = [clause for clause in found if clause.text and not self._guard.announces(clause.text)]
            self._digested.append(_Digested(text, terms(text), shown))

    def _clause(self, text: str, *, fragment: bool = False) -> Clause:
        return Clause(text, frozenset(terms(text)), self._sentences, fragment)

    def _say(self, *, late: bool) -> str | None:
        self._new = 0
        self._complete = False
        self._weights.learn(sentence.terms for sentence in self._digested)
        # All sentences have passed the guard before any clause does: a later one may betray the result.
        options = [
            clause
            for sentence in self._digested
            for clause in sentence.clauses
            if clause.terms and not self._guard.tells(clause.text)
        ]
        chosen = self._choice.best(options)
        if late and not chosen:
            chosen = (
                self._choice.best(options, late=True)
                or self._choice.best(self._under_way(), late=True)
                or self._choice.rough(options)
            )
        for clause in chosen:
            self._told.add(clause.terms)
        line = joined(chosen) if chosen else self._activity() if late else None
        if chosen or late:  # what is not worth a late line never will be worth one
            self._close()
        return line

    def _close(self) -> None:
        """The sentences so far are done with."""
        self._digested.clear()
        self._weights.close()

    def _under_way(self) -> list[Clause]:
        """The finished clauses of the sentence whose end has not come."""
        parts = finished(plain(self._reader.unfinished))
        return [self._clause(part) for part in parts if not self._guard.may_betray(part)]

    def _activity(self) -> str | None:
        """What the model is busy with, where what it says may not be told. A thing is dealt with once."""
        texts = [sentence.text for sentence in self._digested]
        for line, thing in activities([*texts, plain(self._reader.unfinished)]):
            words = frozenset(terms(thing))
            given_away = self._guard.announces(line) or self._guard.tells(line)
            if len(line) > self._width or given_away or self._dealt_with.knows(words):
                continue
            self._dealt_with.add(words)
            if self._told.add_exactly(frozenset(terms(line))):
                return line
        return None


def _of_code(line: str) -> str:
    """A program is told by its first line, if that has a name in it."""
    line = line.rstrip(" {(:")
    return CODE + line if _NAME.search(line) else ""
