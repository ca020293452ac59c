"""No pattern of the package takes more than linear time, whatever the text."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache

import pytest

from tests.hostile.patterns import SCANNING, USES, Found, find_patterns, sites
from tests.hostile.pumping import applications, attacks, is_linear

_found = lru_cache(maxsize=1)(find_patterns)


def _patterns() -> dict[str, list[Found]]:
    """The patterns of the package, by the file they stand in."""
    by_file = defaultdict(list)
    for found in _found()[0]:
        by_file[found.place.partition(":")[0]].append(found)
    return by_file


def _weaknesses(found: Found) -> list[str]:
    """The first attack that makes a pattern take more than linear time."""
    pattern = found.pattern if isinstance(found.pattern, str) else found.pattern.decode("latin-1")
    for attack in attacks(pattern, found.flags):
        if not all(is_linear(way, attack) for way in applications(found)):
            return [f"{found.place}: {found.pattern!r} with {attack}"]
    return []


@pytest.mark.parametrize("file", sorted({site.file for site in sites()}))
def test_every_pattern_is_linear(file: str) -> None:
    weak = [weakness for found in _patterns()[file] for weakness in _weaknesses(found)]
    assert weak == []


def test_no_place_that_uses_a_pattern_is_missed() -> None:
    assert _found()[1] == []


def test_the_patterns_are_found() -> None:
    """Those of a name, of a collection, inside a function, and those built from a model's configuration."""
    patterns = {str(found.pattern): found.methods for each in _patterns().values() for found in each}
    assert len(patterns) > 300
    assert patterns[r"\d[\d,]*+(?:\.\d++)?+"] == {"findall"}
    assert patterns[r"std::|#include <\w++>|\bcout\b|template ?<"] == USES
    assert patterns["[45]\\d\\d(?:\\d\\d)?"] == {"fullmatch"}
    assert "<(?![^/tT])" in patterns
    assert "(\\[END\\])" in patterns
    assert "^tagged-[a-z]+(?:-[0-9]+)?$" in patterns


# Patterns that stood in the package once, or are of the kinds that did, with a method that shows it.
WEAK = [
    (
        "search",
        r"Traceback \(most recent call last\):\n(?:(?:[ \t]+[^\n]*\n)+)(?P<error>[\w.]+)(?::[^\n]*)?",
        0,
    ),
    ("findall", r"^\s*impl\b", re.MULTILINE),
    ("sub", r"\s+([,.;:!?])(?=\s|$)", 0),
    ("sub", r"\\\[.*?\\\]|\$\$.*?\$\$", re.DOTALL),
    ("split", r"`+([^`\n]+)`+", 0),
    ("search", r"(?:^|\n)[ \t]*(?:```+|~~~+)[^\n]*\n", 0),
    ("match", r"[^\n]*\n\s*([^\n]*\S)[^\n]*\n", 0),
    ("match", r"(?:(?:<a>.*?</a>|<a>.*?</b>)\s*)+", re.DOTALL),
    ("match", r".*(?:is|=)\s*\d[\d,]*\w*[^=]{0,25}$", re.IGNORECASE),
    ("search", r"([\w./]+)\([^\n)]*\)\n", 0),
    ("search", r"qwen-?3.*thinking", re.IGNORECASE),
    ("fullmatch", r"(?:\w+\s?)*", 0),
    ("search", r"\d+x", 0),
    ("match", r"(a|b|ab)*c", 0),
]


@pytest.mark.parametrize(("method", "pattern", "flags"), WEAK)
def test_a_weak_pattern_is_recognised(method: str, pattern: str, flags: int) -> None:
    assert method in USES
    assert _weaknesses(Found(pattern, int(flags), frozenset([method]), "here"))


def test_what_is_linear_only_at_a_texts_head_is_no_weakness_there() -> None:
    """A search tries a pattern at every place; a match does not."""
    assert _weaknesses(Found(r"\s*>", 0, frozenset(SCANNING), "here"))
    assert not _weaknesses(Found(r"\s*>", 0, frozenset(["match"]), "here"))
