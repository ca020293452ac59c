"""Slices of a batch: the same events in the same order, none of them too much for one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.client_api.batch_slices import slices
from trio_gateway.core.events import Done, OutputDelta, OutputExtra, PromptSummary, ReasoningDelta

if TYPE_CHECKING:
    from trio_gateway.core.events import Batch, Event

KIB = 1024
_SIZES = st.sampled_from([0, 1, 100, 64 * KIB, 64 * KIB + 1, 300 * KIB])
_EVENTS = st.one_of(
    st.builds(OutputDelta, st.integers(0, 1), _SIZES.map("a".__mul__)),
    st.builds(ReasoningDelta, st.integers(0, 1), _SIZES.map("b".__mul__)),
    st.builds(OutputExtra, st.just(0), st.fixed_dictionaries({"refusal": _SIZES.map("c".__mul__)})),
    st.just(Done()),
)


def joined(events: Batch) -> list[tuple[object, ...]]:
    """*events* with neighbouring texts of one kind and choice as one."""
    parts: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case OutputDelta(index, text, None) | ReasoningDelta(index, text):
                kind = type(event)
                if parts and parts[-1][:2] == (kind, index):
                    parts[-1] = (kind, index, f"{parts[-1][2]}{text}")
                else:
                    parts.append((kind, index, text))
            case _:
                parts.append((event,))
    return parts


@given(st.lists(_EVENTS | st.just(OutputDelta(0, "x")), max_size=12), st.integers(1, 40))
def test_they_are_the_batch(batch: Batch, times: int) -> None:
    batch *= times
    cut = list(slices(batch))
    assert joined([event for piece in cut for event in piece.events]) == joined(batch)
    for piece in cut:
        assert 0 < len(piece.events) <= 128
        assert len(piece.events) == 1 or not piece.is_heavy


def test_a_batch_as_they_usually_are_is_one_slice() -> None:
    batch: Batch = [PromptSummary("x"), *[OutputDelta(0, "word ")] * 60, Done()]
    assert [piece.events for piece in slices(batch)] == [batch]
    assert list(slices([])) == []


def test_thousands_of_events_are_slices_of_128() -> None:
    batch: Batch = [OutputDelta(0, f"{number} ") for number in range(1000)]
    assert [len(piece.events) for piece in slices(batch)] == [128] * 7 + [104]


def test_a_slice_has_at_most_256_kib_of_text() -> None:
    batch: Batch = [OutputDelta(0, "x" * 60 * KIB)] * 10
    assert [len(piece.events) for piece in slices(batch)] == [4, 4, 2]


def test_a_long_text_is_divided_and_its_log_probabilities_come_once() -> None:
    (first, second) = (
        event for piece in slices([OutputDelta(1, "x" * 100 * KIB, [1])]) for event in piece.events
    )
    assert first == OutputDelta(1, "x" * 64 * KIB, [1])
    assert second == OutputDelta(1, "x" * 36 * KIB)


@pytest.mark.parametrize(
    "event",
    [
        OutputExtra(0, {"images": [{"image_url": {"url": "x" * 257 * KIB}}]}),
        OutputExtra(0, {"a": [0] * 20_000}),
        OutputExtra(0, {"a": {"k" * 257 * KIB: None}}),
        OutputExtra(0, {"a": {}}, [{"token": "x"}] * 20_000),
        OutputDelta(0, "x", [0.5] * 20_000),
    ],
)
def test_what_cannot_be_divided_is_heavy_and_alone(event: Event) -> None:
    cut = list(slices([Done(), event, Done()]))
    assert [piece.is_heavy for piece in cut] == [False, True, False]


def test_many_heavy_ones_are_not_looked_at_whole() -> None:
    nested: list[object] = []
    for _ in range(1000):
        nested = [nested, *[0] * 100]
    (piece,) = slices([OutputExtra(0, {"a": nested})])
    assert piece.is_heavy
