from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conversation import assistant, user
from trio_gateway.core.client_api.messages import check_messages
from trio_gateway.core.errors import RequestError
from trio_gateway.core.upstream_api.history import clean_history, lacks_reasoning


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
        # What is the upstream's to judge.
        {"role": "king", "content": "x"},
        {"role": "", "content": "x"},
        {"role": "user"},
        user(None),
        user([]),
        user(["x", None, 5, [], {}, {"text": "x"}, {"type": 1}]),
        user([{"type": "text"}, {"type": "text", "text": True}]),
        user([{"type": "image_url", "image_url": "u"}, {"type": "file", "file": None}]),
        assistant(),
        assistant(content=None),
        assistant(content="", tool_calls=[]),
        assistant(content="x", tool_calls="f"),
        assistant(content="x", tool_calls=["f"]),
        assistant(audio={"id": "audio_1"}),
        {"role": "tool", "tool_call_id": "1", "content": None},
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
        ([{"content": "x"}], "messages[0].role", "expected a string, got nothing (the field is missing)"),
        ([{"role": None, "content": "x"}], "messages[0].role", "expected a string, got null"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role", "got a list"),
        (
            [user("x"), user("x"), user(5)],
            "messages[2].content",
            "expected a string or a list of parts, got number 5",
        ),
        ([user(True)], "messages[0].content", "got true"),
        ([user({"type": "text", "text": "x"})], "messages[0].content", "got an object"),
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
    for keep in (False, True):
        for message in clean_history(checked, keep_reasoning=keep, fill_reasoning=True):
            assert isinstance(message.get("content", ""), str | list | None)
    assert lacks_reasoning(checked) in {False, True}
