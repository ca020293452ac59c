"""Whether a pattern of the configuration (``models.X.match``) always comes to an end soon.

Python's engine tries every way to divide a text among nested repeats, which takes exponential time: an id of
30 letters holds the gateway for minutes where ``match`` is ``(a+)+$``. So what the engine could divide in two
ways is refused: inside a repeat, another one, or alternatives that can begin alike. Ids have at most 256
characters, so that what is left is quick enough.
"""

from __future__ import annotations

import re
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # there is no public parser
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["expectation_missed"]

_EXPECTED: Final = (
    "a regular expression in which no repeat contains a repeat, or alternatives that begin alike"
)
_REPEATS: Final = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_GROUPS: Final = (_constants.SUBPATTERN, _constants.ATOMIC_GROUP)
_LOOKS: Final = (_constants.ASSERT, _constants.ASSERT_NOT)
_ALPHABET: Final = [*map(chr, range(128)), "é"]
"""Characters by which starts are compared: ASCII, and one for all others."""

# A sequence of nodes of the library's parser, as in [(LITERAL, 97), (MAX_REPEAT, (0, 1, …))].
_Nodes: TypeAlias = Any


def expectation_missed(pattern: str) -> str | None:
    """What was expected of *pattern* and is not so; None where it may be used."""
    try:
        re.compile(pattern)
        refused = any(map(_is_ambiguous, _repeated(_parser.parse(pattern, re.IGNORECASE))))
    except (re.error, OverflowError, RecursionError):
        return "a regular expression"
    return _EXPECTED if refused else None


def _repeated(nodes: _Nodes) -> Iterator[_Nodes]:
    """What stands in a repeat that can take more than one turn, wherever it stands."""
    for op, value in nodes:
        if op in _REPEATS and value[1] > 1:
            yield value[2]
        for inner in _inner(op, value):
            yield from _repeated(inner)


def _is_ambiguous(nodes: _Nodes) -> bool:
    """Whether what is repeated holds a repeat of more than one length, or alternatives that begin alike."""
    for op, value in nodes:
        if op in _REPEATS and value[0] != value[1]:
            return True
        if op is _constants.BRANCH and _begin_alike(value[1]):
            return True
        if op in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
            return True
        if any(_is_ambiguous(inner) for inner in _inner(op, value)):
            return True
    return False


def _inner(op: Any, value: Any) -> list[_Nodes]:  # noqa: ANN401
    """The sequences inside a node."""
    if op in _REPEATS:
        return [value[2]]
    if op is _constants.BRANCH:
        return list(value[1])
    if op in _GROUPS:
        return [value[-1] if op is _constants.SUBPATTERN else value]
    if op in _LOOKS:
        return [value[1]]
    if op is _constants.GROUPREF_EXISTS:
        return [branch for branch in value[1:] if branch]
    return []


def _begin_alike(branches: list[_Nodes]) -> bool:
    """Whether two of *branches* can begin with the same character, or one of them is empty."""
    seen: set[str] = set()
    for branch in branches:
        first = _first(branch)
        if not first or not seen.isdisjoint(first):
            return True
        seen |= first
    return False


def _first(nodes: _Nodes) -> set[str]:
    """The characters with which a sequence can begin; none where that is not plain to see."""
    for op, value in nodes:
        if op in _GROUPS:
            return _first(_inner(op, value)[0])
        if op is _constants.BRANCH:
            return set().union(*map(_first, value[1])) if all(map(_first, value[1])) else set()
        if op in _REPEATS and value[0]:
            return _first(value[2])
        if op in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            one = _compiler.compile(_parser.SubPattern(nodes.state, [(op, value)]), re.IGNORECASE)
            return {char for char in _ALPHABET if one.fullmatch(char)}
        if op is not _constants.AT:
            break
    return set()
