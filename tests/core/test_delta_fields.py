"""Fields of a delta: what opens the output, what may hold thoughts, and what reaches which client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trio_gateway.core.client_api import ChunkHead, Encoder
from trio_gateway.core.client_api.completion import CompletionBuilder
from trio_gateway.core.client_api.openai import OpenAIEncoder
from trio_gateway.core.client_api.phases_stream import PhasesEncoder
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.events import (
    ChunkFields,
    Event,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    ReasoningExtra,
    Restart,
    Retraction,
    weight,
)
from trio_gateway.core.reasoning import FlaggedThoughts
from trio_gateway.core.upstream_api.answer_reader import AnswerReader
from trio_gateway.core.upstream_api.asides import Attributes, HeldAsides
from trio_gateway.core.upstream_api.chunks import ChoiceDelta, Chunk, ProtocolError, parse_chunk
from trio_gateway.core.upstream_api.delta_fields import Aside, DeltaFields, PartsError, read_delta
from trio_gateway.core.upstream_api.thought_parts import sealed_of

SEALED = {"type": "reasoning.encrypted", "data": "x", "id": "t", "index": 0}
READABLE = {"type": "reasoning.text", "text": "a", "index": 0}
REDACTED = {"type": "redacted_thinking", "data": "x"}
SIGNED = {"type": "thinking", "thinking": "", "signature": "s"}
THOUGHT = {"google": {"thought": True}}


@pytest.mark.parametrize(
    ("delta", "fields"),
    [
        ({"role": "assistant", "content": "x"}, DeltaFields("x")),
        ({"content": "x", "tool_calls": None, "audio": {}, "refusal": ""}, DeltaFields("x")),
        ({"refusal": "no", "images": [1]}, DeltaFields(output={"refusal": "no", "images": [1]})),
        ({"name": "n", "annotations": [1]}, DeltaFields(aside=Aside({"name": "n", "annotations": [1]}))),
        ({"reasoning_text": "a"}, DeltaFields(reasoning="a")),
        ({"reasoning_content": {"text": "a"}}, DeltaFields(reasoning="a")),
        ({"reasoning_content": {"reasoning": {"text": "a"}}}, DeltaFields(reasoning="a")),
        (
            {"reasoning_content": {"signature": "s", "reasoning_opaque": ""}},
            DeltaFields(aside=Aside(sealed={"signature": "s"})),
        ),
        ({"reasoning_opaque": "o"}, DeltaFields(aside=Aside(sealed={"reasoning_opaque": "o"}))),
        ({"reasoning_new": "a"}, DeltaFields(aside=Aside(thoughts={"reasoning_new": "a"}))),
        ({"new": "a"}, DeltaFields(aside=Aside(others={"new": "a"}))),
        (
            {"thinking_blocks": [{"type": "thinking", "thinking": "a"}, REDACTED]},
            DeltaFields(
                reasoning="a",
                aside=Aside(
                    thoughts={"thinking_blocks": [{"type": "thinking", "thinking": "a"}, REDACTED]},
                    cleared={"thinking_blocks": [REDACTED]},
                ),
            ),
        ),
        (
            {"provider_specific_fields": {"thought_signatures": ["s"], "text": "a"}},
            DeltaFields(
                aside=Aside(
                    thoughts={"provider_specific_fields": {"thought_signatures": ["s"], "text": "a"}},
                    cleared={"provider_specific_fields": {"thought_signatures": ["s"]}},
                )
            ),
        ),
        (
            {"content": "a", "extra_content": THOUGHT},
            DeltaFields("a", aside=Aside(thoughts={"extra_content": THOUGHT}), is_thought=True),
        ),
        (
            {"extra_content": {"google": {"thought_signature": "s"}}},
            DeltaFields(
                aside=Aside(sealed={"extra_content": {"google": {"thought_signature": "s"}}}),
            ),
        ),
        ({"extra_content": {"x": 1}}, DeltaFields(aside=Aside(others={"extra_content": {"x": 1}}))),
        (
            {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}]},
            DeltaFields(reasoning="a"),
        ),
        (
            {
                "content": [
                    {"type": "message", "content": [{"type": "summary_text", "text": "a"}, {"text": "b"}]},
                    REDACTED,
                ]
            },
            DeltaFields("b", "a", aside=Aside(sealed={"thinking_blocks": [REDACTED]})),
        ),
    ],
)
def test_a_delta_is_read(delta: dict[str, Any], fields: DeltaFields) -> None:
    assert read_delta(delta) == fields


@pytest.mark.parametrize(
    "content", [5, [{}] * 10_001, [{"text": [{}] * 10_000}], [{"type": "thinking", "thinking": [1] * 10_001}]]
)
def test_a_content_of_no_known_shape(content: object) -> None:
    with pytest.raises(PartsError):
        read_delta({"content": content})
    with pytest.raises(ProtocolError):
        parse_chunk('{"choices": [{"delta": {"content": 5}}]}')


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ([READABLE, SEALED, 5], [SEALED]),
        ([READABLE], None),
        (SIGNED, SIGNED),
        ({**SIGNED, "thinking": "a"}, {"signature": "s"}),
        ([{**SIGNED, "thinking": "a"}], None),
        ({"type": "reasoning", "summary": [], "encrypted_content": "e"},) * 2,
        ({"thinking_blocks": [SIGNED], "n": 1}, {"thinking_blocks": [SIGNED]}),
        ("text", None),
        ({"type": ["x"]}, None),
    ],
)
def test_what_holds_no_readable_thoughts(value: object, left: object) -> None:
    assert sealed_of(value) == left


def test_attributes_are_given_once() -> None:
    held = Attributes(grows=True)
    for came in ([1], [1], [1, 2], [3]):
        held.add({"annotations": came, "name": "n"})
    assert held.size
    assert held.take() == {"annotations": [1, 2, 3], "name": "n"}
    held.add({"annotations": [3, 4], "name": "n"})
    assert held.take() == {"annotations": [4]}
    held.add({"annotations": [3, 4], "name": "n"})
    assert not held
    facts = Attributes(grows=False)
    facts.add({"citations": [1]})
    facts.add({"citations": [1, 2]})
    assert facts.take() == {"citations": [1, 2]}


def test_what_came_under_one_name_is_not_joined_in_a_stream() -> None:
    held = HeldAsides(shows_thoughts=False, shows_others=False, whole=False)
    came: list[dict[str, Any]] = [{"a": [1]}, {"b": "x"}, {"a": [1]}]
    for sealed in came:
        assert held.add(Aside(sealed=sealed), opened=False) == {}
    assert held.size
    assert held.take() == [{"a": [1], "b": "x"}, {"a": [1]}]
    assert not held
    more: list[dict[str, Any]] = [{"a": [1], "b": "x", "c": 1}, {"a": [2], "b": "y", "c": "z"}]
    for sealed in more:
        held.add(Aside(sealed=sealed), opened=False)
    assert held.take_joined() == {"a": [1, 2], "b": "xy", "c": "z"}


def test_pieces_of_one_block_are_one_entry_of_a_message() -> None:
    held = HeldAsides(shows_thoughts=True, shows_others=True, whole=True)
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": None},
        {"type": "thinking", "thinking": "b"},
        {"type": "thinking", "thinking": "", "signature": "s", "x": None},
        {"type": "thinking", "thinking": "c"},
        REDACTED,
        REDACTED,
        5,
    ]
    for block in blocks:
        held.add(Aside(thoughts={"thinking_blocks": [block], "x": 1}), opened=False)
    whole = held.take_whole()
    assert whole["x"] == 1
    assert whole["thinking_blocks"].others == [
        {"type": "thinking", "thinking": "ab", "signature": "s"},
        {"type": "thinking", "thinking": "c"},
        REDACTED,
        REDACTED,
        5,
    ]


def events_of(
    *deltas: dict[str, Any], raw: bool = False, whole: bool = False, thinks: bool = True, **more: Any
) -> list[Event]:
    """The events of an answer of *deltas* to a client that asked for the reasoning itself, or did not."""
    reader = AnswerReader(
        ModelConfig(markers=(("<think>", "</think>"),)),
        starts_in_reasoning=False,
        thinks=thinks,
        shows_reasoning=raw,
        shows_thought_fields=raw,
        whole=whole,
    )
    events: list[Event] = []
    for delta in deltas:
        chunk = parse_chunk_of(delta)
        events += reader.read(chunk)
    if more.get("finish", "stop") is not None:
        events += reader.read(Chunk([ChoiceDelta(finish_reason=more.get("finish", "stop"))]))
    assert reader.held >= 0
    events += reader.end()
    reader.close()
    return events


def parse_chunk_of(delta: dict[str, Any]) -> Chunk:
    fields = read_delta(delta)
    return Chunk(
        [
            ChoiceDelta(
                0,
                fields.text,
                fields.reasoning,
                fields.output,
                aside=fields.aside,
                is_thought=fields.is_thought,
            )
        ]
    )


DETAILS = {"reasoning_details": [READABLE, SEALED]}
UNKNOWN = {"unknown": 1}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            False,
            [
                ReasoningDelta(0, "a"),
                OutputDelta(0, "4"),
                OutputExtra(0, {"name": "n", "reasoning_details": [SEALED]}),
                OutputExtra(0, UNKNOWN),
                Finish(0, "stop"),
            ],
        ),
        (
            True,
            [
                ReasoningDelta(0, "a"),
                ReasoningExtra(0, DETAILS),
                ReasoningExtra(0, UNKNOWN),
                OutputDelta(0, "4"),
                OutputExtra(0, {"name": "n"}),
                OutputExtra(0, UNKNOWN),
                Finish(0, "stop"),
            ],
        ),
    ],
)
def test_what_reaches_which_client(raw: bool, expected: list[Event]) -> None:
    deltas = {**DETAILS, "name": "n"}, UNKNOWN, {"content": "4", "name": "n"}, UNKNOWN
    assert events_of(*deltas, raw=raw) == expected


def test_without_an_output_asides_wait_for_the_finish_and_open_none() -> None:
    assert events_of(DETAILS, {"name": "n"}) == [
        ReasoningDelta(0, "a"),
        Finish(0, "stop", {"name": "n", "reasoning_details": [SEALED]}),
    ]
    assert events_of(DETAILS, {"name": "n"}, finish=None) == [ReasoningDelta(0, "a")]


@pytest.mark.parametrize("raw", [True, False])
def test_a_whole_answer_has_them_once(raw: bool) -> None:
    builder = CompletionBuilder(ChunkHead("i", 1, "m"), show_reasoning=raw)
    builder.add(
        events_of(DETAILS, {"name": "n"}, {"name": "n", "content": "4"}, UNKNOWN, raw=raw, whole=True)
    )
    [choice] = builder.completion()["choices"]
    message = choice["message"]
    assert message["content"] == "4"
    assert "name" not in message
    assert message["unknown"] == 1
    assert message["reasoning_details"] == ([READABLE, SEALED] if raw else [SEALED])


def test_facts_beside_the_choices_pass_with_the_first_output_and_once() -> None:
    reader = AnswerReader(ModelConfig(), starts_in_reasoning=False)
    facts = {"citations": ["u"]}
    assert reader.read(Chunk([ChoiceDelta(reasoning="a")], None, facts)) == [ReasoningDelta(0, "a")]
    assert reader.held
    assert reader.read(Chunk([ChoiceDelta(text="4")], None, facts)) == [
        ChunkFields(facts),
        OutputExtra(0, facts),
        OutputDelta(0, "4"),
    ]
    assert reader.read(Chunk([], None, {"timings": 1})) == [ChunkFields({"timings": 1})]
    assert reader.read(Chunk([], None, facts)) == []


def test_facts_of_an_answer_without_output_pass_with_its_finish() -> None:
    reader = AnswerReader(ModelConfig(), starts_in_reasoning=False)
    reader.read(Chunk([ChoiceDelta(reasoning="a", finish_reason="length")], None, {"provider": "p"}))
    assert reader.end() == [ChunkFields({"provider": "p"}), Finish(0, "length")]


@pytest.mark.parametrize(
    ("deltas", "thinks", "expected"),
    [
        (
            [{"reasoning": "4"}, {"reasoning": "2"}],
            False,
            [ReasoningDelta(0, "4"), ReasoningDelta(0, "2"), Retraction(0, 2), OutputDelta(0, "42")],
        ),
        (
            [{"content": "<think>4</think>"}],
            False,
            [ReasoningDelta(0, "4"), Retraction(0, 1), OutputDelta(0, "4")],
        ),
        ([{"reasoning": "4"}], True, [ReasoningDelta(0, "4")]),
        ([{"reasoning": "a"}, {"content": "4"}], False, [ReasoningDelta(0, "a"), OutputDelta(0, "4")]),
        ([{"reasoning": "x" * 1_048_577}], False, [ReasoningDelta(0, "x" * 1_048_577)]),
    ],
)
def test_reasoning_alone_is_the_answer_where_thinking_was_off(
    deltas: list[dict[str, Any]], thinks: bool, expected: list[Event]
) -> None:
    assert events_of(*deltas, thinks=thinks) == [*expected, Finish(0, "stop")]


def test_flagged_text_is_reasoning_and_its_tags_are_dropped() -> None:
    flag = {"extra_content": THOUGHT}
    function = {"name": "f", "arguments": ""}
    call = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}
    assert events_of({"content": "<thought>a", **flag}, {"content": "</thought>4"}, call) == [
        ReasoningDelta(0, "a"),
        OutputDelta(0, "4"),
        OutputExtra(0, call),
        Finish(0, "stop"),
    ]
    assert events_of({"content": "a", **flag}, {"content": "</thought>"}, {}) == [
        ReasoningDelta(0, "a"),
        Finish(0, "stop"),
    ]


def flagged(*parts: tuple[bool, str]) -> tuple[str, str]:
    thoughts = FlaggedThoughts()
    pieces = [thoughts.feed(text, is_thought=is_thought) for is_thought, text in parts]
    pieces.append(thoughts.finish())
    return "".join(thought for thought, _ in pieces), "".join(text for _, text in pieces)


@pytest.mark.parametrize(
    ("thought", "text", "expected"),
    [
        ("<thought>a", "</thought>4", ("a", "4")),
        ("<thought>\na\n", "\n</thought>\n\n4", ("a", "4")),
        ("<thought>a</thought>", "4", ("a", "4")),
        ("a", "4", ("a", "4")),
        ("a", " 4", ("a", " 4")),
        ("a <", " 4", ("a <", " 4")),
        ("a </thoug", "4", ("a </thoug", "4")),
        ("a", "</thoug4", ("a", "</thoug4")),
        ("<tho", "4", ("<tho", "4")),
        ("<b>a</b>", "", ("<b>a</b>", "")),
        ("<thought>a", "</thought>", ("a", "")),
        ("a", " ", ("a", " ")),
    ],
)
def test_tags_of_flagged_thoughts_however_they_are_cut(
    thought: str, text: str, expected: tuple[str, str]
) -> None:
    assert flagged((True, thought), (False, text)) == expected
    chars = [(True, char) for char in thought] + [(False, char) for char in text]
    assert flagged(*chars) == expected
    if not text:
        return
    assert flagged(*chars, (True, "<thought>b"), (False, "</thought>5")) == (
        expected[0] + "b",
        expected[1] + "5",
    )


def written(encoder: type[Encoder], events: list[Event], *, raw: bool = False) -> list[dict[str, Any]]:
    """The chunks of *events*, in one format."""
    head = ChunkHead("i", 1, "m")
    frames = encoder(head, request_id="r", include_usage=False, show_reasoning=raw).encode(events)
    return [json.loads(data) for name, data in frames if name == "message" and data != "[DONE]"]


@pytest.mark.parametrize("encoder", [PhasesEncoder, OpenAIEncoder])
def test_facts_stand_beside_the_choices_of_the_chunk_they_pass_with(encoder: type[Encoder]) -> None:
    facts = {"citations": ["u"]}
    events: list[Event] = [OutputDelta(0, "4"), ChunkFields(facts), OutputDelta(0, "2"), Finish(0, "stop")]
    chunks = written(encoder, events)
    assert [chunk.get("citations") for chunk in chunks[-3:]] == [None, ["u"], None]
    assert chunks[-2]["choices"][0]["delta"] == {"content": "2"}
    last = written(encoder, [ChunkFields(facts), Finish(0, "stop", {"signature": "s"})])[-1]
    assert last["choices"][0]["delta"] == {"signature": "s"}


@pytest.mark.parametrize("encoder", [PhasesEncoder, OpenAIEncoder])
def test_fields_of_reasoning_are_for_those_who_asked(encoder: type[Encoder]) -> None:
    extra: list[Event] = [ReasoningExtra(0, DETAILS)]
    assert written(encoder, extra) == []
    [chunk] = written(encoder, extra, raw=True)[-1:]
    assert chunk["choices"][0]["delta"]["reasoning_details"] == DETAILS["reasoning_details"]
    assert chunk["phase"] == "reasoning_summary"


def test_facts_of_a_whole_answer_and_of_one_that_began_anew() -> None:
    builder = CompletionBuilder(ChunkHead("i", 1, "m"))
    builder.add([ChunkFields({"provider": "p"}), Restart(), ChunkFields({"citations": ["u"]})])
    builder.add([OutputDelta(0, "4"), Finish(0, "stop")])
    completion = builder.completion()
    assert completion["citations"] == ["u"]
    assert "provider" not in completion


def test_what_they_weigh() -> None:
    text = "x" * 1000
    for event in (ReasoningExtra(0, {"a": text}), ChunkFields({"a": text}), Finish(0, "stop", {"a": text})):
        assert 1000 < weight(event) < 1300
    assert weight(Finish(0, "stop")) == 68
