"""Large values as pieces of JSON: joined, they are what the standard library writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.json import encoding as json_pieces
from trio_gateway.core.json.encoding import encode_pieces
from trio_gateway.core.json.strict import dumps

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES, st.integers(1, 30))
def test_joined_they_are_the_whole(value: object, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_pieces, "_PIECE", piece)
        patch.setattr(json_pieces, "_CUT", piece)
        assert b"".join(encode_pieces(value)) == dumps(value).encode()


def test_a_long_string_comes_in_pieces_and_pauses() -> None:
    pauses: list[None] = []
    text = 'é"' * (1 << 20)
    pieces = encode_pieces({"a": [text]}, pause=lambda: pauses.append(None))
    assert b"".join(pieces) == dumps({"a": [text]}).encode()
    assert max(map(len, pieces)) <= 4 * (524_288 + 2 * 65_536)
    assert len(pauses) >= 32


def test_it_pauses_after_each_value() -> None:
    pauses: list[None] = []
    encode_pieces([{"a": 1}] * 1000, pause=lambda: pauses.append(None))
    assert len(pauses) >= 3001


def test_never_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_pieces([float("nan")])
