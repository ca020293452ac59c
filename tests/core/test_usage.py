from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.access.usage import MAX_TOKENS, TokenCounts, read_usage

NAMES = ("prompt_tokens", "completion_tokens", "total_tokens")
NO_COUNTS = [-1, MAX_TOKENS + 1, 10**30, 1.0, 0.5, float("nan"), float("inf"), "7", True, None, [], {}]


def test_all_counts() -> None:
    usage = {
        **dict(zip(NAMES, (10, 5, 15), strict=True)),
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": None},
        "prompt_tokens_details": None,
        "queue_time": 0.1,
    }
    assert read_usage(usage) == TokenCounts(input=10, output=5, total=15, reasoning=3)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({}, TokenCounts()),
        ({"prompt_tokens": 0}, TokenCounts(input=0)),
        ({"total_tokens": MAX_TOKENS}, TokenCounts(total=MAX_TOKENS)),
        ({"completion_tokens_details": {"reasoning_tokens": None}}, TokenCounts()),
        ({"completion_tokens_details": {}}, TokenCounts()),
        ({"completion_tokens_details": None}, TokenCounts()),
        ({"completion_tokens_details": [1]}, TokenCounts()),
    ],
)
def test_counts_that_are_not_reported(usage: dict[str, Any], counts: TokenCounts) -> None:
    assert read_usage(usage) == counts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
def test_one_bad_count_makes_all_unbelievable(name: str, value: object) -> None:
    assert read_usage({**dict.fromkeys(NAMES, 7), name: value}) is None


@pytest.mark.parametrize("value", [each for each in NO_COUNTS if each is not None], ids=repr)
def test_a_bad_count_of_reasoning(value: object) -> None:
    assert read_usage({"total_tokens": 7, "completion_tokens_details": {"reasoning_tokens": value}}) is None


@pytest.mark.parametrize(
    ("counts", "cost"),
    [
        (TokenCounts(), 107),
        (TokenCounts(total=0), 0),
        (TokenCounts(input=1, output=2, total=9), 9),
        (TokenCounts(input=1, output=2), 3),
        (TokenCounts(input=1), 8),
        (TokenCounts(output=2), 102),
        (TokenCounts(reasoning=50), 107),
    ],
)
def test_what_is_not_counted_is_estimated(counts: TokenCounts, cost: int) -> None:
    assert counts.cost(estimated_input=100, estimated_output=7) == cost


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["reasoning_tokens"]), inner),
)


@given(st.dictionaries(st.sampled_from([*NAMES, "completion_tokens_details", "other"]), json))
def test_whatever_an_upstream_reports_costs_a_number_of_tokens_or_is_not_believed(
    usage: dict[str, Any],
) -> None:
    counts = read_usage(usage)
    if counts is not None:
        cost = counts.cost(estimated_input=5, estimated_output=5)
        assert type(cost) is int
        assert 0 <= cost <= 2 * MAX_TOKENS
