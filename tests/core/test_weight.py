"""Weights: near what Python really takes, by a rule that is the same everywhere."""

import json
import tracemalloc
from typing import Any

import pytest

from trio_gateway.core.budgets.weight import text_weight, weigh
from trio_gateway.core.events import (
    Done,
    Event,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    Usage,
    weight,
)


@pytest.mark.parametrize(("text", "size"), [("", 0), ("four", 4), ("é中\U0001f600", 9), ("\ud800", 3)])
def test_text_weighs_what_it_takes_as_utf_8(text: str, size: int) -> None:
    assert text_weight(text) == size


@pytest.mark.parametrize(
    "value",
    [
        "x" * 200_000,
        ["four"] * 20_000,
        [[]] * 20_000,
        [{}] * 20_000,
        [{"token": "four", "logprob": -0.5, "bytes": [1, 2, 3, 4], "top_logprobs": []}] * 2_000,
        [1.5] * 20_000,
        {str(number): number for number in range(20_000)},
    ],
)
def test_a_value_weighs_about_what_it_takes(value: Any) -> None:
    text = json.dumps(value)
    tracemalloc.start()
    value = json.loads(text)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.4 * taken < weigh(value) < 2.5 * taken


def test_beyond_a_limit_it_is_not_counted_to_its_end() -> None:
    assert 1000 < weigh([[0]] * 100_000 + ["x" * 1000], limit=1000) < 3_000_000
    assert weigh(["x"] * 3, limit=10) == weigh(["x"] * 3, limit=10**9) - 3 * 51


@pytest.mark.parametrize(
    ("event", "size"),
    [
        (OutputDelta(0, "four"), 68),
        (OutputDelta(0, "four", {"content": []}), 68 + weigh({"content": []})),
        (ReasoningDelta(0, "é"), 66),
        (OutputExtra(0, {"a": "b"}), 64 + weigh([{"a": "b"}, None])),
        (Finish(0, "stop"), 68),
        (Usage({}), 64),
        (Done(), 64),
    ],
)
def test_events(event: Event, size: int) -> None:
    assert weight(event) == size
