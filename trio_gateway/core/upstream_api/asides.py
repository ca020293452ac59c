"""Asides: what came beside an answer's text and must wait until its final output opens."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ..budgets.weight import weigh
from ..json.merging import NumberedList

if TYPE_CHECKING:
    from .delta_fields import Aside

__all__ = ["Attributes", "HeldAsides"]

Json = dict[str, Any]

_NOTHING: Final = object()
_OF_A_STREAM: Final = frozenset({"name"})
"""Attributes of a delta that no message has: the name of the service that writes it (MiniMax)."""
_TEXTS: Final = ("text", "thinking", "summary")
"""Keys of an entry whose strings go on in the next entry of the same block."""


class Attributes:
    """Facts that servers repeat in every chunk; each value is given once.

    *grows*: of a list that repeats the one before it and adds to it, only what it adds is given.
    """

    __slots__ = ("_grows", "_last", "_waiting", "size")

    def __init__(self, *, grows: bool) -> None:
        self._grows = grows
        self._last: Json = {}
        self._waiting: Json = {}
        self.size = 0
        """About how many bytes it takes."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, values: Json) -> None:
        """Take the values of one chunk."""
        for key, value in values.items():
            last = self._last.get(key, _NOTHING)
            if value == last:
                continue
            self._last[key] = value
            waiting = self._waiting.get(key)
            if not (self._grows and type(value) is list and type(last) is list):
                self._waiting[key] = value
            elif value[: len(last)] == last:
                self._waiting[key] = (waiting or []) + value[len(last) :]
            else:
                self._waiting[key] = (waiting or []) + value
        self.size = weigh([self._last, self._waiting])

    def take(self) -> Json:
        """The values that were not given yet."""
        waiting, self._waiting = self._waiting, {}
        return waiting


class HeldAsides:
    """The asides of one choice.

    *shows_thoughts*: the client gets the fields that hold the reasoning. *shows_others*: it gets unknown
    fields before any output. *whole*: it gets its answer in one piece.
    """

    __slots__ = ("_attributes", "_parts", "_shows_others", "_shows_thoughts", "_size", "_whole")

    def __init__(self, *, shows_thoughts: bool, shows_others: bool, whole: bool) -> None:
        self._shows_thoughts = shows_thoughts
        self._shows_others = shows_others
        self._whole = whole
        self._attributes = Attributes(grows=True)
        self._parts: list[Json] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._attributes or self._parts)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return self._size + self._attributes.size

    def add(self, aside: Aside, *, opened: bool) -> Json:
        """Take what may reach this client; what of it need not wait is given. *opened*: output has come."""
        if aside.attributes:
            dropped = _OF_A_STREAM if self._whole else frozenset()
            self._attributes.add({key: aside.attributes[key] for key in aside.attributes.keys() - dropped})
        at_once: Json = {}
        parts = [aside.sealed]
        if not self._shows_thoughts:
            parts.append(aside.cleared)
        elif self._whole:
            parts.append(aside.thoughts)
        else:
            at_once = aside.thoughts
        if self._shows_others and not (opened or self._whole):
            at_once = {**at_once, **aside.others}
        elif opened or self._shows_others:
            parts.append(aside.others)
        for part in filter(None, parts):
            self._parts.append(part)
            self._size += weigh(part)
        return at_once

    def take(self) -> list[Json]:
        """The deltas to give, in their order; what came under one name is never joined."""
        deltas = [self._attributes.take()]
        for part in self._parts:
            if deltas[-1].keys() & part.keys():
                deltas.append({})
            deltas[-1] |= part
        self._parts, self._size = [], 0
        return [delta for delta in deltas if delta]

    def take_joined(self) -> Json:
        """The same as one delta: texts and lists are joined, any other value replaces the one before it."""
        values: dict[str, list[Any]] = {}
        for delta in self.take():
            for key, value in delta.items():
                values.setdefault(key, []).append(value)
        return {key: _joined(came) for key, came in values.items()}

    def take_whole(self) -> Json:
        """The same for a message: pieces of one block are one entry, and no list is merged any more."""
        whole = self.take_joined()
        for key, value in whole.items():
            if type(value) is list:
                whole[key] = entries = NumberedList()
                entries.others = _blocks(value)
        return whole


def _joined(values: list[Any]) -> Any:  # noqa: ANN401 -- any JSON value
    if all(type(value) is str for value in values):
        return "".join(values)
    if all(type(value) is list for value in values):
        return list(chain.from_iterable(values))
    return values[-1]


def _blocks(entries: list[Any]) -> list[Any]:
    """*entries*, those that go on with the block before them joined to it."""
    blocks: list[Any] = []
    texts: dict[str, list[str]] = {}
    for entry in entries:
        if blocks and _goes_on(blocks[-1], entry):
            for key, value in entry.items():
                if key in _TEXTS and type(value) is str:
                    texts.setdefault(key, [blocks[-1].get(key) or ""]).append(value)
                elif value is not None:
                    blocks[-1][key] = value
            continue
        _write(blocks, texts)
        blocks.append(dict(entry) if type(entry) is dict else entry)
    _write(blocks, texts)
    return blocks


def _write(blocks: list[Any], texts: dict[str, list[str]]) -> None:
    for key, pieces in texts.items():
        blocks[-1][key] = "".join(pieces)
    texts.clear()


def _goes_on(block: object, entry: object) -> bool:
    """Both are pieces of one readable block, which a signature ends."""
    if type(block) is not dict or type(entry) is not dict or block.get("signature"):
        return False
    if not any(type(block.get(key)) is str for key in _TEXTS):
        return False
    return all(block.get(key) == entry.get(key) for key in ("type", "index", "id"))
