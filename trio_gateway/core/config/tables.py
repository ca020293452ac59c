"""Configuration tables: read the file, overlay variables, and check against the schema.

Where a value came from is kept, so that a mistake is blamed on the right place; the message says what was
expected and what was found, never a value that could be a key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import inspect

from .mistake_wording import KeyPath, blame, dotted, expected_of, found_as, quote, shorten
from .schema import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KeyPath", "Tables", "dotted", "quote"]


class Tables:
    """The file's raw tables, and which of their values came from which variable."""

    def __init__(
        self,
        file: str,
        variables: Mapping[str, str],
        read_text: Callable[[str], str],
        root: dict[str, Any] | None = None,
    ) -> None:
        """*root*: tables in the place of those of the *file*, whose name is then for messages alone."""
        self.file = file
        self.variables = variables
        self._read_text = read_text
        self._origins: dict[KeyPath, str] = {}
        self.overruled: set[str] = set()
        """Variables in whose place something else was given."""
        if root is None:
            root = _parse_toml(self.read((), file), file) if file else {}
        self.root: dict[str, Any] = root

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
                raise self.error(path[:depth], "a table", found_as(path[:depth], table))
        return cast("dict[str, Any]", table)

    def put(self, path: KeyPath, value: object, variable: str) -> None:
        """Set the value at *path*; messages say that it came from *variable*."""
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
            raise self.error(path, "a table", found_as(path, value))
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
            raise self.error(*blame(str(error), info, value, path)) from None

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
                raise self.error((*path, name), expected_of(member.type), "nothing")


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
