"""Signs: the share of a text that is formulas and numbers instead of words.

A line of a summary is read in passing, so it is made of words. A word begins with two letters; names of code
(``load_users``, ``utf8``) are words too. Numbers, single letters, names of functions before their argument,
operators, and what stands between two of them belong to formulas.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .terms import CJK

__all__ = ["MOST_SIGNS", "is_words", "signs"]

MOST_SIGNS = 1 / 3
"""The largest share of a line's characters that may belong to formulas and numbers."""

_TOKEN = re.compile(
    r"(?P<function>\b(?:sqrt|log|ln|lg|exp|sin|cos|tan|gcd|lcm|mod|floor|ceil|max|min|lim)\b(?=\s?[\d(_₀-₉⁰-⁹^{]))"
    rf"|(?P<script>[{CJK}]++)"
    r"|(?P<word>[^\W\d_]['’](?=[^\W\d_])"
    r"|[^\W\d_⁰-⁹²³¹ⁿₐ-ₜ]{2}(?:(?![\u3040-\u30ff\u3400-\u9fff])[\w'’.])*+(?:-\w++)*+|(?:I"
    r"|[aA](?= [^\W\d_]{2})|[àéeyoòóuwi])(?!\S))"
    r"|(?P<sign>[\w$€£¥%=+*/^<>|{}\\−×÷·±≈≠≡≤≥→⇒⇔←∑∏∫√∞∂∆∈∉∪∩⌊⌋⌈⌉°′‖✔]++)"
    r"|(?P<between>[\s()\[\].,:;!?…'’-]++)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_INSIDE = 3
"""Longest run of spaces, brackets and stops that belongs to the formula around it."""


@lru_cache(maxsize=1024)
def signs(text: str) -> int:
    """How many characters of *text* belong to formulas and numbers, gaps inside them included.

    >>> signs("Adding 2 + 2 at last"), signs("Checking load_users again")
    (5, 0)
    """
    count = gap = 0
    in_formula = False
    for found in _TOKEN.finditer(text):
        size = len(found[0])
        match found.lastgroup:
            case "sign" | "function":
                count += size + (gap if in_formula else 0)
                in_formula, gap = True, 0
            case "between" if size <= _INSIDE:
                gap += size
            case _:
                in_formula, gap = False, 0
    return count


def is_words(text: str) -> bool:
    """Whether *text* is made of words, with at most a third of signs."""
    return signs(text) <= MOST_SIGNS * len(text)
