"""Batches in slices: the same bytes and frames as at once, a large event in many parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.client_api import FORMATS, ChunkHead, Encoder, frame_slices, sse, sse_slices
from trio_gateway.core.events import (
    Batch,
    Done,
    Event,
    Finish,
    OutputDelta,
    OutputExtra,
    Ping,
    PromptSummary,
    ReasoningDelta,
)

if TYPE_CHECKING:
    from trio_gateway.core.client_api.request import FormatName

HEAD = ChunkHead(id="chatcmpl-1", created=1700000000, model="default")
LARGE: list[Event] = [
    OutputExtra(0, {"images": [{"url": "x" * 300_000}]}),
    OutputDelta(0, "4", {"content": [{"token": "x" * 300_000}]}),
    OutputExtra(0, {"refusal": "no"}, {"content": ["\n" * 300_000]}),
]
SMALL: list[Event] = [
    Ping(),
    ReasoningDelta(0, "Hm."),
    OutputDelta(0, "4"),
    OutputDelta(1, "four", {"content": []}),
    OutputExtra(0, {"refusal": "é"}),
    Finish(0, "stop"),
    Done(),
]


def encoder(format: FormatName) -> Encoder:  # noqa: A002 -- as everywhere
    return FORMATS[format].stream(HEAD, request_id="r", include_usage=True, show_reasoning=False)


@pytest.mark.parametrize("name", FORMATS)
@given(st.lists(st.sampled_from(SMALL + LARGE), max_size=5))
def test_slices_amount_to_the_same(name: FormatName, events: list[Event]) -> None:
    batch: Batch = [
        PromptSummary("Adding"),
        OutputDelta(0, "4"),
        *(e for e in events if not isinstance(e, ReasoningDelta)),
    ]
    frames = encoder(name).encode(batch)
    assert b"".join(sse_slices(encoder(name), batch)) == sse(frames)
    assert [frame for part in frame_slices(encoder(name), batch) for frame in part] == frames


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("event", LARGE)
def test_a_large_event_is_written_in_parts(name: FormatName, event: Event) -> None:
    """Even where it opens its phase, whose frames come before it."""
    parts = [*sse_slices(encoder(name), [event])]
    assert b"".join(parts) == sse(encoder(name).encode([event]))
    assert max(map(len, parts)) < 100_000
    assert [*frame_slices(encoder(name), [event])].count([]) > 3


def test_a_batch_that_is_not_for_this_client_is_nothing() -> None:
    assert [*sse_slices(encoder("phases"), [ReasoningDelta(0, "Hm.")])] == []
    assert [*sse_slices(encoder("phases"), [])] == []


@pytest.mark.parametrize("name", FORMATS)
def test_one_token_is_one_piece(name: FormatName) -> None:
    token: Batch = [OutputDelta(0, "4")]
    first, second = encoder(name), encoder(name)
    frames = [first.encode(token), first.encode(token)]  # the first opens its phase
    assert [[*frame_slices(second, token)], [*frame_slices(second, token)]] == [[each] for each in frames]
    third = encoder(name)
    assert [[*sse_slices(third, token)], [*sse_slices(third, token)]] == [[sse(each)] for each in frames]


def test_a_small_batch_is_one_piece() -> None:
    assert len([*sse_slices(encoder("phases"), SMALL)]) == 1
