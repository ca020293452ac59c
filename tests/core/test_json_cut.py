"""Strings cut out of large texts: the value is the one that the C scanner reads, wherever the pieces end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.json import cut as json_cut
from trio_gateway.core.json import strict as strict_json
from trio_gateway.core.json.strict import StrictJSONError, parse

_STRINGS = st.lists(
    st.sampled_from(
        [
            *("a", "bcdefgh", "é", "漢", "😀", r"\n", r"\\", r"\"", r"\/", r"\u00e9", r"\u0000", "\x7f"),
            *(r"\ud83d\ude00", r"\ud83d", r"\ude00", r"\uDBFF"),
        ]
    ),
    max_size=12,
).map(lambda parts: f'"{"".join(parts)}"')
_TEXTS = st.recursive(
    _STRINGS | st.sampled_from(["1", "null", "-1.5e3", r'"\u00000"', r'"\u00001"']),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[ {' , '.join(items)}]")
        | st.dictionaries(_STRINGS, inner, max_size=3).map(
            lambda members: "{" + ",".join(f"{key} : {item}" for key, item in members.items()) + "} "
        )
    ),
    max_leaves=8,
)


def read(text: bytes, *, piece: int, left: int, **how: Any) -> Any:
    """*text* read as a large one, in small pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_CUT_OVER", -1)
        patch.setattr(json_cut, "_PIECE", piece)
        patch.setattr(json_cut, "_LEFT_WITH_ESCAPES", left)
        return parse(text, **how)


@given(_TEXTS, st.integers(8, 20), st.integers(0, 9))
def test_what_is_cut_out_is_put_in_again(text: str, piece: int, left: int) -> None:
    assert outcome(text, piece=piece, left=left) == outcome(text)


def outcome(text: str, **cut: int) -> object:
    """The value of *text*, or what is wrong with it, and where."""
    try:
        return read(text.encode(), **cut) if cut else parse(text, mend_surrogates=True)
    except StrictJSONError as error:
        return error.message, error.path


@given(
    st.lists(st.sampled_from([*'[]{},:"\\ 1a', r"\u12", r"\ud8", "\x00", "\n"]), max_size=14)
    .map("".join)
    .map(str.encode)
    | st.binary(max_size=14)
    | st.binary(max_size=12).map(lambda inside: b'"' + inside + b'"'),
    st.integers(8, 12),
)
def test_neither_more_nor_less_is_json(text: bytes, piece: int) -> None:
    try:
        value = parse(text, mend_surrogates=True)
    except StrictJSONError:
        with pytest.raises(StrictJSONError):
            read(text, piece=piece, left=0)
    else:
        assert read(text, piece=piece, left=0) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'["' + b"x" * 20 + b'", "' + b"y" * 20, "invalid JSON (unterminated string at byte 46)"),
        (b'["' + b"x" * 20 + b'", "yy', "invalid JSON (unterminated string at byte 28)"),
        (b'["' + b"x" * 20 + b'", "' + b"y" * 20 + b"\\", "invalid JSON (invalid escape at byte 46)"),
        (b'["' + b"x" * 20 + b'\\x"]', "invalid JSON (Invalid \\escape at byte 22)"),
        (b'["' + b"x" * 20 + b'\\u00g0"]', "invalid JSON (invalid escape at byte 22)"),
        (b'["\\u00g0' + b"x" * 20 + b'"]', "invalid JSON (invalid escape at byte 2)"),
        (b'["' + "é".encode() * 10 + b'\n"]', "invalid JSON (Invalid control character at byte 22)"),
        (b'["' + b"x" * 20 + b'\xff"]', "invalid UTF-8 at byte 22"),
        (b'["' + b"x" * 20 + b"\xc3" + b'"]', "invalid UTF-8 at byte 22"),
        (b'["' + b"\x80" * 40 + b'"]', "invalid UTF-8 at byte 2"),
        (b'["' + b"x" * 20 + b'", "\xff"]', "invalid UTF-8 at byte 26"),
        (b' \n["' + b"x" * 20 + b'", "y" 1]', "invalid JSON (Expecting ',' delimiter at byte 31)"),
        (b'["' + b"x" * 20 + b'"] 1', "invalid JSON (more after its end at byte 24)"),
        (b'[1, "' + b"x" * 20 + b'",?]', "invalid JSON (Expecting value at byte 27)"),
        (b'[?, "' + b"x" * 20 + b'"]', "invalid JSON (Expecting value at byte 1)"),
        (b'\xef\xbb\xbf["' + b"x" * 20 + b'"]', "a byte-order mark at its start"),
        (b"[" * 70 + b'"' + b"x" * 20 + b'"', "more than 64 levels of nesting"),
    ],
)
def test_the_message_names_the_byte(text: bytes, message: str) -> None:
    with pytest.raises(StrictJSONError) as caught:
        read(text, piece=10, left=5)
    assert caught.value.message.removesuffix(" at") == message


def test_a_text_may_be_decoded_already() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_CUT_OVER", 10)
        assert parse('["' + "é" * 70_000 + '"]') == ["é" * 70_000]


def test_a_key_that_is_cut_out_twice_is_a_duplicate() -> None:
    key = "k" * 100
    with pytest.raises(StrictJSONError, match="a duplicate key") as caught:
        read(f'{{"a": {{"{key}": 1, "{key}": 2}}}}'.encode(), piece=10, left=0)
    assert caught.value.path == "a." + "k" * 64


_LARGE = {
    "one string": (b'["' + b"A" * (4 << 20) + b'"]', 16),
    "escapes": (b'["' + b"\\n" * (2 << 20) + b'"]', 16),
    "escaped surrogates": (b'["' + b"\\ud83d" * (4 << 18) + b'"]', 24),
    "strings of 64 KiB of escapes": (b"[" + b",".join([b'"' + b"\\n" * 32_000 + b'"'] * 64) + b"]", 64),
    "many short strings": (b"[" + b",".join([b'"' + b"\\n" * 40 + b'"'] * 30_000) + b"]", 60_000),
    "many objects": (b"[" + b",".join([b'{"a": 1}'] * 99_000) + b',"' + b"x" * (2 << 20) + b'"]', 99_000),
    "other letters": (b'["' + "漢".encode() * (2 << 20) + b'"]', 24),
}


@pytest.mark.parametrize("case", _LARGE.values(), ids=_LARGE)
def test_pauses_after_each_piece_and_each_value(case: tuple[bytes, int]) -> None:
    text, at_least = case
    pauses: list[None] = []
    assert parse(text, pause=lambda: pauses.append(None))
    assert len(pauses) >= at_least
