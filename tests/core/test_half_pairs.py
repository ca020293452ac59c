"""Halves of surrogate pairs: found in JSON, joined with what follows, in tool calls too."""

from __future__ import annotations

import pytest

from trio_gateway.core.text.surrogates import joined
from trio_gateway.core.upstream_api.half_pairs import HalfPairs, calls_with_halves, has_halves

HIGH, LOW = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    ("half", "text", "whole", "rest"),
    [
        ("", "", "", ""),
        ("", "a", "a", ""),
        ("", "a😀", "a😀", ""),
        ("", HIGH, "", HIGH),
        ("", "a" + HIGH, "a", HIGH),
        (HIGH, LOW, "😀", ""),
        (HIGH, LOW + "a" + HIGH, "😀a", HIGH),
        (HIGH, "", "\ufffd", ""),
        (HIGH, HIGH, "\ufffd", HIGH),
        (HIGH, "a" + LOW, "\ufffda\ufffd", ""),
        ("", LOW + "\ufeff", "\ufffd\ufeff", ""),
    ],
)
def test_joined(half: str, text: str, whole: str, rest: str) -> None:
    assert joined(half, text) == (whole, rest)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ('{"a": "x\\ud83d"}', True),
        ('{"a": "\\uDE00x"}', True),
        ('{"a": "\\uD83D\\uDE00"}', False),
        ('{"a": "x\\ud83dx", "b": "x\\ude00x"}', False),
        ('{"a": "\\u00e9"}', False),
        ('{"a": "😀"}', False),
    ],
)
def test_where_there_may_be_halves(data: str, found: bool) -> None:
    assert has_halves(data) is found


def test_each_field_waits_for_itself() -> None:
    halves = HalfPairs()
    assert not halves
    assert halves.join("a" + HIGH, "b" + HIGH) == ("a", "b")
    assert halves
    assert halves.join(LOW, LOW + HIGH) == ("😀", "😀")
    assert halves.join("", "") == ("", "\ufffd")
    assert not halves


@pytest.mark.parametrize(
    ("mended", "halved", "both"),
    [
        (
            [{"id": "\ufffd", "function": {"name": "\ufffd", "arguments": "\ufffd"}}],
            [{"id": HIGH, "function": {"name": HIGH, "arguments": HIGH}}],
            [{"id": "\ufffd", "function": {"name": "\ufffd", "arguments": HIGH}}],
        ),
        ([{"custom": {"input": "\ufffd"}}], [{"custom": {"input": LOW}}], [{"custom": {"input": LOW}}]),
        ([{"function": {"arguments": {"a": 1}}}], [{"function": {"arguments": {"a": 1}}}], None),
        ([{"function": "\ufffd"}, 5], [{"function": HIGH}, 5], None),
        ({"id": "\ufffd"}, {"id": HIGH}, None),
    ],
)
def test_of_a_tool_call_the_arguments_alone_keep_their_halves(
    mended: object, halved: object, both: object
) -> None:
    assert calls_with_halves(mended, halved) == (mended if both is None else both)


@pytest.mark.parametrize(("text", "reasoning"), [(HIGH, ""), ("", HIGH), (HIGH, HIGH)])
def test_a_half_in_either_field_waits(text: str, reasoning: str) -> None:
    pairs = HalfPairs()
    assert not pairs
    pairs.join(text, reasoning)
    assert pairs
    pairs.join(LOW, LOW)
    assert not pairs
