"""The bytes of the format ``phases``: what a client may rely on, letter by letter."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.client_api import ChunkHead, Frame, PhasesEncoder, sse
from trio_gateway.core.errors import error_for
from trio_gateway.core.events import (
    Done,
    Event,
    Failure,
    Finish,
    OutputDelta,
    OutputExtra,
    Ping,
    PromptSummary,
    ReasoningDelta,
    ReasoningLine,
    Restart,
    Retraction,
    Usage,
)
from trio_gateway.core.phases import Phase, PhaseOrderError
from trio_gateway.core.sse import SSEDecoder

HEAD = ChunkHead(id="chatcmpl-1", created=1700000000, model="default")
LEAD = '{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "default", '


def encoder(*, include_usage: bool = False) -> PhasesEncoder:
    return PhasesEncoder(HEAD, request_id="req_1", include_usage=include_usage)


def objects(frames: list[Frame]) -> list[dict[str, Any]]:
    return [json.loads(data) for event, data in frames if event != ":" and data != "[DONE]"]


def chunk(delta: str, phase: str, *, finish: str = "null") -> str:
    return (
        f'data: {LEAD}"choices": [{{"index": 0, "delta": {delta}, "finish_reason": {finish}}}]'
        + (f', "phase": "{phase}"' if phase else "")
        + "}\n\n"
    )


def test_a_whole_answer_letter_by_letter() -> None:
    events: list[Event] = [
        PromptSummary('Processing: "What is 2+2?"...'),
        ReasoningDelta(0, "raw thoughts"),
        ReasoningLine("Adding 2 and 2"),
        ReasoningLine("Checking"),
        OutputDelta(0, "The"),
        OutputDelta(0, ' "é\n'),
        Finish(0, "stop"),
        Usage({"total_tokens": 3}),
        Done(),
    ]
    assert sse(encoder().encode(events)).decode() == "".join(
        [
            'event: phase\ndata: {"phase": "prompt_summary"}\n\n',
            chunk(
                '{"role": "assistant", "content": "[Prompt Summary] Processing: \\"What is 2+2?\\"..."}',
                "prompt_summary",
            ),
            chunk('{"content": "\\n\\n"}', "prompt_summary"),
            'event: phase\ndata: {"phase": "reasoning_summary"}\n\n',
            chunk('{"content": "[Reasoning Summary] Adding 2 and 2"}', "reasoning_summary"),
            chunk('{"content": "\\nChecking"}', "reasoning_summary"),
            chunk('{"content": "\\n\\n"}', "reasoning_summary"),
            'event: phase\ndata: {"phase": "final_output"}\n\n',
            chunk('{"content": "The"}', "final_output"),
            chunk('{"content": " \\"é\\n"}', "final_output"),
            chunk("{}", "", finish='"stop"'),
            "data: [DONE]\n\n",
        ]
    )


def test_role_stands_once_in_the_first_chunk_whatever_it_is() -> None:
    call = {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}
    frames = encoder().encode([OutputExtra(0, call), OutputDelta(0, "a"), OutputDelta(1, "b")])
    deltas = [each["choices"][0]["delta"] for each in objects(frames) if "choices" in each]
    assert deltas == [{"role": "assistant", **call}, {"content": "a"}, {"content": "b"}]


def test_the_quick_path_writes_what_the_general_one_writes() -> None:
    first, second = encoder().encode([OutputDelta(0, "same"), OutputDelta(0, "same")])[1:]
    assert second[1] == first[1].replace('"role": "assistant", ', "")


def test_choices_keep_their_index_and_their_log_probabilities() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.1}]}
    frames = encoder().encode([OutputDelta(1, "a", logprobs), Finish(1, "length")])
    assert [each["choices"][0] for each in objects(frames)[1:]] == [
        {
            "index": 1,
            "delta": {"role": "assistant", "content": "a"},
            "logprobs": logprobs,
            "finish_reason": None,
        },
        {"index": 1, "delta": {}, "finish_reason": "length"},
    ]


def test_usage_leaves_only_where_it_was_asked_for() -> None:
    usage = Usage({"prompt_tokens": 1, "completion_tokens": 2})
    assert encoder().encode([usage]) == []
    (told,) = objects(encoder(include_usage=True).encode([usage]))
    assert (told["choices"], told["usage"], "phase" in told) == ([], usage.usage, False)


def test_an_empty_answer_has_no_final_phase() -> None:
    frames = encoder().encode([PromptSummary("x"), Finish(0, "stop"), Done()])
    assert [event for event, _ in frames] == ["phase", "message", "message", "message"]


def test_a_failure_is_one_frame_with_everything_a_client_needs() -> None:
    error = error_for("overloaded", "Busy.", retry_after=2.0)
    ((event, data),) = encoder().encode([Failure(error, Phase.REASONING_SUMMARY)])
    assert event == "error"
    assert data == (
        '{"error": {"message": "Busy.", "type": "server_error", "param": null, "code": "overloaded", '
        '"status": 503, "phase": "reasoning_summary", "request_id": "req_1", "retry_after": 2.0}, '
        + LEAD[1:]
        + '"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}'
    )


def test_a_failure_that_names_no_return_has_no_such_key() -> None:
    ((_, data),) = encoder().encode([Failure(error_for("truncated", "Cut."), Phase.FINAL_OUTPUT)])
    assert "retry_after" not in json.loads(data)["error"]


def test_a_sign_of_life_is_a_comment() -> None:
    assert sse(encoder().encode([Ping(), Restart(), Retraction(0, 1)])) == b": ping\n\n"


def test_phases_out_of_order_are_a_bug_that_shows() -> None:
    with pytest.raises(PhaseOrderError):
        encoder().encode([OutputDelta(0, "a"), ReasoningLine("b")])


def test_the_reasoning_itself_for_those_who_asked() -> None:
    raw = PhasesEncoder(HEAD, request_id="r", include_usage=False, show_reasoning=True)
    frames = raw.encode(
        [
            PromptSummary("p"),
            ReasoningDelta(1, "add"),
            ReasoningLine("Adding"),
            Retraction(1, 3),
            OutputDelta(0, "4"),
            ReasoningDelta(0, "late"),
        ]
    )
    told = [(each["phase"], each["choices"][0]) for each in objects(frames) if "choices" in each]
    assert [(phase, choice["index"], choice["delta"]) for phase, choice in told[2:]] == [
        ("reasoning_summary", 1, {"reasoning_content": "add"}),
        ("reasoning_summary", 0, {"content": "[Reasoning Summary] Adding"}),
        ("reasoning_summary", 0, {"content": "\n\n"}),
        ("final_output", 0, {"content": "4"}),
        ("final_output", 0, {"reasoning_content": "late"}),
    ]


def test_a_phase_of_raw_reasoning_alone_needs_no_paragraph() -> None:
    raw = PhasesEncoder(HEAD, request_id="r", include_usage=False, show_reasoning=True)
    frames = raw.encode([ReasoningDelta(0, "add"), OutputDelta(0, "4")])
    deltas = [each["choices"][0]["delta"] for each in objects(frames) if "choices" in each]
    assert deltas == [{"role": "assistant", "reasoning_content": "add"}, {"content": "4"}]


def test_a_lone_surrogate_does_not_end_the_stream() -> None:
    assert b"?" in sse(encoder().encode([OutputDelta(0, "a"), OutputDelta(0, "\ud83d")]))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_no_text_can_forge_an_event(texts: list[str]) -> None:
    written = sse(encoder().encode([OutputDelta(0, text) for text in texts]))
    decoder = SSEDecoder()
    events = decoder.feed(written) + decoder.finish()
    read = [json.loads(event.data)["choices"][0]["delta"]["content"] for event in events[1:]]
    assert read == texts
