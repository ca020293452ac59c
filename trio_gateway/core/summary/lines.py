"""Reasoning summary: makes lines for people from reasoning as it comes.

Theory of operation: text is only kept, and only the latest. When a line is asked for it is worked up into
sentences (:mod:`.digest`), and every clause of the new sentences that can stand alone is a candidate. The
line is the clause, or the few clauses of different sentences, that carry most weight for their cost: terms
that many of the new sentences share and that earlier rounds did not have. What was shown is not shown again,
also not in other words, and the final result is kept back.

A model that goes over its work, or is about to tell the result, leaves nothing to say so. When the line is
late, less will do, in this order: a clause that is new in part, a finished clause of the sentence under way,
a remark or a fragment, the activity as such. Each is shown once as well; where all of them are used up there
is no line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .activity import activities_in
from .choice import COMPARED, SIZES, Clause, ClauseChoice, Detail, joined
from .clauses import finished
from .computations import is_computation
from .confidential import Confidential, improper
from .digest import END, RECENT, Digest, unclaimed
from .plain_text import plain
from .qualifiers import may_take_back
from .salience import ShownClauses, Weights
from .signs import is_words
from .steps import Effort, Steps, at_once
from .terms import terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SIZES", "Detail", "ReasoningSummary"]

FIRST_LOOK = 30
LONG_LOOK = 400
"""New characters from which on a line may be worth asking for: after the end of a sentence, and without."""
LAST_LOOK = 720
"""The latest characters that are worked up for the first line, which is waited for, and for the last one, if
they were not yet: the answer is about to leave."""
BULK = 2048
"""Characters that wait between two lines from which on only the latest are prepared: they came at once."""
BULK_LOOK = 300
"""The latest characters that are worked up where more wait than may."""
FEW = 12
"""Sentences whose terms are weighed in a moment."""
LAST_COMPARED = 14
"""Best clauses among which the pairs of the last line are tried."""


class ReasoningSummary:
    """The extractive summary of one answer's reasoning.

    What takes time comes as a generator too, whose name ends in ``steps``: it yields where other tasks may
    run, and may be given up at any yield. None may be begun while another one is under way.

    >>> summary = ReasoningSummary()
    >>> summary.feed("Okay. I need to add the two numbers first. Then")
    >>> summary.line()
    'Adding the two numbers first'
    """

    def __init__(self, *, detail: Detail = "auto") -> None:
        self._width = SIZES[detail].width
        self._weights = Weights()
        self._shown = ShownClauses()
        self._dealt_with = ShownClauses()
        self._choice = ClauseChoice(detail, self._weights, self._shown)
        self._confidential = Confidential()
        self._begun = False
        self._start()

    def _start(self) -> None:
        self._digest = Digest(self._confidential)
        self._new, self._prepared = 0, 0
        self._complete = self._whole = False
        self._open_end = ""

    def learn_steps(self, messages: Sequence[Mapping[str, Any]]) -> Steps[None]:
        """Read the system prompt among *messages*, which no line repeats; before any text is worked up."""
        yield from self._confidential.learn_steps(messages)

    def feed(self, text: str) -> None:
        """Take reasoning as it comes, in pieces of any size. It is only kept."""
        text = text[-RECENT:]
        self._digest.pending.add(text)
        self._new += len(text)
        self._note_end(self._open_end + text)

    @property
    def ready(self) -> bool:
        """Whether a complete thought has probably come since a line was last asked for."""
        return self._new >= (FIRST_LOOK if self._complete else LONG_LOOK)

    @property
    def unprepared(self) -> bool:
        """Whether a thought is complete and was not worked up.

        No more is prepared for a line than it would read.
        """
        return self._whole and self._prepared < RECENT

    def line(self, *, late: bool = False) -> str | None:
        """What is new since the last line, in one line; None if nothing is worth saying.

        *late*: the reader has been waiting, and less will do.
        """
        return at_once(self.line_steps(late=late))

    def last(self) -> str | None:
        """The last line, when the reasoning has ended: what was left incomplete counts too."""
        return at_once(self.last_steps())

    def accept(self, line: str) -> bool:
        """Take a line that a model wrote of what is pending, which then counts as shown.

        False, and nothing changes, if it repeats what was shown or gives the result away.
        """
        return at_once(self.accept_steps(line))

    def prepare_steps(self) -> Steps[None]:
        """Work up what came, so that little is left to do when the next line is asked for."""
        self._whole = False
        self._skip(BULK if self._begun else LAST_LOOK)
        self._prepared += len(self._digest.pending)
        yield from self._digest.work_up()

    def line_steps(self, *, late: bool) -> Steps[str | None]:
        """:meth:`line` in slices."""
        digest = self._digest
        if not self._begun:
            self._skip(LAST_LOOK)
        self._note_reading()
        yield from digest.work_up()
        return (yield from self._say(digest, late=late))

    def last_steps(self) -> Steps[str | None]:
        """:meth:`last` in slices."""
        digest = self._digest
        self._skip(LAST_LOOK)
        yield from digest.work_up(final=True)
        if digest.sentences:
            digest.guard.note_value(digest.sentences[-1].text)
        line = yield from self._say(digest, late=False, compared=LAST_COMPARED)
        # A computation is named for those who wait; when the answer is here, it alone is not worth a line.
        return None if line and is_computation(line) and ". " not in line else line

    def accept_steps(self, line: str) -> Steps[bool]:
        """:meth:`accept` in slices."""
        digest, new, complete = self._digest, self._new, self._complete
        self._note_reading()
        yield from digest.work_up()
        if digest is not self._digest:  # another attempt has begun meanwhile
            return False
        shown = frozenset(terms(line))
        if digest.gives_away(line) or self._shown.knows(shown):
            self._new, self._complete = self._new + new, self._complete or complete
            return False
        self._begun = True
        self._shown.add(shown)
        self._weights.learn(sentence.terms for sentence in digest.sentences)
        self._close(digest)
        return True

    def restart(self) -> None:
        """Another attempt reasons anew: forget what was pending, remember what was shown."""
        self._start()

    def _skip(self, most: int) -> None:
        """Drop all but the latest of what waits, if it is more than *most*."""
        if len(self._digest.pending) > most:
            self._digest.pending.keep(BULK_LOOK)

    def _note_reading(self) -> None:
        self._new, self._prepared = 0, 0
        self._complete = self._whole = False

    def _note_end(self, text: str) -> None:
        """A thought is complete when something visible has followed its end, in this piece or a later one."""
        if (end := END.search(text)) and text[end.end() :].strip():
            self._complete = self._whole = True
        seen = text.rstrip()
        if "\n" in text[len(seen) :] or seen.endswith(("。", "！", "？")):
            self._open_end = "\n"
        elif seen.endswith((".", "!", "?")):
            self._open_end = "\n" if len(seen) < len(text) else "."
        else:
            self._open_end = ""

    def _say(self, digest: Digest, *, late: bool, compared: int = COMPARED) -> Steps[str | None]:
        self._weights.learn(sentence.terms for sentence in digest.sentences)
        if len(digest.sentences) > FEW:
            yield
        options = yield from _options(digest)
        chosen = yield from self._choice.best(options, compared=compared)
        if late and not chosen:
            chosen = (
                (yield from self._choice.best(options, late=True))
                or (yield from self._choice.best(_under_way(digest), late=True))
                or (yield from self._choice.rough(options))
            )
        if digest is not self._digest:  # another attempt has begun meanwhile
            return None
        self._begun = self._begun or bool(chosen)
        for clause in chosen:
            self._shown.add(clause.terms)
        line = joined(chosen) if chosen else (yield from self._activity(digest)) if late else None
        if chosen or late:  # what is not worth a late line never will be worth one
            self._close(digest)
        return line

    def _close(self, digest: Digest) -> None:
        """The sentences so far are done with, but for one whose claim the next one may take back."""
        doubtful = list(digest.sentences)[-1:] if may_take_back(digest.unfinished) else []
        digest.sentences.clear()
        digest.sentences.extend(doubtful)
        self._weights.close()

    def _activity(self, digest: Digest) -> Steps[str | None]:
        """What the model is busy with, where what it says may not be shown. A thing is dealt with once."""
        texts = [*(sentence.text for sentence in digest.sentences), plain(digest.unfinished)]
        for at in range(len(texts) - 1, -1, -1):
            for line, thing in activities_in(texts, at):
                if self._takes_up(digest, line, thing):
                    return line
            yield
        return None

    def _takes_up(self, digest: Digest, line: str, thing: str) -> bool:
        """Whether an activity makes a line; its thing is dealt with then."""
        words = frozenset(terms(thing))
        if (
            len(line) > self._width
            or digest.gives_away(line)
            or not is_words(line)
            or self._dealt_with.knows(words)
        ):
            return False
        self._dealt_with.add(words)
        return self._shown.add_exactly(frozenset(terms(line)))


def _options(digest: Digest) -> Steps[list[Clause]]:
    """The clauses that may be shown. All sentences have passed the guard before any clause does: a later one
    may betray the result."""
    options = []
    effort = Effort()
    for at, sentence in enumerate(digest.sentences, 1):
        doubtful = at == len(digest.sentences) and may_take_back(digest.unfinished)
        for clause in unclaimed(sentence) if doubtful else sentence.clauses:
            if clause.terms and not digest.guard.tells(clause.text):
                options.append(clause)
            if effort.spend(len(clause.text)):
                yield
    return options


def _under_way(digest: Digest) -> list[Clause]:
    """The finished clauses of the sentence whose end has not come."""
    parts = finished(plain(digest.unfinished))
    if improper(digest.unfinished):
        return []
    return [
        digest.clause(part)
        for part in parts
        if not (digest.guard.may_betray(part) or digest.confidential.bars(part))
    ]
