from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.text.control_characters import ascii_json, drop_controls, escape_controls

BIDI_CONTROLS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
KEPT = "\n\t\u200e\u200f\u061c\u200d\ufeff"

texts = st.text(st.characters() | st.sampled_from("\x1b\x07\r\x7f\x85\x9b\u2028\u2029\u202e\u2066\u2069\n\t"))


def is_control(char: str) -> bool:
    """The rule in Unicode's own words, against which the pattern's ranges are checked."""
    return char not in "\n\t" and (
        unicodedata.category(char) in {"Cc", "Zl", "Zp"} or unicodedata.bidirectional(char) in BIDI_CONTROLS
    )


def test_every_code_point_is_dropped_and_escaped_by_the_rule() -> None:
    for code in range(0x110000):
        char = chr(code)
        assert drop_controls(char) == ("" if is_control(char) else char), hex(code)
        assert escape_controls(char) == (f"\\u{code:04x}" if is_control(char) else char), hex(code)
    assert drop_controls(KEPT) == escape_controls(KEPT) == KEPT


@given(st.lists(texts))
def test_a_text_may_be_cut_anywhere(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert "".join(map(drop_controls, pieces)) == drop_controls(whole)
    assert "".join(map(escape_controls, pieces)) == escape_controls(whole)


json_values = st.recursive(
    st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
)


@given(json_values, st.sampled_from([None, 2]))
def test_escapes_leave_the_value_of_a_json_text(value: object, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    assert json.loads(escape_controls(text)) == value
    assert json.loads(ascii_json(text.replace("\n", "\r\n"))) == value
    assert not any(map(is_control, escape_controls(text)))
    assert ascii_json(text).isascii()
    assert "\x7f" not in ascii_json(text)


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ('"é"', '"\\u00e9"'),
        ('"😀"', '"\\ud83d\\ude00"'),
        ('"\x7f\x9b"', '"\\u007f\\u009b"'),
        ('{\r\n\t"a": 1}', '{\n\t"a": 1}'),
    ],
)
def test_ascii_json(text: str, ascii_text: str) -> None:
    assert ascii_json(text) == ascii_text
