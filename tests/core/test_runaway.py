"""Limits of thinking: when each is passed, and that honest reasoning passes none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config import ModelConfig
from trio_gateway.core.upstream_api.runaway import ReasoningLimit
from trio_gateway.mock import load_traces

GUARD = ModelConfig(repetition_guard=True)
STORY = "".join(
    f"Step {n}: the square of {n} is {n * n}, which leaves {n % 7} over sevens. " for n in range(400)
)


def fed(model: ModelConfig, text: str, size: int = 4) -> ReasoningLimit:
    limit = ReasoningLimit(model)
    for start in range(0, len(text), size):
        limit.feed(text[start : start + size], 0.0)
    return limit


def test_time_counts_from_the_first_thought() -> None:
    limit = ReasoningLimit(ModelConfig(max_reasoning_seconds=10.0))
    assert (limit.deadline, limit.exceeded(1000.0)) == (math.inf, None)
    limit.feed("a", 5.0)
    limit.feed("b", 14.0)
    assert (limit.deadline, limit.exceeded(14.9)) == (15.0, None)
    assert limit.exceeded(15.0) == "The model thought for more than 10 seconds."


def test_characters_are_counted() -> None:
    limit = fed(ModelConfig(max_reasoning_chars=10), "0123456789")
    assert limit.exceeded(0.0) is None
    limit.feed("x", 0.0)
    assert limit.exceeded(0.0) == "The model thought more than 10 characters."


def test_without_limits_nothing_is_too_much() -> None:
    assert fed(ModelConfig(), "again and " * 1000).exceeded(math.nextafter(math.inf, 0)) is None


@pytest.mark.parametrize("size", [1, 7, 300, 100_000])
@pytest.mark.parametrize(
    "piece",
    [
        "0",
        "so ",
        "Wait, let me check that again. ",
        "Wait, let me check that sum once more, from the start and with care. " * 2 + "Or is it? ",
        STORY[:2_500],
    ],
)
def test_a_circle_is_noticed(piece: str, size: int) -> None:
    limit = fed(GUARD, STORY + piece * max(6, 2_000 // len(piece)), size)
    assert limit.exceeded(0.0) == "The model's reasoning runs in a circle."


@pytest.mark.parametrize("text", [STORY, STORY + "0 0 1 0 0\n" * 40, STORY[:2_500] * 3, "word " * 10])
def test_what_is_no_circle(text: str) -> None:
    assert fed(GUARD, text, 1).exceeded(0.0) is None


def test_what_was_a_circle_once_stays_one() -> None:
    limit = fed(GUARD, "no, " * 500)
    limit.feed(STORY, 0.0)
    assert limit.exceeded(0.0) is not None


def test_real_reasoning_does_not_run_in_circles(pytestconfig: pytest.Config) -> None:
    traces = load_traces(pytestconfig.rootpath / "tests/data/reasoning_traces.jsonl")
    assert traces
    for trace in traces:
        assert fed(GUARD, trace.reasoning, 16).exceeded(0.0) is None


@given(
    st.text(alphabet="ab \n", min_size=1, max_size=40), st.lists(st.integers(1, 900), min_size=1, max_size=30)
)
def test_a_circle_is_noticed_however_it_is_cut(piece: str, sizes: list[int]) -> None:
    text, limit, position = piece * (4_000 // len(piece)), ReasoningLimit(GUARD), 0
    while position < len(text):
        size = sizes[position % len(sizes)]
        limit.feed(text[position : position + size], 0.0)
        position += size
    assert limit.exceeded(0.0) is not None
