"""The raw tables of the configuration file: read, laid over by variables, and checked against the structs.

Where a value came from is kept, so that a mistake is blamed on the right place; the message says what was
expected and what was found, never a value that could be a key.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import inspect

from .schema import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KeyPath", "Tables", "dotted", "quote"]

KeyPath = tuple[str | int, ...]


class Tables:
    """The file's raw tables, and which of their values came from which variable."""

    def __init__(self, file: str, variables: Mapping[str, str], read_text: Callable[[str], str]) -> None:
        self.file = file
        self.variables = variables
        self._read_text = read_text
        self._origins: dict[KeyPath, str] = {}
        self.root: dict[str, Any] = _parse_toml(self.read((), file), file) if file else {}

    def error(self, path: KeyPath, expected: str, found: str) -> ConfigError:
        return ConfigError(self._origin(path), dotted(path), expected, found)

    def _origin(self, path: KeyPath) -> str:
        """The variable that the value at *path*, or a list around it, came from, else the file."""
        ways = (path[:length] for length in range(len(path), 0, -1))
        return next((self._origins[way] for way in ways if way in self._origins), self.file)

    def table(self, path: KeyPath) -> dict[str, Any]:
        """The table at *path*, made where it is missing."""
        table: Any = self.root
        for depth, step in enumerate(path, 1):
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise self.error(path[:depth], "a table", _found(path[:depth], table))
        return cast("dict[str, Any]", table)

    def put(self, path: KeyPath, value: str | int | list[str], variable: str) -> None:
        self.table(path[:-1])[str(path[-1])] = value
        self._origins[path] = variable

    def setting(self, path: KeyPath) -> str:
        """What sets the value at *path*: a variable, or the key itself."""
        return self._origins.get(path) or dotted(path)

    def locate(self, path: KeyPath, name: str) -> str:
        """The file that the value at *path* names: a relative one lies beside the configuration file, unless
        the value came from a variable."""
        return name if path in self._origins else str(PurePath(self.file).parent / name)

    def read(self, path: KeyPath, name: str, *, variable: str = "") -> str:
        """The text of the file *name*, which the value at *path*, or *variable*, asks for."""
        try:
            return self._read_text(name)
        except OSError as error:
            reason = error.strerror or "one that cannot be read"
        except ValueError:  # not UTF-8, or a name that no system takes
            reason = "one that is not UTF-8 text"
        where = variable or self._origin(path)
        raise ConfigError(where, dotted(path), "a readable file", reason)

    def check(self, info: inspect.StructType | inspect.DictType, value: object, path: KeyPath) -> None:
        """Find the first mistake in the table *value*, and in the tables within it.

        Keys are looked at here and the other values by msgspec, whose messages say where in a struct the
        mistake is, but neither which entry of a table of tables it is in, nor the whole range.
        """
        if not isinstance(value, dict):
            raise self.error(path, "a table", _found(path, value))
        if isinstance(info, inspect.DictType):
            for key, item in value.items():
                self.check(cast("inspect.StructType", info.value_type), item, (*path, key))
            return
        self._check_keys(info, value, path)
        for member in info.fields:
            if member.name in value and isinstance(member.type, inspect.StructType | inspect.DictType):
                self.check(member.type, value[member.name], (*path, member.name))
        try:
            msgspec.convert(value, info.cls)
        except msgspec.ValidationError as error:
            raise self._blame(str(error), info, value, path) from None

    def _check_keys(self, info: inspect.StructType, table: dict[str, Any], path: KeyPath) -> None:
        known = {member.name: member for member in info.fields}
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                guess = f"did you mean {quote(near[0])}?" if near else f"known are {', '.join(known)}"
                unknown = f"unknown key {dotted((*path, key))}; {guess}"
                raise ConfigError(self._origin((*path, key)), "", unknown)
        for name, member in known.items():
            if member.required and name not in table:
                raise self.error((*path, name), _expected(member.type), "nothing")

    def _blame(self, message: str, info: inspect.Type, table: dict[str, Any], path: KeyPath) -> ConfigError:
        value: Any = table
        # The message ends in: - at `$.markers[0][1]`
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", message.rpartition(" - at `$")[2]):
            step = name or int(index)
            info, value, path = _member(info, step), value[step], (*path, step)
        return self.error(path, _expected(info), _found(path, value))


def _parse_toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).rpartition(" (at ")
        line = re.match(r"line \d+", place)
        at = line.group() if line else f"line {text.count(chr(10)) + 1}"  # at the end of the document
        raise ConfigError(file, at, "TOML", f"a syntax error ({shorten(reason)})") from None
    except (ValueError, RecursionError):
        raise ConfigError(file, "", "TOML", "a number too long or tables too deep") from None


def _member(info: inspect.Type, step: str | int) -> inspect.Type:
    if isinstance(info, inspect.StructType):
        return next(member.type for member in info.fields if member.name == step)
    if isinstance(info, inspect.TupleType):
        return info.item_types[cast("int", step)]
    return cast("inspect.VarTupleType", info).item_type


def _expected(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(quote(str(value)) for value in values)
        case inspect.UnionType(types=types):
            return " or ".join(map(_expected, types))
        case inspect.IntType() | inspect.FloatType():
            ends = (("above", info.gt), ("from", info.ge), ("below", info.lt), ("up to", info.le))
            bounds = " ".join(f"{word} {end:.12g}" for word, end in ends if end is not None)
            return f"{'an integer' if isinstance(info, inspect.IntType) else 'a number'} {bounds}"
        case inspect.TupleType():
            return "a pair of strings"
        case inspect.VarTupleType(min_length=least):
            return "an array with at least one item" if least else "an array"
    return "a string"


def _found(path: KeyPath, value: object) -> str:
    match value:
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
