"""Log probabilities: wait for their text, or are gathered with it."""

from __future__ import annotations

import math
from json import loads
from typing import Any

from ..budgets.weight import weigh
from .merging import GrowingList
from .slices import json_parts

__all__ = ["HeldLogprobs"]


class HeldLogprobs:
    """Log probabilities of some text, as they came or joined."""

    __slots__ = ("_first", "_lists", "_others")

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._first: object = None
        self._lists: dict[str, GrowingList] = {}
        self._others: dict[str, Any] = {}

    def add(self, logprobs: object) -> None:
        """Add what came with more of the text; None is nothing. Lists are joined, other values replaced."""
        if logprobs is None:
            return
        if not self:
            self._first = logprobs
            return
        self.compact()
        self._join(logprobs)

    def __bool__(self) -> bool:
        return self._first is not None or bool(self._lists) or bool(self._others)

    def compact(self, *, limit: float = math.inf) -> bool:
        """Bring what came at once into the form in which more is joined: it weighs less, and has a size.

        False where it weighs more than *limit*, and is left as it is.
        """
        if self._first is not None:
            if weigh(self._first, limit=limit) > limit:
                return False
            first, self._first = self._first, None
            self._join(first)
        return True

    def _join(self, logprobs: object) -> None:
        if not isinstance(logprobs, dict):
            return  # of no known form: it cannot be joined
        for key, value in logprobs.items():
            if isinstance(value, list | GrowingList):
                self._lists.setdefault(key, GrowingList()).append(value)
            else:
                self._others[key] = value

    @property
    def size(self) -> int:
        """Bytes that are held, not counting what came last if it came at once."""
        lists = sum(map(len, self._lists.values()))
        return lists + (weigh(self._others) if self._others else 0)

    def take(self) -> object:
        """What is held, which is nothing afterwards. Lists that were joined are in a form of their own."""
        taken = self._first if self._first is not None else {**self._others, **self._lists} or None
        self._clear()
        return taken

    def take_plain(self) -> object:
        """The same, as plain JSON values; decoding them takes its time, so only where they are few."""
        came_at_once = self._first is not None
        taken = self.take()
        return taken if came_at_once or taken is None else loads("".join(json_parts(taken)))
