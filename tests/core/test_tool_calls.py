"""Tool calls leave valid, and each with its own arguments, whatever the upstream leaves out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.upstream_api.tool_calls import MOST_CALLS, ToolCalls

Json = dict[str, Any]


def fragment(arguments: object = None, name: str | None = None, **more: object) -> Json:
    function = {"name": name, "arguments": arguments}
    return {**more, "function": {key: value for key, value in function.items() if value is not None}}


def emitted(*deltas: object) -> list[Json]:
    """All fragments that leave, after a check of what holds for each call."""
    calls = ToolCalls("call_")
    fragments = [
        each for delta in deltas for each in calls.valid({"tool_calls": delta}).get("tool_calls", [])
    ]
    fragments += calls.rest().get("tool_calls", [])
    begun: dict[int, Json] = {}
    for each in fragments:
        assert type(each["index"]) is int
        assert each["index"] <= len(begun), "0, 1, 2, … as they begin"
        kind = begun.setdefault(each["index"], each)["type"]
        assert ("id" in each) == ("type" in each) == (begun[each["index"]] is each), "once, and first"
        assert type(each.get(kind, {}).get("arguments", "")) is str
    ids = [each["id"] for each in begun.values()]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    return fragments


def joined(*deltas: object) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, as a client puts them together."""
    calls: dict[int, list[str]] = {}
    for each in emitted(*deltas):
        call = calls.setdefault(each["index"], ["", "", ""])
        function = each.get("function", {})
        for place, text in enumerate((each.get("id"), function.get("name"), function.get("arguments"))):
            call[place] += text or ""
    return [(call[0], call[1], call[2]) for _, call in sorted(calls.items())]


CASES: list[tuple[str, list[object], list[tuple[str, str, str]]]] = [
    (
        "as OpenAI sends it",
        [
            [fragment("", "f", index=0, id="a", type="function")],
            [fragment('{"x":', index=0)],
            [fragment("", "g", index=1, id="b", type="function")],
            [fragment("1}", index=0), fragment("{}", index=1)],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    (
        "no index, whole calls in one delta",
        [[fragment('{"c": 1}', "f", id="a"), fragment('{"c": 2}', "f", id="b")]],
        [("a", "f", '{"c": 1}'), ("b", "f", '{"c": 2}')],
    ),
    (
        "no index and no id: a name begins a call",
        [[fragment("{}", "f")], [fragment("{", "f")], [fragment("}")]],
        [("call_0", "f", "{}"), ("call_1", "f", "{}")],
    ),
    (
        "no index, fragments that have neither id nor name",
        [[fragment("", "f", id="a")], [fragment("{")], [fragment("}", id="")], [fragment("", "g", id="b")], [fragment("{}")]],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "no index, the id with every fragment",
        [[fragment("{", "f", id="a")], [fragment("{", "g", id="b")], [fragment("}", id="a"), fragment("}", id="b")]],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "no index, id and name with every fragment",
        [[fragment("{", "f", id="a")], [fragment("}", "f", id="a")]],
        [("a", "f", "{}")],
    ),
    (
        "no index, one id for whole calls",
        [[fragment("{} ", "f", id="a")], [fragment(" {}", "f", id="a")]],
        [("a", "f", "{} "), ("call_1", "f", " {}")],
    ),
    (
        "no index, the id before the name",
        [[{"id": "a"}], [fragment(None, "f")], [fragment("{}")]],
        [("a", "f", "{}")],
    ),
    (
        "no index, the name before the id",
        [[fragment(None, "f")], [{"id": "a"}], [fragment("{}")], [fragment("{}", "g", id="b")]],
        [("call_0", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "two ids under one index",
        [[fragment("{", "f", index=0, id="a")], [fragment("}", index=0)], [fragment("{", "f", index=0, id="b")], [fragment("}", index=0)]],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    (
        "two ids under one index, in turns",
        [[fragment("{", "f", index=0, id="a"), fragment("{", "g", index=0, id="b")], [fragment("}", index=0, id="a"), fragment("}", index=0, id="b")]],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "three ids, two under the first index, then the second index",
        [[fragment("1", "f", index=0, id="a"), fragment("2", "g", index=0, id="b")], [fragment("3", "h", index=1, id="c")], [fragment("4", index=1)]],
        [("a", "f", "1"), ("b", "g", "2"), ("c", "h", "34")],
    ),
    (
        "one index for all, names alone",
        [[fragment("{}", "f", index=0)], [fragment("[]", "g", index=0)]],
        [("call_0", "f", "{}"), ("call_1", "g", "[]")],
    ),
    (
        "one index and one name for whole calls",
        [[fragment('{"c": 1}', "f", index=0)], [fragment('{"c": 2}', "f", index=0)]],
        [("call_0", "f", '{"c": 1}'), ("call_1", "f", '{"c": 2}')],
    ),
    (
        "the name with every fragment",
        [[fragment("{", "f", index=0, id="a")], [fragment("}", "f", index=0)]],
        [("a", "f", "{}")],
    ),
    (
        "a name in pieces",
        [[fragment("", "get_", index=0, id="a")], [fragment("", "time", index=0)], [fragment("{}", index=0)]],
        [("a", "get_time", "{}")],
    ),
    (
        "an id that comes late",
        [[fragment("", "f", index=0)], [fragment("{", index=0, id="a")], [fragment("}", index=0, id="a")], [fragment("{}", "g", index=0, id="b")]],
        [("call_0", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "one id under two indexes",
        [[fragment("{}", "f", index=0, id="a"), fragment("[]", "f", index=1, id="a")]],
        [("a", "f", "{}"), ("call_1", "f", "[]")],
    ),
    (
        "an index that counts fragments",
        [[fragment("", "f", index=0, id="a")], [fragment("{", index=1)], [fragment("}", index=2)]],
        [("a", "f", "{}")],
    ),
    (
        "an index that is no integer",
        [[fragment("{", "f", index="0", id="a"), fragment("}", index=0.0), fragment("{}", "g", index="x", id="b"), fragment(" ", index=-1), fragment("1", "h", index=True)]],
        [("a", "f", "{}"), ("b", "g", "{}"), ("call_2", "h", "1")],
    ),
    (
        "an id that is a number",
        [[fragment("{}", "f", id=7)]],
        [("7", "f", "{}")],
    ),
    (
        "indexes that begin at one",
        [[fragment("{}", "f", index=1, id="a")], [fragment("{}", "g", index=0, id="b")], [fragment("{}", "h", id="c")]],
        [("a", "f", "{}"), ("b", "g", "{}"), ("c", "h", "{}")],
    ),
    (
        "indexes with gaps",
        [[fragment("{", "f", index=1, id="a")], [fragment("{", "g", index=4, id="b")], [fragment("}", index=1), fragment("}", index=4)]],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    (
        "arguments as an object",
        [[fragment({"command": "ls", "é": [1, None]}, "f", index=0, id="a"), fragment([], "g", index=1, id="b"), fragment(None, "h", index=2, id="c")]],
        [("a", "f", '{"command": "ls", "é": [1, null]}'), ("b", "g", "[]"), ("c", "h", "")],
    ),
    (
        "an empty object, then the arguments",
        [[fragment({}, "f", index=0, id="a")], [fragment('{"x":', index=0)], [fragment(" 1}", index=0)]],
        [("a", "f", '{"x": 1}')],
    ),
    (
        "an empty object, then the arguments, all under id and name",
        [[fragment("{}", "f", index=0, id="a")], [fragment("", "f", index=0, id="a"), fragment("{}", "f", index=0, id="a"), fragment('{"x": 1}', "f", index=0, id="a")]],
        [("a", "f", '{"x": 1}')],
    ),
    (
        "empty objects of several calls, the last one with arguments",
        [[fragment({}, "f", id="a"), fragment({}, "g", id="b")], [fragment(" ")], [fragment('{"x"')], [fragment(": 1}")]],
        [("a", "f", "{}"), ("b", "g", '{"x": 1}')],
    ),
    (
        "an empty object after arguments",
        [[fragment('{"x": ', "f", index=0, id="a")], [fragment("{}", index=0)], [fragment("}", index=0)]],
        [("a", "f", '{"x": {}}')],
    ),
    (
        "half of an emoji, joined with the other one",
        [[fragment('{"x": "\ud83d', "f", index=0, id="a"), fragment("", "g", index=1, id="b")], [fragment('\ude00"}', index=0)]],
        [("a", "f", '{"x": "😀"}'), ("b", "g", "")],
    ),
    (
        "halves that are none",
        [[fragment('{"x": "\ud83d', "f", index=0, id="a")], [fragment('\ud83d', index=0)], [fragment('a', index=0)], [fragment('\ude00"}', index=0)]],
        [("a", "f", '{"x": "\ufffd\ufffda\ufffd"}')],
    ),
    ("no list", [fragment("{}", "f")], [("call_0", "f", "{}")]),
    ("arguments before anything else", [[fragment("{}")], [fragment(None, "f")]], [("call_0", "f", "{}")]),
    ("nothing", [[], None, "x", 5, [None, "x", {}, [], {"function": None}, fragment()]], []),
    (
        "a function that is none",
        [[{"index": 0, "id": "a", "function": "f"}], [fragment("{}", "f", index=0)]],
        [("a", "f", "{}")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("deltas", "calls"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_upstreams_send(deltas: list[object], calls: list[tuple[str, str, str]]) -> None:
    assert joined(*deltas) == calls


def test_a_valid_call_passes_as_it_came() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    deltas = [[first], [{"index": 0, "function": {"arguments": "{}"}}]]
    assert emitted(*deltas) == [each for delta in deltas for each in delta]


def test_what_else_a_call_bears_passes() -> None:
    signature = {"google": {"thought_signature": "EqQ="}}
    first, second, third = emitted(
        [fragment("{", "f", id="a", extra_content=signature, note=None)],
        [{"extra_content": signature}],
        [{"function": {"arguments": "", "strict": True}}, {"index": 0, "type": "function", "function": {}}],
    )
    assert first["extra_content"] == second["extra_content"] == signature
    assert "note" not in first
    assert second == {"index": 0, "extra_content": signature}
    assert third == {"index": 0, "function": {"strict": True}}


def test_an_empty_object_waits_for_the_next_call_or_the_end() -> None:
    calls = ToolCalls("call_")
    begun = [calls.begun]
    [first] = calls.valid({"tool_calls": [fragment({}, "f", id="a")]})["tool_calls"]
    assert first == {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert [*begun, calls.begun] == [False, True]
    assert calls.valid({"tool_calls": [fragment("", index=0)]}) == {}
    late, second = calls.valid({"tool_calls": [fragment("{ }", "g", id="b"), fragment("{}", "h", id="c")]})[
        "tool_calls"
    ][:2]
    assert late == {"index": 0, "function": {"arguments": "{}"}}
    assert second["function"] == {"name": "g", "arguments": "{ }"}
    assert calls.rest() == {"tool_calls": [{"index": 2, "function": {"arguments": "{}"}}]}
    assert calls.rest() == {}


def test_custom_tools() -> None:
    fragments = emitted(
        [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}}],
        [{"custom": {"input": "s"}}],
        [{"id": "b", "type": "custom"}],
    )
    assert fragments == [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}},
        {"index": 0, "custom": {"input": "s"}},
        {"index": 1, "id": "b", "type": "custom", "custom": {"input": ""}},
    ]


def test_other_fields_of_the_delta_stay() -> None:
    calls = ToolCalls("call_")
    assert calls.valid({"tool_calls": [{}], "refusal": "no"}) == {"refusal": "no"}
    extra = calls.valid({"tool_calls": [fragment("{}", "f", id="a")], "refusal": "no"})
    assert (list(extra), extra["refusal"]) == (["tool_calls", "refusal"], "no")


def test_calls_without_end_are_not_all_remembered() -> None:
    calls = ToolCalls("call_")
    count = 3 * MOST_CALLS
    indexes = []
    for number in range(count):
        index = number % (2 * MOST_CALLS)
        (call,) = calls.valid({"tool_calls": [fragment("[]", "f", index=index, id=f"id{number}")]})[
            "tool_calls"
        ]
        indexes.append(call["index"])
    assert indexes == list(range(count))
    assert len(calls._by_id) == len(calls._by_index) == MOST_CALLS


LEFT_OUT = st.sampled_from(["nothing", "index", "id", "index of the rest", "type"])


@given(
    st.lists(st.tuples(st.sampled_from("fg"), st.dictionaries(st.text(max_size=3), st.text(max_size=5))), min_size=1, max_size=4),
    LEFT_OUT,
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
)  # fmt: skip
def test_calls_arrive_however_they_are_cut(
    calls: list[tuple[str, Json]], left_out: str, sizes: list[int]
) -> None:
    fragments, expected = [], []
    for number, (name, value) in enumerate(calls):
        text, start, cuts = json.dumps(value), 0, [*sizes, 10_000]
        call_id = f"call_{number}"
        expected.append((call_id, name, text))
        for size in cuts:
            whole = {"index": number, "id": call_id, "type": "function"} if not start else {"index": number}
            if left_out in whole and (left_out != "id" or not start):
                del whole[left_out]
            elif left_out == "index of the rest" and start:
                del whole["index"]
            fragments.append(fragment(text[start : start + size], None if start else name, **whole))
            start += size
    assert joined(*([each] for each in fragments)) == expected
    assert joined(fragments) == expected


def test_null_as_text_is_no_name_of_a_call_that_has_one() -> None:
    later = {"index": 0, "id": "", **fragment('"}', "null")}
    assert joined([{"index": 0, "id": "a", **fragment('{"x": "', "f")}], [later]) == [("a", "f", '{"x": ""}')]
    assert joined([{"index": 0, "id": "a", **fragment("{}", "null")}]) == [("a", "null", "{}")]
    two = [
        [{"index": 0, "id": "a", **fragment("{}", "f")}],
        [{"index": 1, "id": "b", **fragment("{}", "null")}],
    ]
    assert joined(*two) == [("a", "f", "{}"), ("b", "null", "{}")]


@pytest.mark.parametrize(
    ("given", "wanted"), [("FUNCTION", "function"), ("", "function"), ("builtin", "builtin")]
)
def test_a_type_is_written_small(given: str, wanted: str) -> None:
    (begun,) = ToolCalls("call_").valid(
        {"tool_calls": [{"index": 0, "id": "a", "type": given, **fragment("{}", "f")}]}
    )["tool_calls"]
    assert begun["type"] == wanted
