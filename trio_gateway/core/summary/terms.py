"""The words of a text that carry meaning, so that two texts can be compared.

English words are reduced to a stem; a run of Chinese or Japanese, which has no spaces, to its pairs of
characters; words of other languages stand as they are.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["CJK", "STOP_WORDS", "is_cjk", "terms"]

CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Kana and Chinese characters, as the inside of a character class: they are written without spaces."""

LONGEST = 40
"""A term is cut here, so that what remembers terms is bounded in size by their number."""

_TABLE = """
a an the of to in on at by for with from and or but so if then than that this these those it its is are was
were be been being am do does did doing done have has had i me my we our us you your he she they them their
there here as not no yes can could would should will may might must just let lets s t re ve ll d m what which
who how when where why all any each both some such same other into out up down over under again further once
only own too very also now okay ok hmm wait well let's i'm i'll i've it's that's don't doesn't isn't can't
won't didn't there's think know see say get got go going make sure need want try maybe perhaps actually really
still even because since while like thing things way one right mean means seems seem look looks
makes gives step steps figuring breaking problem carefully
"""
STOP_WORDS = frozenset(_TABLE.split())
_CJK = re.compile(f"[{CJK}]")
_WORD = re.compile(rf"(?P<run>[{CJK}]+)|(?:(?![{CJK}])[^\W_])+(?:['’][a-z]+)?")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SUFFIX = re.compile(r"(?:ations?|ings?|ied|ies|edly|ed|es|s|ly)$")


def terms(text: str) -> list[str]:
    """The terms of *text* in their order, repetitions included.

    >>> terms("Computing the binomial coefficients of C(4, 2)")
    ['comput', 'binomial', 'coefficient', 'c', '4', '2']
    """
    if text.isascii():
        return [_stem(word[:LONGEST]) for word in _ASCII_WORD.findall(text.lower()) if word not in STOP_WORDS]
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        word = match[0]
        if match["run"]:
            found.extend(word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif word not in STOP_WORDS:
            found.append(_stem(word[:LONGEST]))
    return found


def is_cjk(text: str) -> bool:
    """Whether most characters of *text* belong to a script without spaces."""
    return not text.isascii() and 2 * len(_CJK.findall(text)) > len(text)


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    """A short stem, the same for *computes*, *computed* and *computing*; it need not be a word."""
    found = _SUFFIX.search(word)
    if found and found.start() >= 3:
        word = word[: found.start()] + ("y" if found[0] in ("ied", "ies") else "")
        if word[-1] == word[-2] and word[-1] not in "lsz":
            word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
