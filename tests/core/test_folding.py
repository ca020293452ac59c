"""Patterns that match in any case: they find what ``re.IGNORECASE`` finds, and stand in small letters."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core import summary
from trio_gateway.core.summary.folding import AnyCase, folded

if TYPE_CHECKING:
    from collections.abc import Iterator


FILE = Path(__file__).parents[1] / "data" / "summary_passages.jsonl"
PASSAGES: list[str] = [
    json.loads(line)["reasoning"] for line in FILE.read_text(encoding="utf-8").splitlines()
]


def _patterns() -> dict[str, AnyCase]:
    found: dict[str, AnyCase] = {}
    for module in pkgutil.iter_modules(summary.__path__):
        held = vars(importlib.import_module(f"{summary.__name__}.{module.name}"))
        found |= {f"{module.name}.{name}": each for name, each in held.items() if isinstance(each, AnyCase)}
    return found


PATTERNS = _patterns()


def _capitals(parsed: Any) -> Iterator[str]:
    """The capital letters that a pattern names, alone or as the bounds of a range."""
    for node in parsed:
        if isinstance(node, int) and not isinstance(node, bool):
            continue
        if isinstance(node, tuple) and str(node[0]) in {"LITERAL", "NOT_LITERAL", "RANGE"}:
            bounds = node[1] if isinstance(node[1], tuple) else (node[1],)
            yield from (chr(bound) for bound in bounds if chr(bound).isupper())
        elif isinstance(node, tuple | list | parser.SubPattern):
            yield from _capitals(node)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_stands_in_small_letters(name: str) -> None:
    assert list(_capitals(parser.parse(PATTERNS[name].pattern.pattern))) == []


def test_capitals_are_seen() -> None:
    assert list(_capitals(parser.parse(r"(?:a|B)[^C][D-E]\S\W\bf"))) == ["B", "C", "D", "E"]


@pytest.mark.parametrize("name", PATTERNS)
@given(data=st.data())
def test_finds_what_ignoring_case_finds(name: str, data: st.DataObject) -> None:
    mine = PATTERNS[name]
    other = re.compile(mine.pattern.pattern, re.IGNORECASE)
    text = data.draw(st.sampled_from(PASSAGES))
    start = data.draw(st.integers(0, len(text)))
    text = text[start : start + 300]
    text = data.draw(st.sampled_from([text, text.upper(), text.title()]))
    assert [found.span() for found in mine.finditer(text)] == [found.span() for found in other.finditer(text)]
    for one, two in [(mine.search(text, 3), other.search(text, 3)), (mine.match(text), other.match(text))]:
        assert (one and one.span()) == (two and two.span())


NEEDY = {name: each for name, each in PATTERNS.items() if each.needs}


@pytest.mark.parametrize("name", NEEDY)
@given(data=st.data())
def test_what_is_needed_is_in_all_that_is_found(name: str, data: st.DataObject) -> None:
    """Hypothesis makes texts that match, if no quantifier of the pattern is possessive."""
    mine = NEEDY[name]
    pattern = re.compile(re.sub(r"(?<=[+*?}])\+", "", mine.pattern.pattern))
    text = data.draw(st.from_regex(pattern))
    assert bool(mine.search(text)) == bool(mine.pattern.search(folded(text)))


@given(st.text(st.characters(codec="utf-8")))
def test_places_stay(text: str) -> None:
    assert len(folded(text)) == len(text)
    assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize("text", ["ſecret", "SECRET", "ſECRET"])
def test_odd_letters(text: str) -> None:
    assert AnyCase(re.compile("secret")).match(text)
