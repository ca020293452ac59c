from __future__ import annotations

import json
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.json.strict import StrictJSONError, dumps, parse

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "message", "path"),
    [
        ("", "invalid JSON (Expecting value at character 0)", ""),
        ("{", "invalid JSON", ""),
        ("{'a': 1}", "invalid JSON", ""),
        ('{"a": 1,}', "invalid JSON", ""),
        ("[1] [2]", "more after its end at character 3", ""),
        ('{"a": 1}x', "more after its end at character 8", ""),
        ("\ufeff{}", "byte-order mark", ""),
        (b"\xef\xbb\xbf{}", "byte-order mark", ""),
        (b'{"a": "\xff"}', "invalid UTF-8 at byte 7", ""),
        (b'{"a": "\xed\xa0\x80"}', "invalid UTF-8 at byte 7", ""),
        ("\x00{}", "invalid JSON", ""),
        ("\u00a0{}", "invalid JSON", ""),
        ('"a\nb"', "invalid JSON", ""),
        ("NaN", "NaN", ""),
        ('{"a": [1, -Infinity]}', "-Infinity", "a[1]"),
        ('{"a": 1e999}', "a number that is too large", "a"),
        ('{"a": -1e999}', "a number that is too large", "a"),
        ("[" + "9" * 101 + "]", "an integer of 101 digits", "[0]"),
        ("9" * 5000, "an integer of 5000 digits", ""),
        ("9" * 5000 + ".0", "a number of 5002 characters", ""),
        ('{"a": 1, "a": 1}', "a duplicate key", "a"),
        (
            '{"messages": [{}, {"content": 1, "x": 2, "content": 3}]}',
            "a duplicate key",
            "messages[1].content",
        ),
        (r'{"a": "\ud800"}', "a lone surrogate", "a"),
        (r'{"a": [{"b": "x\uDC00y"}]}', "a lone surrogate", "a[0].b"),
        (r'{"a": {"\ud800": 1}}', "a lone surrogate", r'a["\ud800"]'),
        ('{"a b": NaN}', "NaN", '["a b"]'),
        ('{"' + "k" * 100 + '": NaN}', "NaN", "k" * 64),
    ],
)
def test_refused(text: str | bytes, message: str, path: str) -> None:
    with pytest.raises(StrictJSONError) as caught:
        parse(text)
    assert message in caught.value.message
    assert message in str(caught.value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" \r\n\t{} \n", {}),
        (b'{"a": [1, 1.5, -0.0, true, null, "\xc3\xa9"]}', {"a": [1, 1.5, -0.0, True, None, "é"]}),
        (r'"\ud83d\ude00 \u0000 \u202e"', "😀 \u0000 \u202e"),
        (r'{"a": "\uD83D\uDE00", "b": [1, true]}', {"a": "😀", "b": [1, True]}),
        ("9" * 100, int("9" * 100)),
        ('{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}', {"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}),
    ],
)
def test_taken(text: str | bytes, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("head", ["[", '{"a":', '[{"a":'])
def test_depth(head: str) -> None:
    levels = head.count("[") + head.count("{")
    tail = "".join({"[": "]", "{": "}"}[char] for char in reversed(head) if char in "[{")
    fits = 64 // levels
    parse(head * fits + "1" + tail * fits)
    with pytest.raises(StrictJSONError, match="more than 64 levels of nesting"):
        parse(head * (fits + 1) + "1" + tail * (fits + 1))
    assert parse(head + "1" + tail, max_depth=levels)
    with pytest.raises(StrictJSONError, match="more than"):
        parse(head + "1" + tail, max_depth=levels - 1)


def test_only_nesting_counts_as_depth() -> None:
    assert parse("[" + "[]," * 200 + "{}]") == [[]] * 200 + [{}]
    tricky = ["[" * 100, '"[' * 100, "\\" * 3 + "[" * 100]
    assert parse(json.dumps(tricky)) == tricky


@pytest.mark.parametrize("bad", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_very_deep_is_refused_at_once(bad: str) -> None:
    took = []
    for _ in range(3):
        started = thread_time()  # of this process alone, however busy the machine is
        with pytest.raises(StrictJSONError, match="levels"):
            parse(bad)
        took.append(thread_time() - started)
    assert min(took) < 0.01


@pytest.mark.parametrize("bad", ["[" * 65 + '"', '"' + "[" * 65, "]" * 70 + "[" * 70, '"\\' + "[" * 70])
def test_deep_and_broken_is_an_error_of_one_kind(bad: str) -> None:
    with pytest.raises(StrictJSONError):
        parse(bad)


def test_lenient_under() -> None:
    text = '{"logprobs": {"content": [{"logprob": -Infinity, "x": [NaN, 1]}]}, "n": %s}'
    value = {"logprobs": {"content": [{"logprob": None, "x": [None, 1]}]}, "n": 1}
    assert parse(text % "1", lenient_under={"logprobs"}) == value
    with pytest.raises(StrictJSONError) as caught:
        parse(text % "NaN", lenient_under={"logprobs"})
    assert caught.value.path == "n"
    assert parse('{"a": [1e999], "b": -1e999}', lenient_under={"a", "b"}) == {"a": [None], "b": None}
    for long in ("1" * 101, "1." + "0" * 999, "1" * 999 + "e9"):  # what takes long is refused all the same
        with pytest.raises(StrictJSONError) as caught:
            parse(f'{{"logprobs": [{long}]}}', lenient_under={"logprobs"})
        assert caught.value.path == "logprobs[0]"


def test_mend_surrogates() -> None:
    text = r'{"a\ud800": ["\udc00\ud83d\ude00", 1], "n": %s}'
    assert parse(text % "1", mend_surrogates=True) == {"a\ufffd": ["\ufffd😀", 1], "n": 1}
    assert parse(text % '{"p": NaN}', mend_surrogates=True, lenient_under={"n"})["n"] == {"p": None}


@given(VALUES)
def test_what_dumps_writes_parse_reads(value: object) -> None:
    text = dumps(value)
    assert text == json.dumps(value, ensure_ascii=False)
    assert "\n" not in text
    assert "\r" not in text
    assert parse(text) == parse(text.encode()) == parse(json.dumps(value, indent=1)) == value


def test_dumps_never_writes_what_is_not_json() -> None:
    assert dumps({"a": [1, "é\u2028\n"]}) == '{"a": [1, "é\u2028\\n"]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps(float("nan"))


TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"a"',
    '"b"',
    "1",
    "-1.5e3",
    "null",
    "NaN",
    "1e999",
    " ",
    '"',
    r'"\ud800"',
    "\\",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_never_more_than_pythons_parser_takes(text: str) -> None:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        value = parse(text)
    except StrictJSONError:
        return
    assert value == json.loads(text, object_pairs_hook=no_duplicates)
    assert "NaN" not in dumps(value)
