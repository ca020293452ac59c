from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.errors import RequestError
from trio_gateway.core.upstream_api.request_body import upstream_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_gateway.core.client_api.request import ChatRequest

HELLO = [{"role": "user", "content": "Hi"}]


def parsed(**fields: object) -> ChatRequest:
    return parse_chat_request(json.dumps({"messages": HELLO, **fields}).encode())


def forwarded(fields: Mapping[str, object], **how: Any) -> dict[str, Any]:
    how = {"model": "up", "ask_usage": False, **how}
    body = json.loads(upstream_body(parsed(**fields), **how))
    assert isinstance(body, dict)
    return body


def test_forwarded_under_the_upstreams_name_as_a_stream_without_our_options() -> None:
    sent = forwarded({"model": "m", "stream": False, "gateway": {"reasoning": "raw"}, "n": 2, "x": [1, None]})
    assert sent == {"messages": HELLO, "model": "up", "stream": True, "n": 2, "x": [1, None]}


def test_values_pass_untouched() -> None:
    content = "\\u0000é漢😀\\u202e\\n\\ndata: [DONE]"
    body = f'{{"messages": [{{"role": "user", "content": "{content}"}}], "seed": 1{"0" * 90}, "t": 0.1}}'
    request = parse_chat_request(body.encode())
    sent = upstream_body(request, model="m", ask_usage=False)
    assert json.loads(sent) == {**json.loads(body), "model": "m", "stream": True}
    assert b"\n" not in sent


@pytest.mark.parametrize(
    ("given", "ask", "sent"),
    [
        (None, True, {"include_usage": True}),
        ({"x": 1}, True, {"x": 1, "include_usage": True}),
        ({"include_usage": False}, True, {"include_usage": True}),
        ({"include_usage": True}, False, {"include_usage": True}),
        ({"include_usage": False}, False, {"include_usage": False}),
        (None, False, None),
    ],
)
def test_usage(given: dict[str, object] | None, ask: bool, sent: dict[str, object] | None) -> None:
    assert forwarded({"stream_options": given}, ask_usage=ask)["stream_options"] == sent
    if given is None:
        assert forwarded({}, ask_usage=ask).get("stream_options") == sent


@pytest.mark.parametrize("options", [None, {"include_usage": True}])
def test_an_upstream_that_does_not_stream(options: dict[str, object] | None) -> None:
    sent = forwarded({"stream_options": options, "stream": True}, ask_usage=True, stream=False)
    assert sent == {"messages": HELLO, "model": "up", "stream": False}


@pytest.mark.parametrize("effort", ["none", "minimal"])
def test_the_effort_becomes_the_models_switch(effort: str) -> None:
    fields = {"reasoning_effort": effort, "chat_template_kwargs": {"thinking": True, "x": 1}}
    sent = forwarded(fields, thinking_switch="thinking")
    assert sent["chat_template_kwargs"] == {"thinking": False, "x": 1}
    assert "reasoning_effort" not in sent
    sent = forwarded({"reasoning_effort": effort}, thinking_switch="enable_thinking")
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert forwarded(fields)["reasoning_effort"] == effort


@pytest.mark.parametrize("fields", [{"reasoning_effort": "low"}, {"reasoning_effort": ["none"]}, {}])
def test_any_other_effort_passes(fields: dict[str, object]) -> None:
    sent = forwarded(fields, thinking_switch="thinking")
    assert sent.get("reasoning_effort") == fields.get("reasoning_effort")
    assert "chat_template_kwargs" not in sent


def test_a_model_that_thought_too_long_is_asked_not_to_think() -> None:
    fields = {"reasoning_effort": "high", "chat_template_kwargs": {"thinking": True}}
    sent = forwarded(fields, thinking_switch="thinking", thinks=False)
    assert sent["chat_template_kwargs"] == {"thinking": False}
    assert "reasoning_effort" not in sent
    assert forwarded(fields, thinks=False)["reasoning_effort"] == "high"


def test_the_history_is_cleaned_in_what_is_forwarded_only() -> None:
    history = [{"role": "assistant", "content": "[Prompt Summary] x\n\n<t>y</t> <think>z</think>4"}, *HELLO]
    request = parsed(messages=history)
    sent = [
        json.loads(
            upstream_body(request, model="m", ask_usage=False, keep_reasoning=keep, markers=[("<t>", "</t>")])
        )
        for keep in (False, True)
    ]
    assert [body["messages"][0]["content"] for body in sent] == ["4", "<t>y</t> <think>z</think>4"]
    assert request.messages == request.body["messages"] == history


VALUES = st.sampled_from(
    [
        *(None, True, False, 0, 1, 8, 5.5, "", "x", [], [1, None], {}, {"é": [1e3, "漢"]}),
        *({"include_usage": True}, {"include_usage": None, "x": 1}, {"reasoning": "raw"}, {"reasoning": 1}),
    ]
)
FIELDS = st.sampled_from(["model", "n", "stream", "gateway", "stream_options", "tools", "é"])


@given(st.dictionaries(FIELDS, VALUES))
def test_anything_is_refused_or_forwarded(fields: dict[str, object]) -> None:
    body = json.dumps({"messages": HELLO, **fields}).encode()
    try:
        request = parse_chat_request(body)
    except RequestError:
        return
    sent = json.loads(upstream_body(request, model="m", ask_usage=False))
    assert sent == {
        **{key: fields[key] for key in fields if key != "gateway"},
        "messages": HELLO,
        "model": "m",
        "stream": True,
    }
