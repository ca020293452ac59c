"""Scanner of JSON texts: values and levels are those of the text, however it is cut into slices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.json import scan as json_scan
from trio_gateway.core.json.scan import JSONScanError, TooDeepError, TooManyValuesError, scan_slices

_TEXTS = st.text(st.sampled_from('ab"\\[]{},: \n\u00e9\U0001f600'), max_size=8)
_SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | _TEXTS
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)
)


def values_in(value: Any) -> int:
    match value:
        case list():
            return 1 + sum(map(values_in, value))
        case dict():
            return 1 + sum(map(values_in, value.values()))
        case _:
            return 1


def levels_of(value: Any) -> int:
    match value:
        case list():
            return 1 + max(map(levels_of, value), default=0)
        case dict():
            return 1 + max(map(levels_of, value.values()), default=0)
        case _:
            return 0


def count(text: bytes) -> int:
    """The values that were counted."""
    slices = scan_slices(text)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return int(end.value)


def scan(text: bytes, **limits: int) -> int:
    """Slices it took."""
    return sum(1 for _ in scan_slices(text, **limits))


@given(_VALUES, st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_counts_values_and_levels_exactly(
    value: Any, size: int, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    values, levels = values_in(value), levels_of(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "_SLICE", size)
        assert scan(text, max_values=values, max_depth=levels) == -(-len(text) // size)
        assert count(text) == values
        with pytest.raises(TooManyValuesError):
            scan(text, max_values=values - 1, max_depth=levels)
        if levels:
            with pytest.raises(TooDeepError):
                scan(text, max_values=values, max_depth=levels - 1)


@given(st.binary(max_size=40) | st.text(st.sampled_from('[]{},:"\\ 1')).map(str.encode), st.integers(1, 5))
def test_takes_any_bytes_in_any_slices(data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "_SLICE", size)
        try:
            scan(data, max_values=6, max_depth=3)
        except JSONScanError:
            patch.undo()
            with pytest.raises(JSONScanError):  # whatever the slices
                scan(data, max_values=6, max_depth=3)


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [
        (b"[],", 1),
        (b"{},", 1),
        (b"1,", 1),
        (b'"",', 1),
        (b'"\\"[,",', 1),
        (b'"\\\\",', 1),
        (b"[[]],", 2),
        (b'{"a":1},', 2),
        (b'{"a":[],"b":"c,d"},', 3),
        (b" \n\t\r null ,", 1),
    ],
)
def test_counts_a_long_list(unit: bytes, per_unit: int) -> None:
    """Twenty thousand units and a last ``0``, in a list."""
    text = b"[" + unit * 20_000 + b"0]"
    values = 20_000 * per_unit + 2
    scan(text, max_values=values)
    with pytest.raises(TooManyValuesError, match=f"more than {values - 1:,} values"):
        scan(text, max_values=values - 1)


@pytest.mark.parametrize("unit", [b"[],", b"1,", b'"",', b'""', b'{"a":1},', b"[1],", b'"a":', b"[]"])
def test_stops_early_at_what_has_too_many(unit: bytes) -> None:
    text = b"[" + unit * 5_000_000
    slices: list[None] = []
    with pytest.raises(TooManyValuesError):
        slices.extend(scan_slices(text))
    assert 0 < len(slices) < 50


def test_a_text_with_levels_in_strings_is_flat() -> None:
    text = json.dumps({"a": "[" * 100_000, "b\\": '"[{' * 1000}).encode()
    scan(text, max_depth=1)


def test_sixty_four_levels_are_allowed() -> None:
    scan(b"[" * 64 + b"]" * 64)
    with pytest.raises(TooDeepError, match="more than 64 levels of nesting"):
        scan(b'{"a":' * 65 + b"1" + b"}" * 65)


def test_looks_no_further_than_a_bracket_that_closes_nothing() -> None:
    assert scan(b"[]" * 40 + b"]" + b" " * (1 << 16) + b"[" * 200_000) == 0


def test_a_long_string_takes_one_slice_per_32_kib() -> None:
    assert scan(b'"' + b"x" * (1 << 20) + b'"') == 33


def test_takes_every_kind_of_buffer() -> None:
    for buffer in (b"[1]", bytearray(b"[1]"), memoryview(b"[1]")):
        assert scan(bytes(buffer)) == sum(1 for _ in scan_slices(buffer)) == 1
