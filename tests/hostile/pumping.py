"""Pumped strings that make a pattern backtrack, derived from its own structure, and a table of generic ones.

An attack is a prefix, a pump that is repeated, and a suffix: the prefix leads up to a repeat of the pattern, the
pump feeds it, the suffix makes what follows fail. Besides, the way up to a repeat is pumped as a whole, which is
what a search that begins anew at every place suffers from.
"""

from __future__ import annotations

import importlib
import re
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.hostile.patterns import SCANNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hostile.patterns import Found

__all__ = ["Attack", "applications", "attacks", "is_linear"]

# Typed as Any: the parser of patterns is not part of the library's public interface.
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")

TIMES = 16
SLOWER = 50
"""A text that is TIMES as long may take at most SLOWER times as long; quadratic would be 256 times."""
BEST_OF = 5
SCREEN = 8192
"""Characters of the text with which every attack is tried first, and against a text a TIMES of it."""
QUICK = 0.0004
"""Seconds within which it must be read so that nothing more is measured: 50 ns a character."""
ENOUGH = 0.001
"""Seconds that the smaller text must take, where one of at most LONGEST characters can."""
LONGEST = 1 << 16
PATIENCE = 0.5
"""CPU seconds after which a pattern counts as stuck."""

GENERIC = (
    *"aA0_ \n\t.,:;-=+*/|\\<>()[]{}`~$#\"'!?%&@^é我。、！，…’\u2028\x00",
    *("a ", "A ", "1,", "a.", "a,", " \n", "\n ", "\r\n", "\t\n", "a\n", "    a\n", "\\[", "\\(", "\\]", "$$", "$a", "**", "__", "<a", "</"),
    *("](", "![", "```\n", "~~~\n", "<!--", "-->", " is ", "the ", "=1", "= ", "is 1", "(a", "a b ", "我 ", "“", "--- ", "- ", "> ", "| ", "{\"", "\"a\":"),
)  # fmt: skip
"""Pumps that are tried with every pattern."""
SUFFIXES = ("", "\x00" * 100, "!\n")
_SAMPLES = "a1 \nA_.-=<\x00我"
_MOST_VARIANTS = 3
_MOST_DERIVED = 24


class Attack(NamedTuple):
    """A string that grows: prefix, pump and suffix."""

    prefix: str
    pump: str
    suffix: str

    def text(self, length: int) -> str:
        """The string with so many characters of pumps."""
        return self.prefix + self.pump * max(1, length // len(self.pump)) + self.suffix


def attacks(pattern: str, flags: int) -> Iterator[Attack]:
    """The attacks on *pattern*, each once."""
    derived = list(dict.fromkeys(_derived(list(_parser.parse(pattern, flags)), [""])))
    # Where there are many, repeats without a bound come first, and the rest is sampled evenly.
    derived.sort(key=lambda each: each[0])
    certain = [each[1:] for each in derived if not each[0]]
    sampled = [each[1:] for each in derived if each[0]]
    sampled = sampled[:: 1 + len(sampled) // _MOST_DERIVED]
    found: dict[Attack, None] = {}
    for prefix, pump in [*certain, *sampled]:
        for suffix in SUFFIXES:
            found[Attack(prefix, pump, suffix)] = found[Attack("", prefix + pump, suffix)] = None
    for pump in GENERIC:
        found[Attack("", pump, SUFFIXES[1])] = None
    return (attack for attack in found if attack.pump)


def _derived(nodes: list[Any], before: list[str]) -> Iterator[tuple[bool, str, str]]:
    """The repeats in a sequence of *nodes*: whether each is bounded, what leads up to it, and what feeds it."""
    for at, (op, value) in enumerate(nodes):
        prefixes = [start + lead for start in before for lead in _strings(nodes[:at])][:2]
        for inner in _inner(op, value):
            yield from _derived(inner, prefixes)
        if op in _REPEATS:
            for prefix in prefixes:
                for body in _strings(list(value[2])):
                    yield value[1] <= _FEW, prefix, body
                    for after in _strings(nodes[at + 1 :])[:1]:
                        yield True, prefix, body + after
    for whole in _strings(nodes):
        yield True, before[0], whole
        yield True, before[0], whole[:-1]


_FEW = 16
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


def _inner(op: Any, value: Any) -> list[list[Any]]:
    """The sequences inside a node."""
    if op in _REPEATS:
        return [list(value[2])]
    if op is _constants.BRANCH:
        return [list(branch) for branch in value[1]]
    if op is _constants.SUBPATTERN:
        return [list(value[3])]
    if op is _constants.ATOMIC_GROUP:
        return [list(value)]
    if op in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [list(value[1])]
    return []


def _strings(nodes: list[Any]) -> list[str]:
    """A few strings that a sequence of nodes matches, more or less."""
    found = [""]
    for op, value in nodes:
        found = [start + more for start in found for more in _strings_of(op, value)][:_MOST_VARIANTS]
    return found


def _strings_of(op: Any, value: Any) -> list[str]:
    if op is _constants.LITERAL:
        return [chr(value)]
    if op in (_constants.IN, _constants.ANY, _constants.NOT_LITERAL, _constants.CATEGORY):
        return _characters(op, value)
    if op in _REPEATS:
        return [string * max(1, min(value[0], 3)) for string in _strings(list(value[2]))]
    if op in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [""]
    variants = [_strings(inner)[:2] for inner in _inner(op, value)]
    return [string for at in range(2) for strings in variants for string in strings[at : at + 1]] or [""]


def _characters(op: Any, value: Any) -> list[str]:
    """Characters of a class, unlike one another where it has such."""
    if op is _constants.IN:
        chosen = [chr(end) for kind, item in value if kind is _constants.RANGE for end in item] + [
            chr(item) for kind, item in value if kind is _constants.LITERAL
        ]
    else:
        chosen = []
    pattern = _class(op, value)
    fitting = [char for char in [*_SAMPLES, *chosen] if pattern(char)]
    return list(dict.fromkeys(fitting))[: _MOST_VARIANTS + 1] or ["a"]


def _class(op: Any, value: Any) -> Callable[[str], bool]:
    """Whether a character belongs to a class."""
    if op is _constants.ANY:
        return lambda char: char != "\n"
    if op is _constants.NOT_LITERAL:
        return lambda char: char != chr(value)
    if op is _constants.CATEGORY:
        return lambda char: bool(re.fullmatch(_CATEGORIES[value], char))
    negated = any(kind is _constants.NEGATE for kind, _ in value)
    return lambda char: negated != any(_has(kind, item, char) for kind, item in value)


def _has(kind: Any, item: Any, char: str) -> bool:
    if kind is _constants.LITERAL:
        return char == chr(item)
    if kind is _constants.RANGE:
        return bool(item[0] <= ord(char) <= item[1])
    return kind is _constants.CATEGORY and bool(re.fullmatch(_CATEGORIES[item], char))


_CATEGORIES = {
    _constants.CATEGORY_DIGIT: r"\d",
    _constants.CATEGORY_NOT_DIGIT: r"\D",
    _constants.CATEGORY_SPACE: r"\s",
    _constants.CATEGORY_NOT_SPACE: r"\S",
    _constants.CATEGORY_WORD: r"\w",
    _constants.CATEGORY_NOT_WORD: r"\W",
}


# ------------------------------------------------------------------------------------ measuring


class _StuckError(Exception):
    """The pattern does not come to an end."""


@contextmanager
def _patience() -> Iterator[None]:
    def stuck(*_: object) -> None:
        raise _StuckError

    before = signal.signal(signal.SIGVTALRM, stuck)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def applications(found: Found) -> list[Callable[[str], object]]:
    """The ways in which a pattern is applied to a text."""
    compiled: re.Pattern[Any] = re.compile(found.pattern, found.flags)
    encode: Callable[[str], Any] = (
        (lambda text: text.encode("latin-1", "replace"))
        if isinstance(found.pattern, bytes)
        else (lambda text: text)
    )
    ways: list[Callable[[str], object]] = []
    if found.methods & SCANNING:
        ways.append(lambda text: sum(1 for _ in compiled.finditer(encode(text))))
    if "match" in found.methods:
        ways.append(lambda text: compiled.match(encode(text)))
    if "fullmatch" in found.methods:
        ways.append(lambda text: compiled.fullmatch(encode(text)))
    return ways


def seconds_for(way: Callable[[str], object], text: str) -> float:
    """How long *way* takes with *text*; infinite where it does not come to an end."""
    since = time.thread_time()
    try:
        with _patience():
            way(text)
    except _StuckError:
        return float("inf")
    return time.thread_time() - since


def is_linear(way: Callable[[str], object], attack: Attack) -> bool:
    """Whether a text TIMES as long takes at most SLOWER times as long: best of five, at a size that shows it."""
    if seconds_for(way, attack.text(64)) == float("inf"):  # what is exponential shows early
        return False
    screened = seconds_for(way, attack.text(SCREEN))
    if screened < QUICK or screened <= 2 * TIMES * seconds_for(way, attack.text(SCREEN // TIMES)):
        return True
    length = SCREEN // TIMES
    while length < LONGEST and _best(way, attack.text(length)) < ENOUGH:
        length *= 2
    few, many = attack.text(length), attack.text(TIMES * length)
    allowed = SLOWER * _best(way, few)
    taken = seconds_for(way, many)
    return taken <= allowed or (taken < 4 * allowed and _best(way, many) <= allowed)


def _best(way: Callable[[str], object], text: str) -> float:
    best = float("inf")
    for _ in range(BEST_OF):
        best = min(best, seconds_for(way, text))
        if best == float("inf"):
            return best
    return best
