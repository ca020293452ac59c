from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trio_gateway.core.sse import SSEEvent
from trio_gateway.core.upstream_api.chunks import (
    ChoiceDelta,
    ChoiceError,
    Chunk,
    InbandError,
    LargeEvent,
    ProtocolError,
    cut_chunk,
    describe_error_event,
    describe_http_error,
    parse_chunk,
    read_event,
)
from trio_gateway.core.upstream_api.delta_fields import Aside

if TYPE_CHECKING:
    from collections.abc import Callable


def choice(delta: object, **more: object) -> str:
    """The data of an event with one choice."""
    return json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **more}]})


def only(data: str) -> ChoiceDelta:
    chunk = parse_chunk(data)
    assert isinstance(chunk, Chunk)
    [delta] = chunk.choices
    return delta


def told(data: str) -> InbandError:
    error = parse_chunk(data)
    assert isinstance(error, InbandError)
    return error


def test_an_ordinary_chunk() -> None:
    data = choice({"content": " hi"}, finish_reason=None, logprobs=None)
    assert parse_chunk(data) == Chunk([ChoiceDelta(0, " hi")], None)


def test_a_last_chunk_and_usage() -> None:
    assert only(choice({}, finish_reason="length")) == ChoiceDelta(0, finish_reason="length")
    assert parse_chunk('{"choices": [], "usage": {"total_tokens": 3}}') == Chunk([], {"total_tokens": 3})
    assert parse_chunk('{"choices": null, "usage": null}') == parse_chunk('{"usage": 5}') == Chunk([])


@pytest.mark.parametrize(
    "delta", [None, {}, {"role": "assistant"}, {"content": None}, {"content": ""}, {"content": []}]
)
def test_a_delta_that_says_nothing(delta: object) -> None:
    assert only(choice(delta)) == ChoiceDelta()
    assert only('{"choices": [{"finish_reason": ""}]}') == ChoiceDelta()


@pytest.mark.parametrize(
    ("delta", "reasoning"),
    [
        ({"reasoning_content": "a"}, "a"),
        ({"reasoning_content": "a", "reasoning": "b", "thinking": "c"}, "a"),
        ({"reasoning_content": "", "reasoning": "b", "thinking": "c"}, "b"),
        ({"reasoning_content": None, "reasoning": {"effort": "low"}, "thinking": "c"}, "c"),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "a"},
                    {"summary": "b"},
                    {"data": "x"},
                    5,
                ]
            },
            "ab",
        ),
        ({"reasoning": "a", "reasoning_details": [{"text": "a"}]}, "a"),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"text": "b"}]}]},
            "ab",
        ),
        ({"content": [{"type": "thinking", "thinking": "a"}], "reasoning": "b"}, "b"),
    ],
)
def test_reasoning_is_taken_once(delta: dict[str, object], reasoning: str) -> None:
    read = only(choice({"role": "assistant", **delta}))
    assert replace(read, aside=None) == ChoiceDelta(reasoning=reasoning)


def test_content_in_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": "t"},
        {"type": "text", "text": "a"},
        {"text": "b"},
        {"type": "x"},
        None,
    ]
    assert only(choice({"content": parts})) == ChoiceDelta(text="ab", reasoning="t")


def test_text_and_reasoning_and_finish_together() -> None:
    delta = only(choice({"content": "x", "reasoning": "y"}, finish_reason="stop", logprobs={"content": []}))
    assert delta == ChoiceDelta(0, "x", "y", {}, {"content": []}, "stop")


def test_all_else_is_passed_as_it_came() -> None:
    extra = {
        "tool_calls": [{"index": 1, "id": None, "function": {"arguments": '{"a'}}],
        "refusal": "no",
        "audio": {"id": "1"},
    }
    others = {"n": 0, "flag": False}
    nothing: dict[str, object] = {"function_call": None, "annotations": [], "images": {}, "name": ""}
    assert only(choice({"role": "assistant", "content": None, **extra, **others, **nothing})) == ChoiceDelta(
        extra=extra, aside=Aside(others=others)
    )


@pytest.mark.parametrize(
    "data",
    [
        {"code": 0, "message": "success"},
        {"code": "200", "msg": "ok"},
        {"code": None, "message": "hello"},
        {"code": 5},
        {"message": "hello"},
        {"errors": []},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"base_resp": {}},
        {"base_resp": "none"},
        {"choices": [{"delta": {}, "error": None}], "code": 500, "message": "of something else"},
    ],
)
def test_what_is_no_error(data: object) -> None:
    assert isinstance(parse_chunk(json.dumps(data)), Chunk)


@pytest.mark.parametrize("reason", ["", "null", None])
def test_what_is_no_finish_reason(reason: object) -> None:
    assert only(choice({"content": "x"}, finish_reason=reason)) == ChoiceDelta(0, "x")


def test_attributes_stand_beside_the_choices() -> None:
    fields = {"citations": ["u"], "service_tier": "default"}
    data = json.dumps({"choices": [], **fields, "timings": {}, "x_groq": None, "obfuscation": "x"})
    assert parse_chunk(data) == Chunk([], attributes=fields)


@pytest.mark.parametrize(
    ("delta", "speaks"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"name": "x", "unknown": 1}, False),
        ({"content": "x"}, True),
        ({"reasoning": "x"}, True),
        ({"tool_calls": [{"id": "x"}]}, True),
        ({"signature": "x"}, True),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, True),
    ],
)
def test_which_event_says_something(delta: object, speaks: bool) -> None:
    chunk = parse_chunk(choice(delta))
    assert isinstance(chunk, Chunk)
    assert chunk.speaks is speaks
    assert Chunk([ChoiceDelta(finish_reason="stop")]).speaks


def test_several_choices_keep_their_index() -> None:
    choices = [
        {"index": 3, "delta": {"content": "a"}},
        {"index": None, "delta": {"content": "b"}},
        {"index": 0},
    ]
    assert parse_chunk(json.dumps({"choices": choices})) == Chunk(
        [ChoiceDelta(3, "a"), ChoiceDelta(1, "b"), ChoiceDelta(0)]
    )


def test_a_whole_completion() -> None:
    calls = [{"id": "1", "type": "function"}, {"index": 7, "id": "2"}, "odd"]
    message = {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "y",
        "refusal": None,
        "tool_calls": calls,
    }
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    whole = {"object": "chat.completion", "choices": choices, "usage": {}}
    numbered = [{"index": 0, "id": "1", "type": "function"}, {"index": 1, "id": "2"}, "odd"]
    assert parse_chunk(json.dumps(whole)) == Chunk(
        [ChoiceDelta(0, "x", "y", {"tool_calls": numbered}, None, "stop")], {}
    )
    assert only('{"choices": [{"message": {"content": "x"}}]}') == ChoiceDelta(text="x")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "invalid JSON"),
        ("{", "invalid JSON"),
        ("5", "chunk: not an object"),
        ("null", "not an object"),
        ("[]", "not an object"),
        ('{"choices": {"a": 1}}', "choices: not a list"),
        ('{"choices": [null]}', r"choices\[0\]: not an object"),
        ('{"choices": [{"index": "0"}]}', "index: not a number"),
        ('{"choices": [{"index": -1}]}', "index: not a number"),
        ('{"choices": [{"index": true}]}', "index: not a number"),
        ('{"choices": [{"delta": "x"}]}', "delta: not an object"),
        ('{"choices": [{"message": ["x"]}]}', "delta: not an object"),
        ('{"choices": [{"delta": {"content": 5}}]}', "content: not a string"),
        ('{"choices": [{"delta": {"content": {"a": 1}, "role": "x"}}]}', "content: not a string"),
        ('{"choices": [{"finish_reason": 1}]}', "finish_reason: not a string"),
        ('{"created": NaN}', "created: NaN"),
        ('{"created": 1, "created": 1}', "created: a duplicate key"),
        ('{"created": ' + "9" * 10_000 + "}", "created: an integer of 10000 digits"),
        ("[" * 10_000, "more than 128 levels"),
    ],
)
def test_no_chunk(data: str, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_chunk(data)


def test_what_upstreams_get_away_with() -> None:
    data = (
        '{"choices": [{"delta": {"content": "\\ud800x"}, "logprobs": {"content": [{"logprob": -Infinity}]}}]}'
    )
    assert only(data) == ChoiceDelta(text="\ufffdx", logprobs={"content": [{"logprob": None}]})
    assert (
        only(" " + choice({"content": "\n\ndata: [DONE]\n\n\x00\u2028"}) + "\n").text
        == "\n\ndata: [DONE]\n\n\x00\u2028"
    )


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            {
                "error": {
                    "message": "bad",
                    "type": "invalid_request_error",
                    "param": "messages[0]",
                    "code": "too_long",
                }
            },
            InbandError("bad", "too_long", "invalid_request_error", "messages[0]"),
        ),
        ({"error": {"message": "bad", "type": None, "code": 429}}, InbandError("bad", status=429)),
        ({"error": {"message": "bad", "code": "503"}}, InbandError("bad", status=503)),
        ({"error": {"message": "bad", "code": "x", "status": 502}}, InbandError("bad", "x", status=502)),
        ({"error": {"message": "bad", "code": 429, "status": "EXHAUSTED"}}, InbandError("bad", status=429)),
        ({"error": {"message": "bad", "http_status_code": 422}}, InbandError("bad", status=422)),
        ({"error": {"message": "bad"}, "status_code": 500}, InbandError("bad", status=500)),
        ({"error": {"message": "bad", "code": 1234}}, InbandError("bad")),
        ({"error": {"message": "bad", "code": True, "param": ["x"]}}, InbandError("bad")),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            InbandError("busy", type="overloaded_error"),
        ),
        ({"error": "no such model"}, InbandError("no such model")),
        ({"error": "bad", "error_type": "validation"}, InbandError("bad", type="validation")),
        ({"error": "bad", "code": 404}, InbandError("bad", status=404)),
        (
            {"object": "error", "message": "bad", "type": "BadRequestError", "param": None, "code": 40001},
            InbandError("bad", type="BadRequestError", status=400),
        ),
        (
            {"object": "error", "message": {"detail": [{"msg": "x"}]}},
            InbandError('{"detail": [{"msg": "x"}]}'),
        ),
        ({"error": {"detail": "x"}}, InbandError("x")),
        ([{"error": {"message": "bad", "code": 400}}, {"error": "more"}], InbandError("bad", status=400)),
        ({"code": "InvalidParameter", "message": "bad"}, InbandError("bad", "InvalidParameter")),
        ({"code": 40301, "message": "bad", "choices": []}, InbandError("bad", status=403)),
        ({"error_code": 17, "error_msg": "bad", "choices": None}, InbandError("bad")),
        ({"status": 429, "message": "bad"}, InbandError("bad", status=429)),
        ({"status": "UNAVAILABLE", "code": "x", "message": "bad"}, InbandError("bad", "x")),
        ({"error": {"message": "bad", "status": "UNAVAILABLE"}}, InbandError("bad", "UNAVAILABLE")),
        ({"errors": [{"message": "bad", "code": 7003}], "success": False}, InbandError("bad")),
        (
            {"choices": [{"delta": {}, "error": {"code": 503, "message": "bad"}}]},
            InbandError("bad", status=503),
        ),
        ({"choices": [{"delta": {}}, {"error": "bad"}]}, InbandError("bad")),
        *(
            ({"choices": None, "base_resp": {"status_code": code, "status_msg": "bad"}}, error)
            for code, error in [
                (1002, InbandError("bad", status=429)),
                (1004, InbandError("bad", status=401)),
                (1008, InbandError("bad", status=402)),
                (2013, InbandError("bad", status=400)),
                (9999, InbandError("bad", status=500)),
                ("x", InbandError("bad", status=500)),
            ]
        ),
        ({"error": {"msg": "x"}}, InbandError("x")),
        ({"error": ["x", 1]}, InbandError('["x", 1]')),
        ({"error": {"reason": "?"}}, InbandError("no reason given")),
        ({"error": True}, InbandError("no reason given")),
        ({"error": {"message": "\x00", "code": "\x00"}}, InbandError("no reason given")),
        ({"error": {"message": "a\nb\x1b[31m", "code": "a\nb"}}, InbandError("a b[31m", "a b")),
        ({"error": {"message": "m" * 9000, "code": "c" * 200}}, InbandError("m" * 4096, "c" * 128)),
        (
            {"error": {"message": "bad", "code": 502}, "choices": [{"delta": {"content": "x"}}]},
            InbandError("bad", status=502),
        ),
    ],
)
def test_errors_in_the_stream(data: object, error: InbandError) -> None:
    assert told(json.dumps(data)) == error


@pytest.mark.parametrize("nothing", ["null", "{}", '""', "false"])
def test_no_error(nothing: str) -> None:
    assert parse_chunk(f'{{"error": {nothing}, "choices": []}}') == Chunk([])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"error": {"message": "bad", "type": "t", "param": "n", "code": "c"}}',
            InbandError("bad", "c", "t", "n", 400),
        ),
        (b'[{"error": {"message": "bad", "code": 429}}]', InbandError("bad", status=400)),
        (b'{"detail": "Not Found"}', InbandError("Not Found", status=400)),
        (
            b'{"detail": [{"loc": ["body"], "msg": "m"}]}',
            InbandError('[{"loc": ["body"], "msg": "m"}]', status=400),
        ),
        (b'{"message": "Unauthorized"}', InbandError("Unauthorized", status=400)),
        (b'{"x": 1}', InbandError("status 400", status=400)),
        (b'"text"', InbandError("text", status=400)),
        (b"[]", InbandError("status 400", status=400)),
        (b"5", InbandError("5", status=400)),
        (b"", InbandError("status 400", status=400)),
        (b"null", InbandError("status 400", status=400)),
        (b" Bad\nGateway \xff", InbandError("Bad Gateway \ufffd", status=400)),
        (b"\n<!DOCTYPE html><p>10.0.0.1", InbandError("status 400", status=400)),
        (b"[" * 100_000, InbandError("[" * 4096, status=400)),
    ],
)
def test_describe_http_error(body: bytes, error: InbandError) -> None:
    assert describe_http_error(400, body) == error


KEYS = st.sampled_from(
    [
        *("choices", "index", "finish_reason", "logprobs", "usage", "delta", "message", "content", "text"),
        *("reasoning", "reasoning_details", "thinking", "tool_calls", "error", "type", "code", "status"),
    ]
)
JSON = st.recursive(
    st.sampled_from([None, True, 0, 1, 429, 1.5, "", "x", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CHUNKS = st.builds(lambda delta: {"choices": [{"delta": delta}]}, JSON)


@given(JSON | CHUNKS)
def test_any_json_is_a_chunk_an_error_or_refused(value: Any) -> None:
    data = json.dumps(value)
    assert describe_http_error(500, data.encode()).message
    try:
        chunk = parse_chunk(data)
    except ProtocolError:
        return
    if isinstance(chunk, InbandError):
        assert chunk.message
        return
    for delta in chunk.choices:
        assert isinstance(delta.text + delta.reasoning, str)
        (delta.text + delta.reasoning + json.dumps(delta.extra, ensure_ascii=False)).encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("boom", InbandError("boom")),
        ('{"message": "boom", "code": 503}', InbandError("boom", status=503)),
        ('{"error": {"message": "boom", "type": "server_error"}}', InbandError("boom", type="server_error")),
        ("<html>", InbandError("an error without a message")),
    ],
)
def test_error_events(data: str, told: InbandError) -> None:
    assert describe_error_event(data) == told


def test_events_of_a_stream() -> None:
    chunk = '{"choices": []}'
    assert read_event(SSEEvent(data=chunk)) == parse_chunk(chunk)
    assert read_event(SSEEvent(data=chunk, event="message")) == parse_chunk(chunk)
    assert read_event(SSEEvent(data="boom", event="error")) == describe_error_event("boom")
    assert read_event(SSEEvent(data="5", event="ping")) is None
    assert read_event(SSEEvent(data=" ")) is None
    with pytest.raises(ProtocolError):
        read_event(SSEEvent(data="5"))


READERS = pytest.mark.parametrize("read", [parse_chunk, lambda data: read_large(data).chunk])


@READERS
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_among_counts_and_log_probabilities_spoils_nothing_around_it(
    read: Callable[[str], object], number: str
) -> None:
    data = (
        '{"choices": [{"delta": {"content": "hi"}, "logprobs": {"content": [{"logprob": %s}]}}],'
        ' "prompt_logprobs": [{"1": {"logprob": %s}}], "usage": {"total_tokens": %s, "a": [%s]}}'
    )
    logprobs = {"content": [{"logprob": None}]}
    counts = {"total_tokens": None, "a": [None]}
    assert read(data % ((number,) * 4)) == Chunk([ChoiceDelta(text="hi", logprobs=logprobs)], counts)


@READERS
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("data", ['{"x": %s}', '{"choices": [{"delta": {"score": [%s]}}]}', "%s"])
def test_elsewhere_it_is_named(read: Callable[[str], object], number: str, data: str) -> None:
    with pytest.raises(ProtocolError, match=rf"\w.*: {number}"):
        read('{"usage": {"total_tokens": NaN}, "logprobs": NaN, "value": %s}' % (data % number))


def test_more_choices_than_any_request_asks_for() -> None:
    with pytest.raises(ChoiceError, match="more than 128"):
        parse_chunk('{"choices": [' + "{}," * 128 + "{}]}")
    assert isinstance(parse_chunk('{"choices": [' + "{}," * 127 + "{}]}"), Chunk)


def test_parts_of_parts_are_joined_in_their_order_and_bounded() -> None:
    details = [{"text": [{"summary": "a"}, "b"]}, {"summary": "c"}, 5, {"text": [{"text": ["d"]}]}]
    assert only(choice({"reasoning_details": details})).reasoning == "abcd"
    parts = [{"type": "text", "text": "x"}] * 10_000
    assert only(choice({"content": parts})).text == "x" * 10_000
    with pytest.raises(ProtocolError, match="10000 parts"):
        parse_chunk(choice({"content": [*parts, parts[0]]}))


def test_an_error_is_looked_at_within_bounds() -> None:
    assert told(json.dumps({"error": {"message": "x " * 1_000_000, "code": "c" * 100_000}})) == InbandError(
        "x " * 2048, "c" * 128
    )
    assert told(json.dumps({"error": {"message": [0] * 9, "code": 500}})).message == json.dumps([0] * 9)
    assert told(json.dumps({"error": {"message": [0] * 9_000}})).message == "no reason given"
    assert told(json.dumps({"error": {"message": "x", "status": [0] * 100_000}})).status is None


def read_large(data: str | bytes, event: str = "message") -> LargeEvent:
    large = LargeEvent(SSEEvent(event, raw=data.encode() if isinstance(data, str) else data))
    for _ in large.slices():
        pass
    return large


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_large_event_is_read_as_any_other(value: object) -> None:
    for data in (choice({"content": "x", "more": value}), json.dumps(value), json.dumps({"error": value})):
        try:
            wanted = parse_chunk(data)
        except ProtocolError:
            with pytest.raises(ProtocolError):
                read_large(data)
        else:
            assert read_large(data).chunk == wanted


def test_large_events_of_other_kinds() -> None:
    assert read_large("boom", "error").chunk == InbandError("boom")
    assert read_large("{" + "x" * 100_000, "error").chunk == InbandError("{" + "x" * 4095)
    assert read_large("{oops", "ping").chunk is None


def test_a_large_event_counts_what_is_no_utf_8() -> None:
    large = read_large(b'{"choices": [{"delta": {"content": "\xff4"}}]}')
    assert (large.chunk, large.replaced) == (Chunk([ChoiceDelta(0, "\ufffd4")]), 1)


@pytest.mark.parametrize(
    "data",
    [
        '{"choices": [], "x": [' + "0," * 100_000 + "0]}",
        '{"choices": [], "x": ' + "[" * 200 + "]" * 200 + "}",
        '{"choices": [], "x": ' + "0" * 20 + "}",
        '{"choices": 5}',
    ],
)
def test_a_large_event_that_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        read_large(data)


def test_a_large_event_is_read_in_slices() -> None:
    large = LargeEvent(SSEEvent(raw=choice({"content": "x" * 1_000_000}).encode()))
    assert len([*large.slices()]) >= 60


TEXT = st.text(st.sampled_from("ab"), max_size=30)


@given(
    TEXT,
    TEXT,
    st.none() | st.just("lp"),
    st.sampled_from([{}, {"refusal": "no"}]),
    st.none() | st.just("stop"),
)
def test_pieces_of_a_chunk_amount_to_the_same(
    text: str, reasoning: str, logprobs: str | None, extra: dict[str, str], finish: str | None
) -> None:
    chunk = Chunk(
        [ChoiceDelta(1, text, reasoning, extra, logprobs, finish), ChoiceDelta(0, "x" * 40)],
        {"total_tokens": 1},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trio_gateway.core.upstream_api.chunks._PIECE", 7)
        pieces = [*cut_chunk(chunk)]
    deltas = [delta for piece in pieces for delta in piece.choices if delta.index == 1]
    assert all(len(delta.text) + len(delta.reasoning) <= 7 for delta in deltas)
    assert "".join(delta.text for delta in deltas) == text
    assert "".join(delta.reasoning for delta in deltas) == reasoning
    assert [delta.extra for delta in deltas if delta.extra] == ([extra] if extra else [])
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ([finish] if finish else [])
    assert [piece.usage for piece in pieces if piece.usage] == [{"total_tokens": 1}]
    # Log probabilities come with the beginning of their text, or are those of the reasoning.
    marked = [bool(delta.text) for delta in deltas if delta.logprobs]
    assert marked == ([] if logprobs is None or (reasoning and not text) else [bool(text)])


def test_a_chunk_of_little_text_is_one_piece() -> None:
    chunk = Chunk([ChoiceDelta(0, "x" * 8192)])
    assert [*cut_chunk(chunk)] == [chunk]
