"""Words that may have ended reasoning in prose ("Therefore,"), and whether they did.

Prose markers are weak: of 500 real reasoning traces 134 have such words in their midst. So the words, and
what follows them for a while (the hold), are in doubt until the model takes them back ("Wait, …") or the hold
is over. Only the first such words are in doubt: others after them are part of the answer, or are taken back
with them.
"""

from __future__ import annotations

from .codespans import CodeTracker
from .markers import Kind, Marker, MarkerSearch

__all__ = ["CONFIRMED", "CUES", "ProseEndCandidate"]

CUES = ("Wait", "Hmm", "But wait", "Actually", "Alternatively", "Hold on", "Let me check")
"""What a model says when it has not come to its answer after all; counts at the start of a sentence."""

CONFIRMED = -1
"""The words did end the reasoning."""


class ProseEndCandidate:
    """Weighs one text in doubt, which begins with the words.

    *scan* has the cues and the tags; *window* is the number of characters that decide, the words included.
    """

    __slots__ = ("_before", "_code", "_scan", "_weighed", "_window")

    def __init__(self, scan: MarkerSearch, window: int) -> None:
        self._scan = scan
        self._window = window
        self._weighed = 0
        self._before = ""  # the last character of what was weighed that is no whitespace
        self._code = CodeTracker()

    def weigh(self, text: str, at: int, *, final: bool) -> int | None:
        """Weigh ``text[at:]``, which each time begins with what it was before; *final*: no more will come.

        Gives :data:`CONFIRMED`, ``None`` as long as more text must tell, or the place of what takes the words
        back: a cue, or an end marker, which says that all before it was reasoning. A start marker or a tool
        call confirms them.
        """
        end = min(len(text), at + self._window)
        settled = final or end == at + self._window
        # From behind the words' own first character on, or words that begin with a cue take themselves back.
        for trigger in self._scan.triggers.finditer(text, at + (self._weighed or 1), end):
            place = trigger.start()
            self._follow(text, at, place)
            hit = self._scan.place(text, place, self._before).at(text, place, end, final=settled)
            if hit is None:
                continue
            if self._code.inside():
                continue
            match hit.marker:
                case None:
                    return None
                case Marker(kind=Kind.CUE | Kind.ORPHAN):
                    return place
                case _:
                    return CONFIRMED
        if settled:
            return CONFIRMED
        self._follow(text, at, end)
        return None

    def _follow(self, text: str, at: int, end: int) -> None:
        weighed = text[at + self._weighed : end]
        self._before = weighed.rstrip()[-1:] or self._before
        self._code.add(weighed)
        self._weighed = end - at
