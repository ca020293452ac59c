"""One choice: what its deltas become, read from chunks as upstreams write them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config import ModelConfig
from trio_gateway.core.events import Event, Finish, OutputDelta, OutputExtra, ReasoningDelta
from trio_gateway.core.json.slices import json_parts
from trio_gateway.core.upstream_api.answer_reader import AnswerReader
from trio_gateway.core.upstream_api.chunks import Chunk, cut_chunk, parse_chunk

TAGS = ModelConfig(markers=(("<think>", "</think>"),))
Json = dict[str, Any]


def read(*deltas: Json, finish: str | None = "stop", **how: Any) -> list[Event]:
    reader = AnswerReader(TAGS, starts_in_reasoning=False, **how)
    events: list[Event] = []
    for delta in [*deltas, None]:
        choice = {"delta": delta or {}, "finish_reason": None if delta else finish}
        chunk = parse_chunk(json.dumps({"choices": [choice]}))
        assert isinstance(chunk, Chunk)
        for part in cut_chunk(chunk):
            events += reader.read(part)
    events += reader.end()
    json.dumps(str(events)).encode()  # no half of a pair leaves
    return events


def output(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, OutputDelta))


def reasoning(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def arguments(events: list[Event]) -> str:
    calls = [call for event in events if isinstance(event, OutputExtra) for call in event.delta["tool_calls"]]
    return "".join(call["function"].get("arguments", "") for call in calls)


def call(text: str) -> Json:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}


CALL = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}
FIELDS: dict[str, Any] = {
    "content": (lambda text: {"content": text}, output),
    "parts": (lambda text: {"content": [{"type": "text", "text": text}]}, output),
    "reasoning": (lambda text: {"reasoning_content": text}, reasoning),
    "thinking": (lambda text: {"thinking_blocks": [{"type": "thinking", "thinking": text}]}, reasoning),
    "arguments": (call, arguments),
}


def units(text: str) -> list[str]:
    """The UTF-16 code units of *text*, as JSON escapes may write them one by one."""
    data = text.encode("utf-16-le")
    return [data[place : place + 2].decode("utf-16-le", "surrogatepass") for place in range(0, len(data), 2)]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shows", [True, False])
@given(st.text("a😀é\U00010ffff\ue000", min_size=1), st.lists(st.integers(0, 12), max_size=5))
def test_a_pair_that_two_chunks_share_is_one_character(
    field: str, shows: bool, text: str, places: list[int]
) -> None:
    written, told = FIELDS[field]
    given, bounds = units(text), [0, *sorted(places), 1000]
    pieces = ["".join(given[start:end]) for start, end in pairwise(bounds)]
    first = [CALL] if field == "arguments" else []
    events = read(*first, *(written(piece) for piece in pieces if piece), shows_reasoning=shows)
    assert told(events) == text


HIGH, LOW = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    ("deltas", "thought", "said"),
    [
        # what is no half of a pair in the end
        ([{"content": HIGH}], "", "\ufffd"),
        ([{"content": LOW}, {"content": f"a{LOW}b{HIGH}c"}], "", "\ufffda\ufffdb\ufffdc"),
        ([{"content": HIGH}, {"content": HIGH + LOW}], "", "\ufffd😀"),
        ([{"content": HIGH}, {"content": HIGH}, {"content": LOW}], "", "\ufffd😀"),
        # a field of its own has halves of its own, and a half comes before what came after it
        ([{"reasoning": HIGH}, {"content": LOW}], "\ufffd", "\ufffd"),
        ([{"reasoning": HIGH}, {"content": "a"}, {"reasoning": LOW}], "\ufffd\ufffd", "a"),
        ([{"content": HIGH}, {"refusal": "no"}, {"content": LOW}], "", "\ufffd\ufffd"),
        # what says nothing parts nothing
        ([{"content": HIGH}, {"role": "assistant"}, {"content": ""}, {"content": LOW}], "", "😀"),
        ([{"content": HIGH}, {"annotations": [HIGH]}, {"content": LOW}], "", "😀"),
        ([{"content": "<think>" + HIGH}, {"content": LOW + "</think>" + HIGH}, {"content": LOW}], "😀", "😀"),
        # of a long text too
        ([{"content": "a" * 20_000 + HIGH}, {"content": LOW + "b" * 20_000}], "", f"{'a' * 20_000}😀{'b' * 20_000}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", [False, True])
def test_halves_of_pairs(deltas: list[Json], thought: str, said: str, whole: bool) -> None:
    events = read(*deltas, whole=whole)
    assert (reasoning(events), output(events)) == (thought, said)


def test_halves_in_other_fields_are_replaced_at_once() -> None:
    delta = {
        "content": "a" + HIGH,
        "refusal": HIGH,
        "x": [LOW],
        "tool_calls": [{"id": HIGH, "function": 5}, 5],
    }
    events = read(delta, {"tool_calls": {"id": "b", "function": {"name": HIGH, "arguments": {"x": HIGH}}}})
    spelled = str([event for event in events if not isinstance(event, Finish)])
    assert "\\ud83d" not in spelled
    assert spelled.count("\ufffd") == 6
    assert read({"content": "a"}, finish="\ud83d")[-1] == Finish(0, "\ufffd")


# The deprecated function_call


def function_call(**fields: object) -> Json:
    return {"function_call": fields}


def calls_of(events: list[Event]) -> list[Any]:
    """The calls as a client puts them together: id, name, arguments."""
    calls: dict[int, list[str]] = {}
    for event in events:
        for each in event.delta.get("tool_calls", []) if isinstance(event, OutputExtra) else []:
            made = calls.setdefault(each["index"], [each.get("id", ""), "", ""])
            made[1] += each["function"].get("name", "")
            made[2] += each["function"].get("arguments", "")
    return list(calls.values())


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        ([function_call(name="f", arguments="{"), function_call(arguments="}")], [["call_0_0", "f", "{}"]]),
        ([function_call(name="f", arguments="{"), function_call(name="f", arguments="}")], [["call_0_0", "f", "{}"]]),
        ([function_call(name="f", arguments={"x": 1})], [["call_0_0", "f", '{"x": 1}']]),
        ([function_call(name="f")], [["call_0_0", "f", ""]]),
        # beside tool calls it is one of them once more
        ([{**CALL, **function_call(name="f", arguments="{}")}], [["a", "f", ""]]),
        ([CALL, function_call(name="f", arguments="{}")], [["a", "f", ""]]),
        ([{"function_call": "auto"}, {"content": "4"}], []),
    ],
)  # fmt: skip
def test_a_function_call_is_a_tool_call_for_who_asked_for_these(deltas: list[Json], calls: list[Any]) -> None:
    events = read(*deltas, finish="function_call")
    assert calls_of(events) == calls
    assert not any("function_call" in event.delta for event in events if isinstance(event, OutputExtra))
    renamed = (
        any("function_call" in delta and "tool_calls" not in delta for delta in deltas) and deltas[0] != CALL
    )
    assert events[-1] == Finish(0, "tool_calls" if renamed else "function_call")


def test_a_function_call_stays_one_for_who_asked_for_it() -> None:
    first, second = function_call(name="f", arguments="{"), function_call(arguments="}")
    events = read(first, second, finish="function_call", keeps_function_calls=True)
    assert events == [OutputExtra(0, first), OutputExtra(0, second), Finish(0, "function_call")]


@pytest.mark.parametrize("keeps", [False, True])
def test_a_function_call_of_a_whole_answer(keeps: bool) -> None:
    delta = function_call(name="f", arguments="{}")
    extra, finish = read(delta, finish="function_call", whole=True, keeps_function_calls=keeps)
    assert isinstance(extra, OutputExtra)
    value = json.loads("".join(json_parts(extra.delta)))
    call = {"index": 0, "id": "call_0_0", "type": "function", "function": delta["function_call"]}
    assert value == (delta if keeps else {"tool_calls": [call]})
    assert finish == Finish(0, "function_call" if keeps else "tool_calls")
