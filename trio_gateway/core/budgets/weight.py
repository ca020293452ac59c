"""Weights: estimate by rule how many bytes of memory a value takes."""

from __future__ import annotations

import math
from typing import Any, Final

__all__ = ["text_weight", "weigh"]

_CONTAINER: Final = 64
_ITEM: Final = 16
"""A pointer, and what a small value behind it takes on the average."""
_STRING: Final = 50


def text_weight(text: str) -> int:
    """Bytes of *text* in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def weigh(value: Any, *, limit: float = math.inf) -> int:  # noqa: ANN401 -- any JSON value
    """The weight of a JSON value; more than *limit* is not counted to its end.

    >>> weigh([1, 2, "three"])
    167
    """
    weight, waiting = 0, [value]
    while waiting and weight <= limit:
        item = waiting.pop()
        kind = type(item)  # not a match statement, which takes twice as long
        if kind is str:
            weight += _STRING + text_weight(item)
        elif kind is list:
            weight += _CONTAINER + _ITEM * len(item)
            waiting += item
        elif kind is dict:
            weight += _CONTAINER + 3 * _ITEM * len(item) + sum(map(len, item))
            waiting += item.values()
        else:
            weight += _ITEM
    return weight
