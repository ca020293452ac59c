from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.client_api.history_blocks import FARTHEST
from trio_gateway.core.client_api.messages import check_messages, clean_history
from trio_gateway.core.errors import RequestError

PROMPT = "[Prompt Summary] Processing: “Hi”...\n\n"
REASONING = "[Reasoning Summary] Adding\nthe numbers...\n\n"


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(**keys: object) -> dict[str, Any]:
    return {"role": "assistant", **keys}


@pytest.mark.parametrize(
    "message",
    [
        user("hello"),
        user(""),
        {"role": "system", "content": "x", "name": 5, "unknown": [1]},
        {"role": "developer", "content": "x"},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "function", "content": "x"},
        user(
            [{"type": "text", "text": ""}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]
        ),
        user(
            [
                {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
                {"type": "file", "file": {}},
            ]
        ),
        assistant(content=[{"type": "refusal", "refusal": "no"}]),
        user([{"type": "video_url", "video_url": 5}, {"type": "made_up"}]),
        assistant(content=None, tool_calls=[{"id": "1"}]),
        assistant(tool_calls=[{}]),
        assistant(content=None, function_call={"name": "f"}),
        assistant(content=None, refusal="no"),
        assistant(content="x", tool_calls=None),
    ],
)
def test_taken_as_it_is(message: dict[str, Any]) -> None:
    messages = [message]
    before = json.dumps(messages)
    assert check_messages(messages, max_messages=1) is messages
    assert json.dumps(messages) == before


@pytest.mark.parametrize(
    ("messages", "param", "said"),
    [
        (None, "messages", "expected a list of at least one message, got null"),
        ([], "messages", "got an empty list"),
        ("x", "messages", 'got string "x"'),
        ({"role": "user"}, "messages", "got an object"),
        ([user("x"), 5], "messages[1]", "expected an object, got number 5"),
        ([user("x")] * 4, "messages", "expected at most 3 messages, got number 4"),
        ([{"content": "x"}], "messages[0].role", "expected one of system, developer, user,"),
        ([{"role": "boss", "content": "x"}], "messages[0].role", 'got string "boss"'),
        ([{"role": ["user"], "content": "x"}], "messages[0].role", "got a list"),
        ([{"role": "user"}], "messages[0].content", "expected a string or a list of parts, got nothing"),
        (
            [user("x"), user("x"), user(5)],
            "messages[2].content",
            "expected a string or a list of parts, got number 5",
        ),
        ([user(None)], "messages[0].content", "got null"),
        ([user([])], "messages[0].content", "got an empty list"),
        ([user({"type": "text", "text": "x"})], "messages[0].content", "got an object"),
        ([assistant(content=None)], "messages[0].content", "got null"),
        ([assistant(content=None, tool_calls=[])], "messages[0].content", "got null"),
        ([assistant(content=None, tool_calls=None, refusal="")], "messages[0].content", "got null"),
        ([{"role": "user", "tool_calls": [{}]}], "messages[0].content", "got nothing"),
        (
            [assistant(content="x", tool_calls="f")],
            "messages[0].tool_calls",
            'expected a list of objects, got string "f"',
        ),
        (
            [assistant(content="x", tool_calls=["f"])],
            "messages[0].tool_calls",
            "expected a list of objects, got a list",
        ),
        ([user(["x"])], "messages[0].content[0]", 'expected an object, got string "x"'),
        ([user([{"text": "x"}])], "messages[0].content[0].type", "expected a string, got nothing"),
        ([user([{"type": 1}])], "messages[0].content[0].type", "expected a string, got number 1"),
        ([user([{"type": "text"}])], "messages[0].content[0].text", "expected a string, got nothing"),
        (
            [user([{"type": "text", "text": True}])],
            "messages[0].content[0].text",
            "expected a string, got true",
        ),
        ([user([{"type": "refusal", "refusal": []}])], "messages[0].content[0].refusal", "expected a string"),
        (
            [user([{"type": "image_url", "image_url": "u"}])],
            "messages[0].content[0].image_url",
            "expected an object",
        ),
        (
            [user([{"type": "image_url", "image_url": {"url": 1}}])],
            "messages[0].content[0].image_url.url",
            "got number 1",
        ),
        (
            [user([{"type": "text", "text": "x"}, {"type": "input_audio", "input_audio": {"data": ""}}])],
            "messages[0].content[1].input_audio.format",
            "expected a string, got nothing",
        ),
        (
            [user([{"type": "file", "file": None}])],
            "messages[0].content[0].file",
            "expected an object, got null",
        ),
    ],
)
def test_refused(messages: object, param: str, said: str) -> None:
    with pytest.raises(RequestError, match=r"expected .*, got ") as caught:
        check_messages(messages, max_messages=3)
    error = caught.value.error
    assert (error.status, error.type, error.param) == (400, "invalid_request_error", param)
    assert error.message.startswith(f"{param}: ")
    assert said in error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image_url", "url", "tool_calls"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
SHAPES = JSON | st.lists(
    st.builds(
        lambda role, rest: {**rest, "role": role},
        st.sampled_from(["user", "assistant"]),
        st.dictionaries(st.just("content"), JSON),
    )
)


@given(SHAPES)
def test_anything_is_either_refused_or_can_be_cleaned(messages: object) -> None:
    try:
        checked = check_messages(messages, max_messages=8)
    except RequestError:
        return
    for message in clean_history(checked, keep_reasoning=False):
        assert isinstance(message.get("content", ""), str | list | None)


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [
        ("4", "4"),
        (PROMPT + REASONING + "4", "4"),
        (PROMPT + "4\n\nfour", "4\n\nfour"),
        (REASONING + "4", "4"),
        (PROMPT + REASONING + "\n 4", "\n 4"),
        ((PROMPT + REASONING + "4").replace("\n", "\r\n"), "4"),
        (PROMPT + PROMPT + "4", PROMPT + "4"),
        (REASONING + PROMPT + "4", PROMPT + "4"),
        (PROMPT.strip(), ""),
        (PROMPT + REASONING.strip(), ""),
        ("It says [Prompt Summary] x\n\ny", "It says [Prompt Summary] x\n\ny"),
        (" " + PROMPT + "4", " " + PROMPT + "4"),
        ("<think>a\n\nb</think>\n\n4", "4"),
        (" \n\ufeff<THINK type='x'>a</Think> 4", "4"),
        ("<thinking>a</thinking>4", "4"),
        ("<reasoning>a<think></reasoning>4", "4"),
        ("<think>a</think>\n<think>b</think>\n4 <think>c</think>", "4 <think>c</think>"),
        ("<think>a</think>4</think>", "4</think>"),
        ("<think></think>", ""),
        (PROMPT + REASONING + "<think>a</think>\n\n4", "4"),
        ("<think>a 4", "<think>a 4"),
        ("<think>a</thinking>4", "<think>a</thinking>4"),
        ("4 <think>a</think>", "4 <think>a</think>"),
        ("`<think>a</think>` is a tag", "`<think>a</think>` is a tag"),
        ("```\n<think>a</think>\n```", "```\n<think>a</think>\n```"),
        ("<thinker>a</thinker>4", "<thinker>a</thinker>4"),
        ("<think\n>a</think>4", "<think\n>a</think>4"),
        ("\n  4", "\n  4"),
    ],
)
def test_clean_history(content: str, cleaned: str) -> None:
    message = assistant(content=content, name="n")
    assert clean_history([message], keep_reasoning=False) == [assistant(content=cleaned, name="n")]
    assert message["content"] == content, "the request itself stays as it was"


def test_only_the_assistants_messages_are_cleaned() -> None:
    messages = [
        {"role": role, "content": PROMPT + "<think>a</think>4"} for role in ("user", "system", "tool")
    ]
    assert clean_history(messages, keep_reasoning=False) == messages


def test_keep_reasoning() -> None:
    messages = [assistant(content=PROMPT + "<think>a</think>\n4")]
    assert clean_history(messages, keep_reasoning=True) == [assistant(content="<think>a</think>\n4")]


@pytest.mark.parametrize(
    ("markers", "content"),
    [
        ([("[THINK]", "[/THINK]")], "[THINK]a[/THINK]4"),
        ([("◁think▷", "◁/think▷")], "\n◁think▷a◁/think▷\n4"),
        ([("Here's my thought:", "Here's my response:")], "Here's my thought: a Here's my response: 4"),
        ([("<seed:think>", "</seed:think>"), ("", "</x>"), ("<y>", "")], "<seed:think>a</seed:think>4"),
        ([("<think>", "</think>"), ("<think>!", "!</think>")], "<think>!a</think>!</think>4"),
    ],
)
def test_the_models_own_markers(markers: list[tuple[str, str]], content: str) -> None:
    assert clean_history([assistant(content=content)], keep_reasoning=False, markers=markers) == [
        assistant(content="4")
    ]


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_reasoning_fields_go_when_they_are_ours(key: str) -> None:
    for ours in (PROMPT, REASONING, PROMPT + REASONING):
        assert clean_history([assistant(content="4", **{key: ours})], keep_reasoning=True) == [
            assistant(content="4")
        ]
    for other in ("Adding.", " " + PROMPT, None, [PROMPT], ""):
        message = assistant(content="4", **{key: other})
        assert clean_history([message], keep_reasoning=False) == [message]


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value, "x": 1}


@pytest.mark.parametrize(
    ("parts", "cleaned"),
    [
        ([text(PROMPT + "4"), text(PROMPT)], [text("4"), text(PROMPT)]),
        ([text(PROMPT), text(REASONING), text("<think>a</think>4")], [text("4")]),
        ([text(PROMPT), {"type": "refusal", "refusal": "no"}], [{"type": "refusal", "refusal": "no"}]),
        ([text(PROMPT)], ""),
        ([text(""), text(PROMPT)], [text(""), text(PROMPT)]),
        ([{"type": "thinking"}, text(PROMPT)], [{"type": "thinking"}, text(PROMPT)]),
    ],
)
def test_content_in_parts(parts: list[dict[str, Any]], cleaned: object) -> None:
    before = json.dumps(parts)
    assert clean_history([assistant(content=parts)], keep_reasoning=False) == [assistant(content=cleaned)]
    assert json.dumps(parts) == before


def test_no_content_stays_none() -> None:
    messages = [assistant(content=None, tool_calls=[{}]), assistant(tool_calls=[{}])]
    assert clean_history(messages, keep_reasoning=False) == messages


@given(st.text(st.sampled_from("<think>/ \n`x4"), max_size=30))
def test_what_is_cleaned_is_a_tail(content: str) -> None:
    [message] = clean_history([assistant(content=content)], keep_reasoning=False)
    assert content.endswith(message["content"])
    assert clean_history([message], keep_reasoning=False) == [message]


ALIKE = [("<t>", "</t>"), ("<t>!", "!</t>"), ("A", "B"), ("AB", "CD")]
"""Pairs of which two can stand at one place."""


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [
        ("<t>!a!</t>4", "4"),
        ("<t>!a</t>4", "4"),  # the longer start has no end, the shorter one has
        ("<t>!a</t><t>!b</t>\n4", "4"),
        ("ABxCD AxB 4", "4"),
        ("ABx 4", "x 4"),
        ("<t>!a", "<t>!a"),
        ("<t>a</t>" * 32 + "4", "4"),
        ("<t>a</t>" * 33 + "4", "<t>a</t>4"),
        ("<t>! a </t>" + "<t>" + "x" * 3000 + "</t> 4", "4"),
    ],
)
def test_markers_of_which_two_can_stand_at_one_place(content: str, cleaned: str) -> None:
    assert clean_history([assistant(content=content)], keep_reasoning=False, markers=ALIKE) == [
        assistant(content=cleaned)
    ]


@pytest.mark.parametrize("markers", [[], ALIKE])
def test_a_block_of_more_than_a_mebicharacter_stays(markers: list[tuple[str, str]]) -> None:
    for size, cleaned in [(FARTHEST, "4"), (FARTHEST + 9, "")]:
        content = "<think>" + "a" * (size - len("</think>")) + "</think>4"
        [message] = clean_history([assistant(content=content)], keep_reasoning=False, markers=markers)
        assert message["content"] == (cleaned or content)
