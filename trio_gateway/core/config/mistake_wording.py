"""Wording of configuration mistakes: says what was expected, and what was found.

No text holds a value that could be a key.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

from msgspec import inspect

__all__ = ["KeyPath", "blame", "dotted", "expected_of", "found_as", "quote", "shorten"]

KeyPath = tuple[str | int, ...]


def blame(message: str, info: inspect.Type, value: Any, path: KeyPath) -> tuple[KeyPath, str, str]:  # noqa: ANN401
    """Where in *value* at *path* the mistake of msgspec's *message* is; what was expected, what found."""
    # The message ends in: - at `$.markers[0][1]`
    _, at, place = message.rpartition(" - at `$")
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", place if at else ""):
        step = name or int(index)
        info, value, path = _member(info, step), value[step], (*path, step)
    return path, expected_of(info), found_as(path, value)


def _member(info: inspect.Type, step: str | int) -> inspect.Type:
    if isinstance(info, inspect.StructType):
        return next(member.type for member in info.fields if member.name == step)
    if isinstance(info, inspect.TupleType):
        return info.item_types[cast("int", step)]
    return cast("inspect.VarTupleType", info).item_type


def expected_of(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(quote(str(value)) for value in values)
        case inspect.UnionType(types=types):
            return " or ".join(map(expected_of, types))
        case inspect.IntType() | inspect.FloatType():
            ends = (("above", info.gt), ("from", info.ge), ("below", info.lt), ("up to", info.le))
            bounds = " ".join(f"{word} {end:.12g}" for word, end in ends if end is not None)
            return f"{'an integer' if isinstance(info, inspect.IntType) else 'a number'} {bounds}"
        case inspect.TupleType():
            return "a pair of strings"
        case inspect.VarTupleType(min_length=least):
            return "an array with at least one item" if least else "an array"
    return "a string"


def found_as(path: KeyPath, value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return f"an array of {len(value)}"
        case str() | int() | float() if "key" in str(path[-1]) or path[-1] == "url":
            return "a value that is not shown"
        case str():
            return quote(value)
        case int() if abs(value) >= 10**18:
            return "an integer of many digits"
        case int() | float():
            return repr(value)
    return "a date or a time"


def quote(text: str) -> str:
    return json.dumps(shorten(text), ensure_ascii=False)


def shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def dotted(path: KeyPath) -> str:
    """The path as TOML writes it: ``models."qwen3:8b".markers[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." * bool(text) + (step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else quote(step))
    return text
