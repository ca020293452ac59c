"""JSON in slices: the same values and texts as by the usual parser and writer, in small steps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.json import slices as json_slices
from trio_gateway.core.json.slices import SlicedParser, json_parts, list_parts, string_parts
from trio_gateway.core.json.strict import StrictJSONError, dumps, parse
from trio_gateway.core.text.growing import GrowingText

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = st.text(st.sampled_from('ab"\\/\n\x7fé中\U0001f600\u2028'), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)
BROKEN = st.text(st.sampled_from('{}[]:,"\\u0d8anNtrf1.-e \n\x01é'), max_size=14)


@pytest.fixture(params=[7, 32 * 1024], ids=["small windows", "real windows"])
def windows(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "_WINDOW", request.param)
        yield


def parsed(data: bytes, *, max_depth: int = 128) -> Any:
    parser = SlicedParser(data, max_depth=max_depth, lenient_under={"logprobs"})
    for _ in parser.slices():
        pass
    return parser.value


def usual(data: bytes) -> Any:
    text = data.decode(errors="replace")
    return parse(text, max_depth=128, lenient_under={"logprobs"}, mend_surrogates=True)


@pytest.mark.usefixtures("windows")
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_was_written(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parsed(text.encode()) == usual(text.encode()) == value


@pytest.mark.usefixtures("windows")
@given(
    st.binary(max_size=20) | BROKEN.map(str.encode) | VALUES.map(dumps).map(lambda text: text[:-1].encode())
)
def test_refuses_what_the_usual_parser_refuses(data: bytes) -> None:
    try:
        wanted = usual(data)
    except StrictJSONError:
        with pytest.raises(StrictJSONError):
            parsed(data)
    else:
        assert parsed(data) == wanted


ODD: list[tuple[bytes, Any]] = [
    (b' {"a" : [ 1 , -0, 2.5e3 ] }\r\n\t', {"a": [1, 0, 2500.0]}),
    (b'["\\ud83d\\ude00", "\\ud83d", "\\ude00\\ud83d!"]', ["\U0001f600", "\ufffd", "\ufffd\ufffd!"]),
    (b'"aaaaaa\\ud83d\\ude00aaa"', "aaaaaa\U0001f600aaa"),
    (b'"aaaaaa\\\\ud83d\\\\"', "aaaaaa\\ud83d\\"),
    ('"aaaaa\U0001f600\U0001f600"'.encode(), "aaaaa\U0001f600\U0001f600"),
    (b'"a\xff\xfe\xe4\xb8b"', "a\ufffd\ufffd\ufffdb"),
    (b'{"logprobs": {"x": [NaN, -Infinity, Infinity]}, "y": 1}', {"logprobs": {"x": [None] * 3}, "y": 1}),
    (b'{"logprobs": [1e999, {"x": -1e999}], "y": 1}', {"logprobs": [None, {"x": None}], "y": 1}),
    (b"1" * 100, int(b"1" * 100)),
    (b"1." + b"0" * 998, 1.0),
]


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(("data", "value"), ODD)
def test_reads_odd_texts(data: bytes, value: Any) -> None:
    assert parsed(data) == usual(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[1,]",
        b"[,1]",
        b'{"a":1,}',
        b'{"a" 1}',
        b"{a: 1}",
        b'{"a":1 "b":2}',
        b"[1 2]",
        b"[1",
        b'"abc',
        b'"a\\x"',
        b'"\\u12"',
        b'"a\nb"',
        b"[1}",
        b"01",
        b"1.",
        b"tru",
        b"NaN",
        b'{"x": NaN, "logprobs": 1}',
        b'{"a": 1, "a": 2}',
        b"1e999",
        b"1" * 101,
        b"1" * 5000,
        b"1." + b"0" * 999,
        b"1." + b"0" * 5000,
        b"[] []",
        b"\xef\xbb\xbf1",
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(StrictJSONError):
        parsed(data)


def test_counts_what_is_no_utf_8() -> None:
    parser = SlicedParser('"a\ufffd'.encode() + b'\xff\xff"', max_depth=1, lenient_under=())
    assert [*parser.slices()] == []
    assert (parser.value, parser.replaced) == ("a\ufffd\ufffd\ufffd", 2)


def test_depth() -> None:
    assert parsed(b"[" * 3 + b"]" * 3, max_depth=3) == [[[]]]
    with pytest.raises(StrictJSONError, match="more than 3 levels"):
        parsed(b'[{"a":[{', max_depth=3)


def test_whitespace_has_a_bound() -> None:
    assert parsed(b"[" + b" " * 32 * 1024 + b"]") == []
    with pytest.raises(StrictJSONError):
        parsed(b"[" + b" " * (32 * 1024 + 1) + b"]")


@pytest.mark.usefixtures("windows")
@given(VALUES)
def test_writes_what_the_usual_writer_writes(value: Any) -> None:
    assert "".join(json_parts(value)) == dumps(value)
    assert "".join(list_parts([value, value])) == dumps([value, value])


def test_a_form_of_its_own_may_stand_for_a_value() -> None:
    value = {"a": [GrowingText('4"'), 1], "b": GrowingText("")}
    assert "".join(json_parts(value)) == '{"a": ["4\\"", 1], "b": ""}'


def test_refuses_to_write_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        list(json_parts([float("nan")]))


@pytest.mark.parametrize(
    ("data", "slices"),
    [
        (b'"' + b"x" * 1024 * 1024 + b'"', 31),
        (b'"' + b"\\n" * 512 * 1024 + b'"', 31),
        (b"[" + b"[]," * 50_000 + b"0]", 400),
        (b'{"a": [' + b'{"a": 1},' * 20_000 + b"0]}", 240),
    ],
)
def test_work_is_cut_into_slices(data: bytes, slices: int) -> None:
    parser = SlicedParser(data, max_depth=9, lenient_under=())
    assert sum(1 for _ in parser.slices()) >= slices
    parts = [*json_parts(parser.value)]
    assert "".join(parts) == dumps(parser.value)
    assert max(map(len, parts)) <= 3 * 32 * 1024


def test_a_long_string_is_written_in_parts() -> None:
    text = '"\n' * 100_000
    parts = [*string_parts(text)]
    assert "".join(parts) == dumps(text)
    assert max(map(len, parts)) <= 2 * 32 * 1024
