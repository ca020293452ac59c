"""The recogniser of repeated events gives what the strict parser gives, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.sse import SSEEvent
from trio_gateway.core.upstream_api.chunks import Chunk, ProtocolError, parse_chunk
from trio_gateway.core.upstream_api.repeated_chunks import RepeatedChunks


def event(delta: dict[str, Any], **more: Any) -> SSEEvent:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return SSEEvent(data=json.dumps({"id": "chatcmpl-1", "choices": [choice], **more}, separators=(",", ":")))


def learned(*events: SSEEvent) -> RepeatedChunks:
    shapes = RepeatedChunks()
    for each in events:
        chunk = parse_chunk(each.data)
        assert isinstance(chunk, Chunk)
        shapes.learn(each, chunk)
    return shapes


FIRST = event({"content": "Hello"})
TEXTS = st.text(min_size=1)


@pytest.mark.parametrize("key", ["content", "reasoning_content", "reasoning"])
@given(text=TEXTS)
def test_a_repeated_event_reads_as_the_strict_parser_reads_it(key: str, text: str) -> None:
    shapes = learned(event({key: "first"}))
    for ascii_only in (True, False):
        data = json.dumps({key: text}, ensure_ascii=ascii_only)
        again = SSEEvent(
            data=event({key: "first"}).data.replace(
                json.dumps({key: "first"}, separators=(",", ":")), data.replace('": "', '":"')
            )
        )
        chunk = shapes.recognise(again)
        assert chunk is None or chunk == parse_chunk(again.data)


@given(text=st.text(st.characters(exclude_categories=["C"]), min_size=1))
def test_ordinary_text_is_recognised(text: str) -> None:
    again = event({"content": text})
    assert learned(FIRST).recognise(again) == parse_chunk(again.data) or "\\ud" in again.data.lower()


@given(st.text(alphabet='ab"\\,:{}[]u0d8\n\x00 ', max_size=12))
def test_no_middle_is_taken_that_the_strict_parser_refuses_or_reads_otherwise(middle: str) -> None:
    again = SSEEvent(data=FIRST.data.replace("Hello", middle))
    chunk = learned(FIRST).recognise(again)
    if chunk is not None:
        assert chunk == parse_chunk(again.data)


REFUSED_SHAPES = {
    "two choices": SSEEvent(
        data='{"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{"content":"a"}}]}'
    ),
    "usage": event({"content": "a"}, usage={"total_tokens": 1}),
    "finish": SSEEvent(data='{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}'),
    "log probabilities": SSEEvent(data='{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[]}}]}'),
    "tool call": event({"content": "a", "tool_calls": [{"index": 0}]}),
    "no text": event({"content": ""}),
    "text and reasoning": event({"content": "a", "reasoning_content": "b"}),
    "the key twice": event({"content": "a"}, content="a"),
    "the key as a value": event({"content": "a"}, object="content"),
    "text in parts": event({"content": [{"type": "text", "text": "a"}]}),
    "a key under another spelling": SSEEvent(data='{"choices":[{"delta":{"cont\\u0065nt":"a"}}]}'),
    "a long event": event({"content": "a"}, system_fingerprint="f" * 5000),
    "the key without a string": SSEEvent(data='{"choices":[{"delta":{"content":null,"thinking":"a"}}]}'),
    "another text under the key": event({"content": None, "thinking": "a"}, reasoning="b"),
}


@pytest.mark.parametrize("name", REFUSED_SHAPES)
def test_shapes_that_are_not_kept(name: str) -> None:
    shape = REFUSED_SHAPES[name]
    assert learned(shape).recognise(shape) is None


def test_an_event_of_another_name_is_not_recognised() -> None:
    shapes = learned(FIRST)
    assert shapes.recognise(SSEEvent("error", FIRST.data)) is None
    shapes = RepeatedChunks()
    shapes.learn(SSEEvent("other", FIRST.data), Chunk([]))
    assert shapes.recognise(FIRST) is None


def test_white_space_around_the_colon_is_part_of_the_shape() -> None:
    spaced = SSEEvent(data='{"choices": [{"delta": {"content" : "a"}}]}')
    again = SSEEvent(data=spaced.data.replace('"a"', '"b"'))
    assert learned(spaced).recognise(again) == parse_chunk(again.data)


def test_an_overlap_of_both_ends_is_no_text() -> None:
    shapes = learned(SSEEvent(data='{"choices":[{"delta":{"content":"aa"}}]}'))
    assert shapes.recognise(SSEEvent(data='{"choices":[{"delta":{"content":"}}]}')) is None
    with pytest.raises(ProtocolError):
        parse_chunk('{"choices":[{"delta":{"content":"}}]}')


def test_the_number_of_shapes_is_bounded() -> None:
    many = [event({"content": "a"}, created=number) for number in range(6)]
    shapes = learned(*many)
    assert [shapes.recognise(each) is not None for each in many] == [False, False, True, True, True, True]
    shapes.learn(many[5], Chunk([]))
    assert shapes.recognise(many[2]) is not None
