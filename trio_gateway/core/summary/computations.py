"""Computations: names what a sentence full of signs works out, in words.

"393,216 + 24,576 = 417,792" is nothing to read in passing: a reader is served better by the deed and what it
is done with, "Calculating the sum of 393,216 and 24,576". A label in front is named ("Calculating layer 5"),
and of an equation the unknown ("Solving for k"). Results are never part of it. The words are English, so only
English reasoning is given to this module.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from .signs import is_words

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["computations", "is_computation"]

MOST_NAMED = 3
"""Computations of one sentence that are named."""
MOST = 6
"""Places of a kind that are looked at in one sentence."""

_EQUALS = re.compile(r"[=≈]")
_NUMBER = r"\d[\d,]*+(?:\.\d++)?+"
# Only what binds so: in "3*(1 + 4)" 3 is not multiplied by 1, and in "3 + 4*5" it is not added to 4.
_OPERATION = re.compile(
    rf"(?<![\w.,])(?P<one>{_NUMBER})\s?(?P<operator>[+*×·÷/−-])\s?"
    rf"(?=(?P<other>{_NUMBER})(?!\w)(?!\s?[*×·÷/^(!⁰¹²³⁴-⁹]))"
)
_BINDS_BEFORE = {"+": "+-−*×·÷/^", "-": "+-−*×·÷/^", "−": "+-−*×·÷/^"}
_BINDS_AS_MUCH = "*×·÷/^"
_LABEL = re.compile(r"(?P<label>[A-Z][a-z]{3,14}) (?P<number>\d{1,3}): ")
_POWER = re.compile(r"(?<![\w.,)])(?P<number>\d{1,6}+)(?:\^|[⁰¹²³⁴-⁹])")
_ROOT = re.compile(rf"(?:sqrt|√)\W{{0,2}}(?P<number>{_NUMBER})")
_LOGARITHM = re.compile(rf"\b(?:log|ln)[₀-₉\d_]{{0,3}}[ (]{{0,2}}(?P<number>{_NUMBER})")
_BINOMIAL = re.compile(r"\bC\((?P<one>\d{1,3}), ?(?P<other>\d{1,3})\)")
_UNKNOWN = re.compile(r"(?:^|[\s(+*−-])-?\d+(?P<number>[A-Za-z])(?![\w(])[^=]{0,60}=")
_NAMES = {
    "+": ("Adding {} and {}", "Calculating the sum of {} and {}"),
    "-": ("Subtracting {1} from {0}", "Calculating the difference of {} and {}"),
    "*": ("Multiplying {} by {}", "Calculating the product of {} and {}"),
    "/": ("Dividing {} by {}", "Working out {} divided by {}"),
}
_NAMES |= {"−": _NAMES["-"], "×": _NAMES["*"], "·": _NAMES["*"], "÷": _NAMES["/"]}
_OF_ONE = (
    (_ROOT, "Taking the square root of {}"),
    (_LOGARITHM, "Calculating the logarithm of {}"),
    (_POWER, "Calculating the powers of {}"),
    (_UNKNOWN, "Solving for {}"),
)
_BEGINNINGS = (
    *(name.split(" {")[0] + " " for names in _NAMES.values() for name in names),
    *(name.split(" {")[0] + " " for _, name in _OF_ONE),
    "Calculating the binomial coefficient",
)


def computations(sentence: str) -> list[str]:
    """What a plain English *sentence* computes, each as a phrase that is words: the first few.
    Without an equals sign nothing is computed: "2024-11-29", "pages 10-12".

    >>> computations("417,792 + 1,536 = 419,328.")
    ['Calculating the sum of 417,792 and 1,536']
    """
    if not _EQUALS.search(sentence):
        return []
    return list(islice(dict.fromkeys(filter(is_words, _named(sentence))), MOST_NAMED))


def is_computation(clause: str) -> bool:
    """Whether *clause* begins as those of :func:`computations`."""
    return clause.startswith(_BEGINNINGS)


def _named(sentence: str) -> Iterator[str]:
    if label := _LABEL.match(sentence):
        yield f"Calculating {label['label'].lower()} {label['number']}"
    for operation in islice(_OPERATION.finditer(sentence), MOST):
        before = sentence[: operation.start()][-2:].rstrip()[-1:]
        if before and before in _BINDS_BEFORE.get(operation["operator"], _BINDS_AS_MUCH):
            continue
        short, long = (
            name.format(operation["one"], operation["other"]) for name in _NAMES[operation["operator"]]
        )
        yield short if is_words(short) else long
    for binomial in islice(_BINOMIAL.finditer(sentence), MOST):
        yield f"Calculating the binomial coefficient of {binomial['one']} and {binomial['other']}"
    for pattern, name in _OF_ONE:
        for found in islice(pattern.finditer(sentence), MOST):
            yield name.format(found["number"])
