"""Thoughts in lists and objects: their text, and what is left of them without it.

The shapes are those of content lists, thinking blocks and reasoning details, nested as servers nest them.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["THOUGHT_TYPES", "PartsError", "read_parts", "sealed_of", "text_of"]

_MAX_PARTS: Final = 10_000
"""Parts of a content or reasoning list, nested ones included."""
THOUGHT_TYPES: Final = frozenset(
    {"reasoning", "thinking", "thought", "summary_text", "reasoning_text", "reasoning_content"}
)
"""Types of parts whose text is reasoning, whatever they are nested in."""
_SEALED_TYPES: Final = frozenset({"reasoning.encrypted", "redacted_thinking"})
_SEALED_KEYS: Final = frozenset(
    {"signature", "thought_signature", "thought_signatures", "reasoning_opaque", "encrypted_content"}
)
_HARMLESS: Final = _SEALED_KEYS | {"type", "id", "format", "index", "data"}
"""Keys whose strings are no thoughts."""
_TEXT_KEYS: Final = ("text", "summary", "thinking", "reasoning", "content")
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})


class PartsError(ValueError):
    """A content of unknown shape, or with too many parts."""


def text_of(value: object) -> str:
    """A string, or the texts of a list or an object, in their order.

    >>> text_of([{"text": "a"}, {"summary": [{"type": "summary_text", "text": "b"}]}])
    'ab'

    Raises:
        PartsError: there are more parts than are looked at.
    """
    if type(value) is str:
        return value
    texts: list[str] = []
    waiting, seen = [value], 0
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            item = next(filter(None, (item.get(key) for key in _TEXT_KEYS)), None)
            if type(item) is dict:
                waiting.append(item)
        if type(item) is str:
            texts.append(item)
        elif type(item) is list:
            seen += len(item)
            if seen > _MAX_PARTS:
                raise PartsError(f"a text of more than {_MAX_PARTS} parts")
            waiting += reversed(item)
    return "".join(texts)


def read_parts(content: list[Any]) -> tuple[str, str, list[dict[str, Any]]]:
    """Text and thoughts of a content list, and its parts that hold unreadable thoughts.

    Raises:
        PartsError: as ``text_of``.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    sealed: list[dict[str, Any]] = []
    waiting, seen = list(reversed(content)), len(content)
    while waiting:
        if seen > _MAX_PARTS:
            raise PartsError(f"a text of more than {_MAX_PARTS} parts")
        part = waiting.pop()
        if type(part) is not dict:
            continue
        kind, inner = part.get("type"), part.get("content")
        if _is_sealed(part):
            sealed.append(part)
        elif type(kind) is str and kind in THOUGHT_TYPES:
            thoughts.append(text_of(part))
        elif nested := [*_list(part.get("text")), *_list(inner)]:
            seen += len(nested)
            waiting += reversed(nested)
        else:
            texts.append(text_of(part.get("text")))
    return "".join(texts), "".join(thoughts), sealed


def _list(value: object) -> list[Any]:
    return value if type(value) is list else []


def sealed_of(value: object) -> Any:  # noqa: ANN401 -- a part of any JSON value
    """What of *value* holds no readable thoughts, entries of lists whole; None: nothing.

    >>> sealed_of([{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.encrypted", "data": "x"}])
    [{'type': 'reasoning.encrypted', 'data': 'x'}]
    """
    if type(value) is list:
        return [item for item in value if type(item) is dict and _is_sealed(item)] or None
    if type(value) is not dict:
        return None
    if _is_sealed(value):
        return value
    left = {}
    for key, item in value.items():
        kept = item if key in _SEALED_KEYS else sealed_of(item)
        if kept not in _NOTHING:
            left[key] = kept
    return left or None


def _is_sealed(entry: dict[str, Any]) -> bool:
    """It is of a sealed type, or has a signature and nothing beside it that can be read."""
    kind = entry.get("type")
    if type(kind) is str and kind in _SEALED_TYPES:
        return True
    if all(entry.get(key) in _NOTHING for key in _SEALED_KEYS):
        return False
    return all(
        key in _HARMLESS or type(item) in {int, float, bool} or item in _NOTHING
        for key, item in entry.items()
    )
