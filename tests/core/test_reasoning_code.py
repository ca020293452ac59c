"""Which places in a text lie in Markdown code."""

from __future__ import annotations

import tracemalloc
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.reasoning.codespans import COLLECT, LONGEST, CodeTracker


def inside(*parts: str, blank: str = "") -> bool:
    tracker = CodeTracker()
    for part in parts:
        tracker.add(part)
    return tracker.inside(blank)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", False),
        ("a", False),
        # spans
        ("`", True),
        ("a `b", True),
        ("a `b`", False),
        ("a ``b`", True),
        ("a ``b` `` c", False),
        ("a `b\nc", True),
        ("a `b\n \t\nc", False),
        # fences
        ("```", True),
        ("```py\n", True),
        ("a\n  ```py\nb\n", True),
        ("```\na\n```\n", False),
        ("```\na\n``` \t\n", False),
        ("```\na\n   ````\n", False),
        ("````\na\n```\n", True),
        ("```\na\n~~~\n", True),
        ("```\na\n``` b\n", True),
        ("```\na\nb ```\n", True),
        ("```\n`\n", True),
        ("```\na `\n```\nb", False),
        ("~~~\n`\n~~~\nb", False),
        ("~~~", True),
        ("~~~ a `b`\n", True),
        ("~~ a", False),
        ("a ```\nb\n", True),
        ("a ```\n\nb", False),
        # a backtick on its line makes the opening one a span
        ("```a```\n", False),
        ("```a``\n", True),
        ("```a``\n\n", False),
        ("``` ```\n", False),
        ("b `\n```\n`\n", True),
        # it may close where a marker follows at once
        ("```\na\n```", False),
        ("```\na\n``` ", False),
        ("```\na\n```b", True),
        ("````\na\n```", True),
    ],
)
def test_inside(text: str, code: bool) -> None:
    assert inside(text) is code
    for place, char in enumerate(text):
        if char not in "`~":
            tracker = CodeTracker()
            tracker.add(text[:place])
            tracker.inside()
            tracker.add(text[place:])
            assert tracker.inside() is code, "asking changes nothing"


@pytest.mark.parametrize(
    ("text", "blank", "code"),
    [
        ("`a", " ", True),
        ("`a", "\n", True),
        ("`a", "\n \n", False),
        ("```", "\n", True),
        ("~~~\n~~~", "\n", False),
    ],
)
def test_after_whitespace(text: str, blank: str, code: bool) -> None:
    tracker = CodeTracker()
    tracker.add(text)
    before = tracker.inside()
    assert tracker.inside(blank) is code
    assert tracker.inside() is before, "asking changes nothing"


@given(
    st.lists(
        st.sampled_from(["`", "``", "```", "~~~", "\n", "\n\n", " ", "a", "a\n", "`" * COLLECT]), max_size=12
    )
)
def test_the_pieces_do_not_matter(parts: list[str]) -> None:
    assert inside(*parts, "x") is inside("".join(parts) + "x")


def test_text_is_read_when_much_has_gathered() -> None:
    tracker = CodeTracker()
    for _ in range(3 * COLLECT):
        tracker.add("`")
    assert tracker.inside()
    for _ in range(3 * COLLECT):
        tracker.add("a")
    tracker.add("`" * (3 * COLLECT))
    assert not tracker.inside()


@pytest.mark.parametrize("size", [1000, 2 * COLLECT])
@pytest.mark.parametrize("asked", [False, True])
def test_little_is_kept(asked: bool, size: int) -> None:
    tracker = CodeTracker()
    tracemalloc.start()
    try:
        for number in range(1000):
            tracker.add(f"{number:{size}}\n")
            if asked and number % 3 == 0:
                tracker.inside()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10 * COLLECT


def test_a_flood_of_backticks_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        tracker = CodeTracker()
        began = process_time()
        for _ in range(count):
            tracker.add("`")
        return process_time() - began

    assert min(seconds(200_000) for _ in range(3)) < 10 * min(seconds(50_000) for _ in range(3))


@pytest.mark.parametrize("cut", [1, 7, LONGEST - 1, 10 * COLLECT])
@pytest.mark.parametrize(
    ("opened", "then", "code"),
    [
        (LONGEST - 1, LONGEST - 2, True),
        (LONGEST - 1, LONGEST - 1, False),
        (LONGEST - 1, 3 * COLLECT, True),
        (LONGEST, LONGEST - 1, True),
        (LONGEST, 3 * COLLECT, False),
        (3 * COLLECT, LONGEST, False),
    ],
)
def test_the_lengths_of_runs_are_compared_up_to_a_bound(opened: int, then: int, code: bool, cut: int) -> None:
    for text, hidden in [
        (f"a {'`' * opened} b {'`' * then} c", code),
        (f"{'`' * opened}\nb\n{'`' * then}\nc", code and then < opened),
        (f"{'~' * opened}\nb\n{'~' * then}\nc", code and then < opened),
    ]:
        assert inside(*(text[at : at + cut] for at in range(0, len(text), cut))) is hidden


def test_a_run_without_end_takes_bounded_memory() -> None:
    for run in ("`", "~", "`~"):
        tracker = CodeTracker()
        for _ in range(20 * COLLECT):
            tracker.add(run)
            assert sum(map(len, tracker._parts)) <= COLLECT + LONGEST + 2
            assert len(tracker._lead) <= LONGEST
