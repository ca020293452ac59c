"""Chunks to events: what of an upstream's answer belongs to the reasoning, and what to the output."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from trio_gateway.core.budgets.held_bytes import ByteBudget
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS
from trio_gateway.core.events import (
    Event,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    Retraction,
    Usage,
)
from trio_gateway.core.json.slices import json_parts
from trio_gateway.core.upstream_api.answer_reader import AnswerReader
from trio_gateway.core.upstream_api.chunks import ChoiceDelta, ChoiceError, Chunk, parse_chunk
from trio_gateway.core.upstream_api.learning import StartEvidence

TAGS = ModelConfig(markers=(("<think>", "</think>"),))


def reader(
    model: ModelConfig = TAGS, *, starts: bool = False, choices: int = 1, whole: bool = False
) -> AnswerReader:
    return AnswerReader(model, starts_in_reasoning=starts, choices=choices, whole=whole)


def delta(content: str | None = None, *, index: int = 0, finish: str | None = None, **more: Any) -> Chunk:
    logprobs = more.pop("logprobs", None)
    fields = more if content is None else {"content": content, **more}
    choice = {"index": index, "delta": fields, "finish_reason": finish, "logprobs": logprobs}
    chunk = parse_chunk(json.dumps({"choices": [choice]}))
    assert isinstance(chunk, Chunk)
    return chunk


def read(answer: AnswerReader, *chunks: Chunk) -> list[Event]:
    """What *chunks* bring, and the end of the answer if they complete it."""
    events = [event for chunk in chunks for event in answer.read(chunk)]
    return events + answer.end() if answer.finished else events


def test_text_is_split() -> None:
    answer = reader()
    assert read(answer, delta("<think>add"), delta("</think>"), delta("4", finish="stop")) == [
        ReasoningDelta(0, "add"),
        OutputDelta(0, "4"),
        Finish(0, "stop"),
    ]
    assert answer.finished
    assert not answer.empty


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_a_field_of_its_own_is_trusted_and_switches_markers_off_in_the_answer(field: str) -> None:
    answer = reader()
    assert read(
        answer,
        delta(None, **{field: "add"}),  # type: ignore[arg-type]
        delta("<think>again</think>It is"),
        delta("\n<think>", finish="stop"),
    ) == [
        ReasoningDelta(0, "add"),
        ReasoningDelta(0, "\nagain"),
        OutputDelta(0, "It is"),
        OutputDelta(0, "\n<think>"),
        Finish(0, "stop"),
    ]
    assert answer.evidence == StartEvidence(structured=True, stopped=True)


def test_an_empty_field_is_no_evidence() -> None:
    assert read(reader(), delta("<think>add</think>4", reasoning_content="", finish="stop")) == [
        ReasoningDelta(0, "add"),
        OutputDelta(0, "4"),
        Finish(0, "stop"),
    ]


def test_a_tool_call_ends_reasoning_and_passes_as_it_came() -> None:
    function = {"name": "f", "arguments": '{"a": "\\u00e9"}'}
    call = [{"index": 0, "id": "c", "type": "function", "function": function}]
    assert read(reader(), delta("<think>add"), delta(tool_calls=call), delta(finish="tool_calls")) == [
        ReasoningDelta(0, "add"),
        OutputExtra(0, {"tool_calls": call}),
        Finish(0, "tool_calls"),
    ]


def test_a_tool_call_is_made_valid() -> None:
    answer = reader()
    fragments = [{"function": {"name": "f", "arguments": {"x": 1}}}, {}]
    events = read(answer, *(delta(tool_calls=[each]) for each in fragments))
    call = {
        "index": 0,
        "id": "call_0_0",
        "type": "function",
        "function": {"name": "f", "arguments": '{"x": 1}'},
    }
    assert events == [OutputExtra(0, {"tool_calls": [call]})]


def test_choices_are_split_apart() -> None:
    answer = reader(choices=2)
    first = read(answer, delta("<think>a"), delta("plain", index=1), delta("</think>b"), delta(finish="stop"))
    assert first == [
        ReasoningDelta(0, "a"),
        OutputDelta(1, "plain"),
        OutputDelta(0, "b"),
    ]
    assert not answer.finished
    last = read(answer, delta(index=1, finish="length"))
    assert last == [Finish(0, "stop"), Finish(1, "length")]
    assert answer.finished


def test_text_after_a_finish_reason_is_text_and_the_last_reason_counts() -> None:
    """Some servers write ``stop`` on every chunk."""
    assert read(reader(), delta("4", finish="stop"), delta("5"), delta(finish="length")) == [
        OutputDelta(0, "4"),
        OutputDelta(0, "5"),
        Finish(0, "length"),
    ]


def test_a_finish_reason_on_every_chunk_ends_no_reasoning() -> None:
    chunks = delta(reasoning="a", finish="stop"), delta("4", finish="stop"), delta(finish="stop")
    assert read(reader(), *chunks) == [ReasoningDelta(0, "a"), OutputDelta(0, "4"), Finish(0, "stop")]


def test_usage_passes() -> None:
    assert reader().read(Chunk([], {"total_tokens": 3})) == [Usage({"total_tokens": 3})]


def test_what_is_held_back_comes_at_the_end() -> None:
    answer = reader()
    assert read(answer, delta("4 \n<thi")) == [OutputDelta(0, "4")]
    assert answer.end() == [OutputDelta(0, " \n<thi")]
    assert answer.end() == []


def test_an_answer_without_anything_is_empty() -> None:
    answer = reader()
    assert read(answer, delta(role="assistant"), delta(""), Chunk([])) == []
    assert answer.empty


def test_log_probabilities_go_with_the_text_they_are_of() -> None:
    def probs(*tokens: str) -> dict[str, Any]:
        return {"content": [{"token": token} for token in tokens], "refusal": None}

    assert read(
        reader(),
        delta("<think>add", logprobs=probs("<think>", "add")),
        delta("</think>", logprobs=probs("</think>")),
        delta("4 ", logprobs=probs("4 ")),
        delta("is", logprobs=probs("is")),
        delta("", logprobs=probs("")),
        delta("!", finish="stop"),
    ) == [
        ReasoningDelta(0, "add"),
        OutputDelta(0, "4", probs("</think>", "4 ")),
        OutputDelta(0, " is", probs("is")),
        OutputDelta(0, "!", probs("")),
        Finish(0, "stop"),
    ]


def test_log_probabilities_of_structured_reasoning_are_dropped() -> None:
    told = read(reader(), delta(reasoning_content="add", logprobs={"content": [1]}), delta("4"))
    assert told == [ReasoningDelta(0, "add"), OutputDelta(0, "4")]


def test_odd_log_probabilities_replace_each_other() -> None:
    told = read(reader(), delta("\n", logprobs=[1]), delta("\n4", logprobs={"content": [2]}))
    assert told == [OutputDelta(0, "\n\n4", {"content": [2]})]


def test_reasoning_that_was_the_answer_after_all() -> None:
    answer = reader(starts=True)
    assert read(answer, delta("just an "), delta("answer", finish="stop"))[-3:] == [
        Retraction(0, len("just an answer")),
        OutputDelta(0, "just an answer"),
        Finish(0, "stop"),
    ]
    assert answer.evidence == StartEvidence(assumed=True, promoted=True, stopped=True)


@pytest.mark.parametrize("presumed", [False, True])
@pytest.mark.parametrize(
    ("text", "finish", "evidence"),
    [
        ("thought\n</think>\n4", "stop", StartEvidence(orphan=True, stopped=True)),
        ("thought\n</think>\n4", "length", StartEvidence(orphan=True)),
        # text is missing before it or after it
        ("\n</think>\n4", "stop", StartEvidence(stopped=True)),
        ("thought\n</think>\n", "stop", StartEvidence(stopped=True)),
        # it is not alone, in code, or after a start
        ("thought</think>\n4", "stop", StartEvidence(stopped=True)),
        ("thought\n```\n</think>\n```\n4", "stop", StartEvidence(stopped=True)),
        ("<think>a</think>b\n</think>\n4", "stop", StartEvidence(stopped=True)),
    ],
)
def test_an_end_marker_that_no_start_preceded_is_evidence(
    text: str, finish: str, evidence: StartEvidence, presumed: bool
) -> None:
    answer = AnswerReader(TAGS, starts_in_reasoning=False, presumed=presumed)
    read(answer, *map(delta, text), delta(finish=finish))
    assert replace(answer.evidence, promoted=False) == evidence


def test_a_presumption_that_does_not_hold_is_taken_back() -> None:
    answer = AnswerReader(TAGS, starts_in_reasoning=False, presumed=True)
    assert read(answer, delta("just an "), delta("answer", finish="length")) == [
        ReasoningDelta(0, "just an"),
        ReasoningDelta(0, " answer"),
        Retraction(0, len("just an answer")),
        OutputDelta(0, "just an answer"),
        Finish(0, "length"),
    ]
    assert answer.evidence == StartEvidence(promoted=True)


def test_nobody_sees_it_before_its_end() -> None:
    assert read(reader(whole=True), delta("thought\n</think>\n4", finish="stop")) == [
        ReasoningDelta(0, "thought"),
        OutputDelta(0, "4"),
        Finish(0, "stop"),
    ]


def test_harmony_tool_calls_become_tool_calls() -> None:
    text = (
        "<|channel|>analysis<|message|>add<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.add<|constrain|>json<|message|>{"a": 1}<|call|>'
    )
    told = read(reader(DEFAULT_MODELS["gpt-oss"]), delta(text, finish="stop"))
    calls = [event.delta["tool_calls"][0] for event in told if isinstance(event, OutputExtra)]
    assert told[0] == ReasoningDelta(0, "add")
    assert calls[0] == {
        "index": 0,
        "id": "call_0_0",
        "type": "function",
        "function": {"name": "add", "arguments": ""},
    }
    assert "".join(call["function"]["arguments"] for call in calls[1:]) == '{"a": 1}'


@pytest.mark.parametrize(
    ("choices", "index", "fits"), [(1, 0, True), (1, 1, False), (2, 1, True), (2, 10**9, False)]
)
def test_choices_that_were_not_asked_for(choices: int, index: int, fits: bool) -> None:
    answer = reader(choices=choices)
    if fits:
        answer.check(delta("4", index=index))
    else:
        with pytest.raises(ChoiceError, match=f"an index of {choices} or more"):
            answer.check(Chunk([ChoiceDelta(0, "4"), ChoiceDelta(index, "4")]))


def test_log_probabilities_of_text_that_is_held_back_are_joined() -> None:
    answer = reader()
    assert read(answer, delta("<", logprobs={"content": [1]})) == []
    assert read(answer, delta("x", logprobs={"content": [2]})) == [OutputDelta(0, "<x", {"content": [1, 2]})]
    assert read(answer, delta("y")) == [OutputDelta(0, "y")]


@pytest.mark.parametrize("logprobs", [{"content": ["z" * 50]}, {"content": ["z" * 500]}])
def test_log_probabilities_beyond_the_memory_are_dropped_with_all_of_their_text(logprobs: object) -> None:
    memory = ByteBudget(120)
    answer = AnswerReader(TAGS, starts_in_reasoning=False, memory=memory)
    for _ in range(3):
        assert read(answer, delta("", logprobs=logprobs)) == []
    assert memory.held == 0
    assert read(answer, delta("4", logprobs={"content": [1]})) == [OutputDelta(0, "4")]
    assert read(answer, delta("2", logprobs={"content": [2]})) == [OutputDelta(0, "2", {"content": [2]})]


def test_log_probabilities_without_text_are_dropped_beyond_a_mebibyte() -> None:
    answer, size = reader(), []
    for _ in range(40):
        read(answer, delta("", logprobs={"content": ["z" * 60_000]}))
        size.append(answer.size)
    assert 900_000 < max(size) <= 1024 * 1024
    assert size[-1] == 0


def test_the_memory_is_given_back() -> None:
    memory = ByteBudget(1000)
    answer = AnswerReader(TAGS, starts_in_reasoning=False, memory=memory, choices=2)
    read(answer, delta("<", logprobs={"content": [1]}), delta("<", logprobs={"content": [1]}, index=1))
    assert memory.held == 2
    read(answer, delta("x"))
    assert memory.held == 1
    answer.close()
    answer.close()
    assert memory.held == 0


def plain(value: object) -> object:
    """What a whole answer's event holds, in which growing values stand for JSON."""
    return json.loads("".join(json_parts(value)))


def test_what_is_gathered_besides_text_waits_for_the_end() -> None:
    answer = reader(whole=True)
    call = {"index": 0, "id": "a", "function": {"arguments": "{"}}
    assert read(answer, delta("4", tool_calls=[call], logprobs={"content": [1]})) == []
    assert answer.output_seen
    assert (
        read(answer, delta(refusal="n"), delta(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]))
        == []
    )
    text, extra, finish = read(answer, delta(refusal="o", finish="stop"))
    assert isinstance(text, OutputDelta)
    assert isinstance(extra, OutputExtra)
    assert (text.text, plain(text.logprobs), finish) == ("4", {"content": [1]}, Finish(0, "stop"))
    assert plain(extra.delta) == {
        "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"arguments": "{}"}}],
        "refusal": "no",
    }


def test_a_whole_answer_without_a_finish_reason_gives_what_was_gathered_at_its_end() -> None:
    answer = reader(whole=True)
    read(answer, delta(refusal="no"))
    (extra,) = answer.end()
    assert isinstance(extra, OutputExtra)
    assert plain(extra.delta) == {"refusal": "no"}
    answer.close()


@pytest.mark.parametrize("shows", [True, False])
def test_the_size_of_a_whole_answer(shows: bool) -> None:
    answer = AnswerReader(TAGS, starts_in_reasoning=False, whole=True, shows_reasoning=shows)
    read(answer, delta(reasoning_content="r" * 1000))
    assert answer.size == 1000 * shows
    read(answer, delta("é" * 100))
    assert answer.size == 200 + 1000 * shows
    read(answer, delta(refusal="x" * 5000), delta("", logprobs={"content": ["y" * 3000]}))
    assert 8200 + 1000 * shows < answer.size < 8600 + 1000 * shows


@pytest.mark.parametrize("shows", [True, False])
def test_reasoning_that_becomes_output_counts(shows: bool) -> None:
    answer = AnswerReader(TAGS, starts_in_reasoning=False, whole=True, shows_reasoning=shows)
    read(answer, delta("<think>" + "x" * 1000))
    assert answer.size <= 1010 if shows else answer.size < 20
    assert any(isinstance(event, Retraction) for event in read(answer, delta("", finish="stop")))
    assert 1000 <= answer.size < 1020
