"""The bytes of the format ``openai``, and that a stream of it says what a whole answer says."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.client_api import FORMATS, ChunkHead, Frame, OpenAIEncoder, PhasesEncoder, sse
from trio_gateway.core.client_api.completion import CompletionBuilder
from trio_gateway.core.client_api.request import FormatName
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
from trio_gateway.core.phases import Phase, PhaseOrder, PhaseOrderError

HEAD = ChunkHead(id="chatcmpl-1", created=1700000000, model="default")
LEAD = '{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "default", '
PROMPT, REASONING, FINAL = (str(phase) for phase in Phase)


def encoder(*, include_usage: bool = False, raw: bool = False) -> OpenAIEncoder:
    return OpenAIEncoder(HEAD, request_id="req_1", include_usage=include_usage, show_reasoning=raw)


def objects(frames: list[Frame]) -> list[dict[str, Any]]:
    assert {event for event, _ in frames} <= {"message", ":"}  # no named events
    return [json.loads(data) for event, data in frames if event != ":" and data != "[DONE]"]


def deltas(frames: list[Frame]) -> list[tuple[str, dict[str, Any]]]:
    """Phase and delta of each chunk but the first, which says the role."""
    role, *chunks = objects(frames)
    assert role["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    ]
    return [(chunk["phase"], choice["delta"]) for chunk in chunks for choice in chunk["choices"]]


def chunk(delta: str, phase: str, *, finish: str = "null") -> str:
    choice = f'{{"index": 0, "delta": {delta}, "finish_reason": {finish}}}'
    return f'data: {LEAD}"choices": [{choice}], "phase": "{phase}"}}\n\n'


def both(text: str) -> dict[str, str]:
    return {"reasoning_content": text, "reasoning": text}


def test_the_formats_by_name() -> None:
    assert {name: entry.stream for name, entry in FORMATS.items()} == {
        "phases": PhasesEncoder,
        "openai": OpenAIEncoder,
    }
    assert set(FORMATS) == set(get_args(FormatName))


def test_a_whole_answer_letter_by_letter() -> None:
    events: list[Event] = [
        PromptSummary("Adding"),
        ReasoningDelta(0, "raw thoughts"),
        Ping(),
        ReasoningLine("one"),
        ReasoningLine("two"),
        OutputDelta(0, "The"),
        OutputDelta(0, ' "é\n'),
        Finish(0, "stop"),
        Usage({"total_tokens": 3}),
        Done(),
    ]

    def summary(text: str) -> str:
        return f'{{"reasoning_content": "{text}", "reasoning": "{text}"}}'

    usage = f'data: {LEAD}"choices": [], "usage": {{"total_tokens": 3}}, "phase": "final_output"}}\n\n'
    assert sse(encoder(include_usage=True).encode(events)).decode() == "".join(
        [
            chunk('{"role": "assistant", "content": ""}', PROMPT),
            chunk(summary("[Prompt Summary] Adding"), PROMPT),
            ": ping\n\n",
            chunk(summary("\\n\\n"), PROMPT),
            chunk(summary("[Reasoning Summary] one"), REASONING),
            chunk(summary("\\ntwo"), REASONING),
            chunk('{"content": "The"}', FINAL),
            chunk('{"content": " \\"é\\n"}', FINAL),
            chunk("{}", FINAL, finish='"stop"'),
            usage,
            "data: [DONE]\n\n",
        ]
    )


def test_the_quick_path_writes_what_the_general_one_writes() -> None:
    _, first, second = encoder().encode([OutputDelta(0, "same"), OutputDelta(0, "same")])
    assert first == second


def test_an_empty_answer_is_a_role_and_a_finish() -> None:
    frames = encoder().encode([Finish(0, "stop"), Usage({"total_tokens": 1}), Done()])
    assert [each["phase"] for each in objects(frames)] == [FINAL, FINAL]
    assert deltas(frames) == [(FINAL, {})]


def test_raw_reasoning_has_its_field_for_itself() -> None:
    frames = encoder(raw=True).encode(
        [
            PromptSummary("p"),
            ReasoningDelta(1, "add"),
            ReasoningLine("Adding"),
            Retraction(1, 3),
            Restart(),
            ReasoningLine("Checking"),
            OutputDelta(0, "4"),
            ReasoningDelta(0, "late"),
        ]
    )
    assert deltas(frames) == [
        (PROMPT, {"reasoning": "[Prompt Summary] p"}),
        (REASONING, {"reasoning_content": "add"}),
        (REASONING, {"reasoning": "\n\n"}),
        (REASONING, {"reasoning": "[Reasoning Summary] Adding"}),
        (REASONING, {"reasoning": "\nChecking"}),
        (FINAL, {"content": "4"}),
        (FINAL, {"reasoning_content": "late"}),
    ]
    assert [each["choices"][0]["index"] for each in objects(frames)] == [0, 0, 1, 0, 0, 0, 0, 0]


def test_a_summary_alone_has_no_blank_line() -> None:
    frames = encoder().encode([ReasoningLine("one"), OutputDelta(0, "4")])
    assert deltas(frames) == [(REASONING, both("[Reasoning Summary] one")), (FINAL, {"content": "4"})]


def test_a_choice_that_has_finished_ends_the_phases_before() -> None:
    frames = encoder(raw=True).encode([ReasoningDelta(0, "a"), Finish(0, "length"), ReasoningDelta(1, "b")])
    assert deltas(frames)[-1] == (FINAL, {"reasoning_content": "b"})


def test_extras_and_log_probabilities_pass() -> None:
    call = {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}
    told = objects(encoder().encode([OutputExtra(1, call), OutputDelta(1, "a", {"content": []})]))
    assert [each["choices"][0] for each in told[1:]] == [
        {"index": 1, "delta": call, "finish_reason": None},
        {"index": 1, "delta": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": None},
    ]


@pytest.mark.parametrize(
    ("before", "reached", "phase"),
    [
        ([], PROMPT, PROMPT),
        ([PromptSummary("p")], REASONING, REASONING),
        ([Finish(1, "stop")], REASONING, FINAL),  # it does not go back behind the chunks before it
    ],
)
def test_a_failure_is_a_chunk_without_a_name(before: list[Event], reached: str, phase: str) -> None:
    failure = Failure(error_for("overloaded", "Busy.", retry_after=2.0), Phase(reached))
    frames = encoder().encode([*before, failure, Done()])
    assert objects(frames)[0]["choices"][0]["delta"]["role"] == "assistant"
    assert frames[-2:] == [
        (
            "message",
            '{"error": {"message": "Busy.", "type": "server_error", "param": null, "code": "overloaded", '
            f'"status": 503, "phase": "{reached}", "request_id": "req_1", "retry_after": 2.0}}, '
            f'{LEAD[1:]}"choices": [{{"index": 0, "delta": {{}}, "finish_reason": "error"}}], '
            f'"phase": "{phase}"}}',
        ),
        ("message", "[DONE]"),
    ]


def test_phases_out_of_order_are_a_bug_that_shows() -> None:
    with pytest.raises(PhaseOrderError):
        encoder().encode([OutputDelta(0, "a"), ReasoningLine("b")])


TEXT = st.text(min_size=1, max_size=8)
INDEX = st.integers(0, 2)
THOUGHTS = st.builds(ReasoningDelta, INDEX, TEXT)
ANSWERS = st.tuples(
    st.lists(st.builds(PromptSummary, TEXT), max_size=1),
    st.lists(THOUGHTS | st.builds(ReasoningLine, TEXT), max_size=6),
    st.lists(st.builds(OutputDelta, INDEX, TEXT) | THOUGHTS, max_size=6),
).map(lambda parts: [*parts[0], *parts[1], *parts[2], Finish(0, "stop"), Done()])


@given(ANSWERS, st.booleans())
def test_a_stream_says_what_a_whole_answer_says(events: list[Event], raw: bool) -> None:
    chunks = objects(encoder(raw=raw).encode(events))
    builder = CompletionBuilder(HEAD, show_reasoning=raw)
    builder.add(events)
    joined: dict[int, dict[str, str]] = {}
    order = PhaseOrder()
    for each in chunks:
        order.accept(Phase(each["phase"]))
        (choice,) = each["choices"]
        held = joined.setdefault(choice["index"], {})
        for key, text in choice["delta"].items():
            held[key] = held.get(key, "") + text
    for choice in builder.completion()["choices"]:
        told = {"content": "", **joined.get(choice["index"], {})}
        assert {"role": "assistant", **told} == choice["message"]
