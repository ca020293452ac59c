"""What the client makes of a stream's events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.scripted import FINAL, GOOD, PROMPT, REASONING, answer_bytes, chunk
from trio_gateway.core.phases import Phase
from trio_gateway.core.sse import SSEDecoder, SSEEvent
from trio_gateway.terminal.received import Answer, AnswerFormError, Piece


def feed(answer: Answer, data: bytes) -> list[Piece]:
    pieces = [answer.feed(event) for event in SSEDecoder().feed(data)]
    return [piece for piece in pieces if piece is not None]


def test_an_answer_is_read_by_phase() -> None:
    answer = Answer()
    pieces = feed(answer, GOOD)
    assert [(piece.phase, piece.text) for piece in pieces if piece.text] == [
        (PROMPT, '[Prompt Summary] Processing: "2+2?"...'),
        (PROMPT, "\n\n"),
        (REASONING, "[Reasoning Summary] Adding 2 and 2..."),
        (REASONING, "\n\n"),
        (FINAL, "The answer"),
        (FINAL, " is 4."),
    ]
    assert [piece.phase for piece in pieces if piece.opens] == list(Phase)
    assert answer.done
    assert answer.exit_code == 0
    assert answer.as_dict() == {
        "prompt_summary": 'Processing: "2+2?"...',
        "reasoning_summary": "Adding 2 and 2...",
        "content": "The answer is 4.",
        "finish_reason": "stop",
        "usage": {"completion_tokens": 7},
        "error": None,
    }


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1), st.data())
def test_any_cutting_gives_the_content_exactly(words: list[str], data: st.DataObject) -> None:
    body = answer_bytes(*words)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=6)))
    answer, decoder = Answer(), SSEDecoder()
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        for event in decoder.feed(body[start:end]):
            answer.feed(event)
    assert (answer.content, answer.done, answer.error) == ("".join(words), True, None)


def opening(phase: str) -> SSEEvent:
    return SSEEvent("phase", json.dumps({"phase": phase}))


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([opening("final_output"), opening("prompt_summary")], "prompt_summary after final_output"),
        ([opening("final_output"), chunk("x", "reasoning_summary")], "reasoning_summary after final_output"),
        ([opening("prompt_summary"), opening("prompt_summary")], "came twice"),
        ([opening("epilogue")], "not an answer of the gateway"),
        ([chunk("x", None)], "outside of a phase"),
        ([SSEEvent("message", "{")], "not an answer of the gateway"),
        ([SSEEvent("message", '{"x": ' + "[" * 200_000)], "not an answer of the gateway"),
        ([SSEEvent("message", '{"choices": [{"delta": {"content": 5}}]}')], "not an answer of the gateway"),
    ],
)
def test_what_the_format_does_not_allow(events: list[SSEEvent], complaint: str) -> None:
    answer = Answer()
    for event in events[:-1]:
        answer.feed(event)
    with pytest.raises(AnswerFormError, match=complaint):
        answer.feed(events[-1])


def test_a_refusal_is_shown_as_the_answer() -> None:
    answer = Answer()
    told = {"choices": [{"delta": {"content": None, "refusal": "I will not."}}], "phase": "final_output"}
    answer.feed(SSEEvent("message", json.dumps(told)))
    assert answer.content == "I will not."


def test_the_first_error_stands() -> None:
    answer = Answer()
    answer.feed(SSEEvent("error", '{"error": {"message": "gone", "code": "upstream_closed"}}'))
    answer.fail("truncated", "the stream ended")
    assert answer.error == {"message": "gone", "code": "upstream_closed"}
    assert answer.exit_code == 1


@pytest.mark.parametrize(
    ("delta", "tokens"),
    [
        ({"reasoning_content": "x" * 40}, 10),
        ({"content": "x" * 40}, 10),
        ({"reasoning_content": "x" * 40, "content": "y" * 40}, 20),
        ({"reasoning_content": None}, 0),
        ({"reasoning_content": ["x" * 40]}, 0),
        ({"reasoning_content": 7}, 0),
    ],
)
def test_tokens_are_counted_whatever_a_server_sends(delta: dict[str, object], tokens: int) -> None:
    answer = Answer()
    body = {"phase": "final_output", "choices": [{"index": 0, "delta": delta}]}
    answer.feed(SSEEvent("message", json.dumps(body)))
    assert answer.tokens == tokens
