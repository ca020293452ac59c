"""One object instead of a stream: the same content, put together as OpenAI's clients would."""

import json
import tracemalloc
from typing import Any

from trio_gateway.core.client_api import ChunkHead
from trio_gateway.core.client_api.completion import CompletionBuilder
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
from trio_gateway.core.phases import Phase

HEAD = ChunkHead(id="chatcmpl-1", created=1700000000, model="default")


def completion(*events: Event) -> dict[str, Any]:
    builder = CompletionBuilder(HEAD)
    for event in events:
        builder.add([event])
    return builder.completion()


def call(index: int, **function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": function}]}


def test_a_whole_answer() -> None:
    assert completion(
        PromptSummary("Adding numbers"),
        ReasoningLine("one"),
        Ping(),
        ReasoningLine("two"),
        OutputDelta(0, "The answer"),
        OutputDelta(0, " is 4."),
        Finish(0, "stop"),
        Usage({"total_tokens": 9}),
        Done(),
    ) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "default",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The answer is 4.",
                    "reasoning_content": "[Prompt Summary] Adding numbers\n\n[Reasoning Summary] one\ntwo",
                    "reasoning": "[Prompt Summary] Adding numbers\n\n[Reasoning Summary] one\ntwo",
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"total_tokens": 9},
        "phases": {"prompt_summary": "Adding numbers", "reasoning_summary": "one\ntwo"},
    }


def test_without_summaries_there_are_no_reasoning_fields() -> None:
    told = completion(OutputDelta(0, "4"), Finish(0, "stop"))
    assert told["choices"][0]["message"] == {"role": "assistant", "content": "4"}
    assert told["phases"] == {"prompt_summary": None, "reasoning_summary": None}
    assert "usage" not in told


def test_an_answer_without_anything_is_an_empty_message() -> None:
    (choice,) = completion(Done())["choices"]
    assert choice == {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": None}


def test_tool_calls_are_joined_by_their_index() -> None:
    opened = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": ""}}
    told = completion(
        OutputExtra(0, {"tool_calls": [opened]}),
        OutputExtra(0, call(0, arguments='{"a"')),
        OutputExtra(0, call(1, name="sub", arguments="{}")),
        OutputExtra(0, {"tool_calls": [{**opened, "function": {"arguments": ": 1}"}}]}),
        Finish(0, "tool_calls"),
    )
    assert told["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"function": {"name": "sub", "arguments": "{}"}},
        ],
    }


def test_other_fields_and_log_probabilities_are_joined_too() -> None:
    told = completion(
        OutputDelta(0, "a", {"content": [1]}),
        OutputDelta(0, "b", {"content": [2], "refusal": None}),
        OutputExtra(0, {"refusal": "I can"}),
        OutputExtra(0, {"refusal": "not."}),
        OutputExtra(0, {"annotations": [{"type": "x"}]}),
        OutputExtra(0, {"annotations": [{"type": "y"}]}),
        OutputExtra(0, {"annotations": None}),
        OutputExtra(0, {"tool_calls": ["odd"]}),
    )
    (choice,) = told["choices"]
    assert choice["logprobs"] == {"content": [1, 2], "refusal": None}
    assert choice["message"] == {
        "role": "assistant",
        "content": "ab",
        "refusal": "I cannot.",
        "annotations": [{"type": "x"}, {"type": "y"}],
        "tool_calls": ["odd"],
    }


def test_choices_stand_in_the_order_of_their_index() -> None:
    told = completion(OutputDelta(1, "b"), OutputDelta(0, "a"), Finish(1, "length"), Finish(0, "stop"))
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in told["choices"]] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


def test_the_summary_stands_once_however_many_choices_there_are() -> None:
    told = completion(PromptSummary("p"), OutputDelta(0, "a"), OutputDelta(1, "b"))
    first, second = (choice["message"] for choice in told["choices"])
    assert first["reasoning"] == first["reasoning_content"] == "[Prompt Summary] p"
    assert second == {"role": "assistant", "content": "b"}


def test_the_reasoning_itself_for_those_who_asked() -> None:
    builder = CompletionBuilder(HEAD, show_reasoning=True)
    builder.add([PromptSummary("p"), ReasoningDelta(0, "add, 4"), Retraction(0, 3), OutputDelta(0, "4")])
    (choice,) = builder.completion()["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "4",
        "reasoning_content": "add",
        "reasoning": "[Prompt Summary] p",
    }


def test_what_an_attempt_left_behind_is_void_when_another_begins() -> None:
    told = completion(OutputDelta(0, "half an"), OutputDelta(1, "x"), Restart(), OutputDelta(0, "whole"))
    assert [choice["message"]["content"] for choice in told["choices"]] == ["whole"]


def test_a_failure_is_kept_for_the_status() -> None:
    builder = CompletionBuilder(HEAD)
    failure = Failure(error_for("truncated", "Cut."), Phase.FINAL_OUTPUT)
    builder.add([OutputDelta(0, "The"), failure, Done()])
    assert builder.failure is failure


def test_it_is_written_in_parts() -> None:
    builder = CompletionBuilder(HEAD)
    builder.add([OutputDelta(0, "x" * 100_000), OutputDelta(0, '"' * 100_000), Finish(0, "stop")])
    parts = [*builder.parts()]
    assert json.loads("".join(parts))["choices"][0]["message"]["content"] == "x" * 100_000 + '"' * 100_000
    assert len(parts) > 5
    assert max(map(len, parts)) < 100_000


def test_reasoning_that_is_not_shown_is_not_kept() -> None:
    builder = CompletionBuilder(HEAD)
    tracemalloc.start()
    for _ in range(1000):
        builder.add([ReasoningDelta(0, "x" * 1000), Retraction(0, 5)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10_000


def test_an_answer_of_very_many_pieces_takes_little_more_than_its_text() -> None:
    builder = CompletionBuilder(HEAD, show_reasoning=True)
    tracemalloc.start()
    for _ in range(20_000):
        builder.add([ReasoningDelta(0, "four"), OutputDelta(0, "four", {"content": [4]})])
        builder.add([OutputExtra(0, call(0, arguments="four"))])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 600_000
    choice = builder.completion()["choices"][0]
    assert choice["message"]["content"] == choice["message"]["reasoning_content"] == "four" * 20_000
    assert choice["message"]["tool_calls"] == [{"function": {"arguments": "four" * 20_000}}]
    assert choice["logprobs"] == {"content": [4] * 20_000}
