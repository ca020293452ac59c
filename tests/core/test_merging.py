"""Merging of streamed JSON: as OpenAI's clients merge it, however it is cut, and in linear time."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.json.merging import GrowingList, Merged
from trio_gateway.core.json.slices import json_parts
from trio_gateway.core.text.growing import GrowingText


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    merged = Merged()
    for part in parts:
        merged.add(json.loads(json.dumps(part)))
    value: dict[str, Any] = json.loads("".join(json_parts(merged.value)))
    return value


CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("text is appended", [{"a": "x"}, {"a": "y"}, {"a": "z"}], {"a": "xyz"}),
    ("objects are merged", [{"a": {"b": "x"}}, {"a": {"b": "y", "c": 1}}], {"a": {"b": "xy", "c": 1}}),
    ("null changes nothing", [{"a": "x"}, {"a": None}], {"a": "x"}),
    ("null first", [{"a": None}, {"a": "x"}], {"a": "x"}),
    ("null alone", [{"a": None}], {"a": None}),
    ("numbers are replaced", [{"a": 1}, {"a": 2}], {"a": 2}),
    ("another kind takes its place", [{"a": "x"}, {"a": {"b": 1}}, {"a": 3}], {"a": 3}),
    ("lists are appended", [{"a": [1]}, {"a": []}, {"a": [2, 3]}], {"a": [1, 2, 3]}),
    (
        "what every part repeats stays once",
        [{"a": {"id": "call_1", "type": "function"}}, {"a": {"id": "call_1", "type": "function", "index": 0}}],
        {"a": {"id": "call_1", "type": "function", "index": 0}},
    ),
    (
        "numbered items find each other",
        [
            {"c": [{"index": 1, "n": "b"}]},
            {"c": [{"index": 0, "n": "a"}, {"index": 1, "n": "c"}]},
            {"c": [{"index": 10**9, "n": "z"}]},
        ],
        {"c": [{"index": 0, "n": "a"}, {"index": 1, "n": "bc"}, {"index": 10**9, "n": "z"}]},
    ),
    (
        "items without a number come last",
        [{"c": [{"index": 0}]}, {"c": [{"x": 1}, 5]}, {"c": []}, {"c": [{"index": 1}]}],
        {"c": [{"index": 0}, {"index": 1}, {"x": 1}, 5]},
    ),
    ("an index that is no number", [{"c": [{"index": []}]}, {"c": [{"index": "a"}]}], {"c": [{"index": []}, {"index": "a"}]}),
    ("numbered items after others", [{"c": [5]}, {"c": [{"index": 0}]}], {"c": [5, {"index": 0}]}),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "value"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_merging(parts: list[dict[str, Any]], value: dict[str, Any]) -> None:
    assert merged(*parts) == value


@given(st.lists(st.integers(1, 5)), st.text(max_size=30))
def test_text_is_the_same_however_it_is_cut(sizes: list[int], text: str) -> None:
    parts, start = [], 0
    for size in [*sizes, len(text)]:
        parts.append({"c": [{"index": 0, "function": {"arguments": text[start : start + size]}}]})
        start += size
    assert merged(*parts) == {"c": [{"index": 0, "function": {"arguments": text}}]}


def test_text_that_grows_is_a_buffer() -> None:
    """Adding to a string would copy it each time."""
    merged = Merged()
    for text in ("a", "b", "c"):
        merged.add({"x": text})
    assert isinstance(merged.value["x"], GrowingText)
    assert str(merged.value["x"]) == "abc"


def test_what_it_takes_is_counted() -> None:
    merged = Merged()
    tracemalloc.start()
    for number in range(20_000):
        merged.add(
            {"calls": [{"index": number % 100, "function": {"arguments": "four" * 10}}], "other": [[number]]}
        )
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert merged.size > 800_000
    assert 0.4 * taken < merged.size < 2.5 * taken


def test_a_list_that_grows_is_kept_as_its_text() -> None:
    grown, other = GrowingList(), GrowingList()
    assert "".join(grown.json_parts()) == "[]"
    grown.append([1, {"a": "é"}])
    grown.append([])
    grown.append(other)
    other.append([2])
    grown.append(other)
    assert "".join(grown.json_parts()) == '[1, {"a": "é"}, 2]'
    assert len(grown) == len('1, {"a": "é"}, 2'.encode())
