"""Merging of streamed JSON: joins parts of a value in linear time.

A value that still grows has a form of its own: text is a buffer, a list of numbered items a table. These
forms write themselves as JSON. What is merged here is gathered for clients that want their answer whole.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..budgets.weight import text_weight, weigh
from ..text.growing import GrowingText
from .slices import list_parts
from .strict import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GrowingList", "Merged", "NumberedList"]

_Node: TypeAlias = Any
"""A JSON value, or something that stands for one and grows."""
_REPEATED: Final = frozenset({"index", "type", "id"})
"""The parts of one tool call repeat these; appending them would make "functionfunction"."""


class NumberedList:
    """A list whose items carry an ``index``, by which their parts find each other."""

    __slots__ = ("items", "others", "shows_index")

    def __init__(self) -> None:
        self.items: dict[int, dict[str, _Node]] = {}
        self.others: list[Any] = []
        """Items that have none; they come last."""
        self.shows_index = True
        """Whether the items keep their ``index``; it is a matter of streams."""

    def json_parts(self) -> Iterator[str]:
        """The JSON text of the list, by index."""
        numbered = (self.items[index] for index in sorted(self.items))
        items = chain(numbered, self.others)
        return list_parts(items if self.shows_index else map(_without_index, items))


class GrowingList:
    """A list that grows, kept as JSON text: values weigh ten times as much."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = GrowingText()

    def append(self, items: list[Any] | GrowingList) -> None:
        """Add *items* at the end."""
        text = str(items._text) if isinstance(items, GrowingList) else dumps(items)[1:-1]
        if text:
            self._text.append(f", {text}" if self._text else text)

    def json_parts(self) -> Iterator[str]:
        """The JSON text of the list, in parts of bounded work."""
        yield "["
        yield from self._text.pieces()
        yield "]"

    def __len__(self) -> int:
        """Bytes it takes."""
        return len(self._text)


class Merged:
    """An object that comes in parts, merged as OpenAI's own clients do.

    Text is appended, objects are merged, items of lists that carry an ``index`` are merged with the item of
    that index, other lists are appended, and any other value takes the place of the one before it.
    """

    __slots__ = ("size", "value")

    def __init__(self) -> None:
        self.value: dict[str, _Node] = {}
        """What has come so far. Not to be changed by others."""
        self.size = 0
        """About how many bytes it takes."""

    def add(self, part: dict[str, Any]) -> None:
        """Merge *part*, which must not be changed afterwards."""
        self._merge_members(self.value, part)

    def _merge_members(self, held: dict[str, _Node], part: dict[str, Any]) -> None:
        for key, value in part.items():
            if key not in held:
                self.size += len(key)
            if not (key in _REPEATED and held.get(key)):
                held[key] = self._merged(held.get(key), value)

    def _merged(self, held: _Node, new: Any) -> _Node:  # noqa: ANN401 -- any JSON value
        match held, new:
            case _, None:
                return held
            case GrowingText(), str():
                self.size += text_weight(new)
                held.append(new)
            case str(), str():
                self.size += text_weight(new)
                held = GrowingText(held)
                held.append(new)
            case dict(), dict():
                self._merge_members(held, new)
            case ((None | NumberedList()), list()) if new and all(map(_is_numbered, new)):
                held = held or NumberedList()
                self._merge_numbered(held, new)
            case NumberedList(), list():
                self.size += weigh(new)
                held.others += new
            case list(), list():
                self.size += weigh(new)
                held += new
            case _, dict():
                held = {}
                self._merge_members(held, new)
            case _:
                self.size += weigh(new)
                return new
        return held

    def _merge_numbered(self, held: NumberedList, new: list[dict[str, Any]]) -> None:
        for item in new:
            index = item["index"]
            if index not in held.items:
                self.size += weigh({})
                held.items[index] = {}
            self._merge_members(held.items[index], item)


def _is_numbered(item: object) -> bool:
    return isinstance(item, dict) and type(item.get("index")) is int


def _without_index(item: _Node) -> _Node:
    return {key: value for key, value in item.items() if key != "index"} if isinstance(item, dict) else item
