from __future__ import annotations

import json
from hashlib import blake2b

import pytest
from msgspec.structs import replace

from trio_gateway.core.budgets.body_ledger import BodyBudget
from trio_gateway.core.client_api.chat_request import REFUSED_FIELDS, parse_chat_request
from trio_gateway.core.client_api.request import ChatRequest, GatewayOptions
from trio_gateway.core.errors import ApiError, RequestError

HELLO = [{"role": "user", "content": "Hi"}]


def parsed(**fields: object) -> ChatRequest:
    return parse_chat_request(json.dumps({"messages": HELLO, **fields}).encode())


def refused(body: bytes) -> ApiError:
    with pytest.raises(RequestError) as caught:
        parse_chat_request(body)
    error = caught.value.error
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert "expected " in error.message
    assert ", got " in error.message
    return error


def test_the_least_request() -> None:
    body = json.dumps({"messages": HELLO}).encode()
    digest = blake2b(body, digest_size=16).digest()
    expected = ChatRequest(
        model="default", messages=HELLO, body={"messages": HELLO}, plain=True, digest=digest
    )
    assert parse_chat_request(body) == parse_chat_request(body.decode()) == expected
    assert parsed(model=None, stream=None, n=None, stream_options=None, gateway=None).stream is None


def test_everything() -> None:
    body = {
        "model": "org/model:7b",
        "messages": HELLO,
        "stream": False,
        "stream_options": {"include_usage": True, "x": 1},
        "n": 8,
        "enable_thinking": True,
        "temperature": 0.5,
    }
    gateway = {"format": "openai", "prompt_summary": False, "reasoning": "both", "detail": "concise"}
    text = json.dumps({**body, "gateway": gateway})
    assert parse_chat_request(text) == ChatRequest(
        model="org/model:7b",
        messages=HELLO,
        body=body,
        stream=False,
        include_usage=True,
        n=8,
        thinking=True,
        options=GatewayOptions(format="openai", prompt_summary=False, reasoning="both", detail="concise"),
        digest=blake2b(text.encode(), digest_size=16).digest(),
    )


PLAIN = {
    "model": "m",
    "messages": HELLO,
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 1,
    "top_p": 1,
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "seed": 1,
    "user": "u",
    "metadata": {"a": "b"},
    "gateway": {"reasoning": "raw"},
}


@pytest.mark.parametrize(
    ("fields", "plain", "continued"),
    [
        ({}, True, False),
        (PLAIN, True, False),
        ({"stop": ["</think>"]}, False, False),
        ({"stop": None}, False, False),
        ({"logit_bias": {}}, False, False),
        ({"stop_token_ids": [1]}, False, False),
        ({"tools": []}, False, False),
        ({"n": 1}, False, False),
        ({"chat_template_kwargs": {}}, False, False),
        ({"reasoning_effort": "high"}, False, False),
        ({"not_foreseen": 0}, False, False),
        ({"messages": [*HELLO, {"role": "assistant", "content": "<think>"}]}, False, True),
        ({"messages": [*HELLO, {"role": "assistant", "content": "Hi"}, *HELLO]}, True, False),
    ],
)
def test_a_plain_request_has_no_field_that_steers_the_model(
    fields: dict[str, object], plain: bool, continued: bool
) -> None:
    request = parsed(**fields)
    assert (request.plain, request.continued) == (plain, continued)


def test_other_bodies_have_other_digests() -> None:
    bodies = [parsed(), parsed(seed=1), parsed(seed=2), parsed(messages=[{"role": "user", "content": "Ho"}])]
    assert len({request.digest for request in bodies}) == len(bodies)
    assert parse_chat_request('{"messages": [{"role": "user", "content": "\\u00e9"}]}').digest


def test_options_that_are_null_are_not_given() -> None:
    given = dict.fromkeys(("format", "prompt_summary", "reasoning", "detail"))
    assert parsed(gateway=given).options == GatewayOptions() == parsed(gateway={}).options


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (b"", None, "expected strict JSON, got invalid JSON"),
        (b"{", None, "invalid JSON"),
        (b"\xef\xbb\xbf{}", None, "a byte-order mark"),
        (b"{} {}", None, "more after its end"),
        (b'{"a": "\xff"}', None, "invalid UTF-8"),
        (b"[" * 100_000, None, "more than 64 levels of nesting"),
        (b'{"messages": [{}, {"content": NaN}]}', "messages[1].content", "got NaN"),
        (b'{"temperature": 1e999}', "temperature", "a number that is too large"),
        (b'{"model": "a", "model": "b"}', "model", "got a duplicate key"),
    ],
)
def test_not_strict_json(body: bytes, param: str | None, said: str) -> None:
    error = refused(body)
    assert (error.code, error.param) == ("invalid_json", param)
    assert said in error.message


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"null", b"true"])
def test_not_an_object(body: bytes) -> None:
    error = refused(body)
    assert (error.code, error.param) == (None, None)
    assert error.message.startswith("expected a JSON object, got ")


@pytest.mark.parametrize(
    ("field", "value", "param", "said"),
    [
        ("messages", [], "messages", "got an empty list"),
        ("messages", HELLO * 2049, "messages", "at most 2048 messages"),
        ("messages", [{"role": "user", "content": 5}], "messages[0].content", "got number 5"),
        ("model", "", "model", 'got string ""'),
        ("model", 5, "model", "got number 5"),
        ("model", "m" * 257, "model", "at most 256 characters"),
        ("model", "m" * 10_240, "model", "at most 256 characters"),
        ("model", "a\r\nX: y", "model", "without control characters"),
        ("model", "a\u202eb", "model", "without control characters"),
        ("model", " ", "model", "needless spaces"),
        ("stream", "true", "stream", 'expected true or false, got string "true"'),
        ("stream", 1, "stream", "got number 1"),
        ("stream_options", [], "stream_options", "expected an object, got an empty list"),
        ("stream_options", {"include_usage": 1}, "stream_options.include_usage", "got number 1"),
        ("chat_template_kwargs", "x", "chat_template_kwargs", "expected an object"),
        ("n", 0, "n", "expected an integer from 1 to 8, got number 0"),
        ("n", 9, "n", "got number 9"),
        ("n", 10**9, "n", "got number 1000000000"),
        ("n", 1.5, "n", "got number 1.5"),
        ("n", True, "n", "got true"),
        ("n", "2", "n", 'got string "2"'),
        ("gateway", "raw", "gateway", "expected an object"),
        ("gateway", {"format": "xml"}, "gateway.format", "expected one of phases, openai"),
        ("gateway", {"prompt_summary": 1}, "gateway.prompt_summary", "expected true or false"),
        (
            "gateway",
            {"reasoning": True},
            "gateway.reasoning",
            "expected one of summary, raw, both, off, got true",
        ),
        ("gateway", {"detail": ["auto"]}, "gateway.detail", "expected one of concise, auto, detailed"),
        ("gateway", {"speed": 1}, "gateway.speed", "no such key (known are prompt_summary, format,"),
        ("gateway", {"a\n" + "b" * 99: 1}, "gateway.a " + "b" * 62, "no such key"),
        ("aws_sts_endpoint", "x", "aws_sts_endpoint", "no such field"),
    ],
)
def test_refused_fields_and_values(field: str, value: object, param: str, said: str) -> None:
    error = refused(json.dumps({"messages": HELLO, field: value}).encode())
    assert (error.code, error.param) == (None, param)
    assert error.message.startswith(f"{param}: ")
    assert said in error.message
    assert len(error.message) < 250


@pytest.mark.parametrize("name", REFUSED_FIELDS)
@pytest.mark.parametrize("value", ["http://example.invalid", None])
def test_no_field_redirects(name: str, value: object) -> None:
    assert refused(json.dumps({"messages": HELLO, name: value}).encode()).param == name


@pytest.mark.parametrize("name", [*REFUSED_FIELDS, "aws_region"])
@pytest.mark.parametrize("depth", [1, 2, 20])
def test_no_field_redirects_from_within_extra_body(name: str, depth: int) -> None:
    body: dict[str, object] = {name: None, "google": {}}
    for _ in range(depth):
        body = {"x": 1, "extra_body": body}
    path = "extra_body." * depth + name
    assert refused(json.dumps({"messages": HELLO, **body}).encode()).param == path


@pytest.mark.parametrize(
    "extra_body",
    [
        {"google": {"thinking_config": {"include_thoughts": True}}},
        {"google": {"api_key": "x"}, "metadata": {"headers": {}}},  # nothing spreads these
        {"extra_body": [{"api_key": "x"}]},
        {},
        None,
        [{"api_key": "x"}],
        "api_key",
    ],
)
def test_what_else_is_in_extra_body_passes(extra_body: object) -> None:
    assert parsed(extra_body=extra_body).body["extra_body"] == extra_body


def test_the_known_redirecting_fields_are_refused() -> None:
    assert {"api_base", "base_url", "api_key", "extra_headers", "user_config"} <= set(REFUSED_FIELDS)


def test_messages_are_required() -> None:
    assert (
        refused(b"{}").message
        == "messages: expected a list of at least one message, got nothing (the field is missing)"
    )


def test_limits_can_be_set() -> None:
    body = json.dumps({"messages": HELLO * 3}).encode()
    with pytest.raises(RequestError, match="at most 2"):
        parse_chat_request(body, max_messages=2)
    with pytest.raises(RequestError, match="more than 2 levels"):
        parse_chat_request(body, max_depth=2)


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({}, None),
        ({"enable_thinking": True}, True),
        ({"enable_thinking": False}, False),
        ({"thinking": False}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"chat_template_kwargs": {"thinking": True}}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}, "enable_thinking": True}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "none", "thinking": True}, False),
        ({"reasoning_effort": "minimal"}, None),
        ({"reasoning_effort": ["none"]}, None),
        ({"enable_thinking": 0, "thinking": "no", "chat_template_kwargs": {"thinking": None}}, None),
    ],
)
def test_thinking(fields: dict[str, object], thinking: bool | None) -> None:
    assert parsed(**fields).thinking is thinking


def test_an_integer_may_be_written_with_a_point() -> None:
    request = parsed(n=2.0)
    assert (request.n, json.dumps(request.body["n"])) == (2, "2")


def test_a_request_that_is_released_keeps_nothing_of_its_body() -> None:
    hold = BodyBudget(1000).hold(None)
    hold.add(100)
    for request in (parsed(x=1), replace(parsed(x=1), hold=hold)):
        request.release()
        request.release()
        assert (request.messages, request.body, request.model) == ([], {}, "default")
    assert hold.held == 0


def test_a_text_of_megabytes_in_an_error_is_looked_at_no_further_than_needed() -> None:
    words = "a " * 1_000_000
    error = refused(json.dumps({"messages": HELLO, "stream": words}).encode())
    assert error.message.endswith('got string "' + "a " * 20 + '"')
