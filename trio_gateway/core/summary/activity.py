"""Activity: names a deed and its object when the reasoning repeats itself.

For sentences that may not be shown, because they were shown before or would give the result away. The thing
is the subject of a sentence ("the number of bits is 19" is about *the number of bits*), so it bears no
value. The deed is the check that was announced last ("let me double-check that"), else what the words
around show: another way, a confirmation, a doubt, a supposition. Or both stand in the text: "by counting
the bits". The rules are English; elsewhere no activity is found.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from .clauses import whole
from .terms import terms
from .verbs import VERBS, gerund

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["activities", "activities_in"]

FEWEST_TERMS = 2
"""A thing of less is any thing: "the value"."""
MOST = 8
"""Activities of either kind that are taken from one sentence."""
BEFORE = 3
"""Sentences before the one with the thing in which its deed is looked for."""

_PREDICATE = (
    r"(?:\s(?:is|are|was|were|has|have|can|should|must|would|will|might|becomes?|remains?|equals?|corresponds?"
    r"|comes?|consists?|gives?|means?|says?|seems?|starts?|goes|arises)\b)"
)
_SUBJECT = re.compile(
    rf"\b(?=((?:the|each|every|both|my|our)\s[^,;:.?!=≈]{{3,80}}?){_PREDICATE})", re.IGNORECASE
)
# With one of these it is more than a subject, or speaks of the result.
_MORE = re.compile(
    r"\b(?:that|which|who|whose|because|if|when|where|so|then|since|as|but|while|is|are|was|were|has|have|had|can"
    r"|could|would|will|should|must|be|been|we|i|you|it|they|me|us|not|to|this|only|problem|answer|result|solution)\b",
    re.IGNORECASE,
)
# "by actually writing out the number": a deed with its thing, in the model's own words.
_DEED = re.compile(
    r"\b(?:by|when|while|in|of|for|about|without|after|before|just) (?:actually |just )?"
    r"(?P<verb>[a-z-]{1,30}ing) (?P<thing>(?:out |up |down |at |with |for |about )?"
    r"(?:the|each|every|both|all|its|my|our|a|an)\s[^,;:.?!=≈]{3,70}?)"
    r"(?=[,;:.?!]|\s(?:is|are|and|so|but|or|to|we|i|you|which|because|if|when|does|doesn't|would)\b|\s?$)"
)
_GERUNDS = frozenset(map(gerund, VERBS))
_CHECK = re.compile(
    r"\b(?:let me|let us|let's|to|(?:i|we)(?:['’]ll| will| should| can| need to| have to| want to)) (?:\w+ )?"
    r"(?P<verb>double-check|check|verify|confirm|re-?check|reconsider|re-examine|rethink|revisit|review|clarify)\b",
    re.IGNORECASE,
)
_SHOWN = (
    ("Looking at {} another way", r"(?:another|different|other) (?:way|approach|method)"),
    ("Confirming {}", r"indeed|correct|consistent|confirms?|makes sense|matches"),
    ("Reconsidering {}", r"wait|hmm|confus\w++|mistake|wrong|conflict\w*|inconsisten\w++|discrepancy|unless"),
    ("Considering {}", r"alternatively|maybe|perhaps|if|could|might|suppose|assum\w++"),
)
_MARKS = [(deed, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for deed, words in _SHOWN]


def activities(sentences: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The activities in plain *sentences*, the latest first, each as a line and the thing it is about.

    >>> list(activities(["Let me double-check that.", "So the number of bits is 19."]))
    [('Double-checking the number of bits', 'the number of bits')]
    """
    for at in range(len(sentences) - 1, -1, -1):
        yield from activities_in(sentences, at)


def activities_in(sentences: Sequence[str], at: int) -> Iterator[tuple[str, str]]:
    """The activities in the sentence at that place, at most twice ``MOST``."""
    yield from islice(_deeds(sentences[at]), MOST)
    deed = ""
    for thing in islice(_things(sentences[at]), MOST):
        deed = deed or _deed(sentences[max(0, at - BEFORE) : at + 1])
        yield deed.replace("{}", thing), thing


def _deeds(sentence: str) -> Iterator[tuple[str, str]]:
    for found in _DEED.finditer(sentence):
        if found["verb"] in _GERUNDS and not _MORE.search(found["thing"]) and whole(found["thing"]):
            yield f"{found['verb'].capitalize()} {found['thing']}", found["thing"]


def _things(sentence: str) -> Iterator[str]:
    end = 0
    for found in _SUBJECT.finditer(sentence):
        thing = found[1][0].lower() + found[1][1:]
        if found.start() < end or _MORE.search(thing) or not whole(thing):
            continue
        if len(set(terms(thing))) >= FEWEST_TERMS:
            end = found.end(1)
            yield thing


def _deed(sentences: Sequence[str]) -> str:
    for sentence in reversed(sentences):
        if found := _CHECK.search(sentence):
            return gerund(found["verb"].lower()).capitalize() + " {}"
    for sentence in reversed(sentences):
        for deed, mark in _MARKS:
            if mark.search(sentence):
                return deed
    return "Going over {}"
