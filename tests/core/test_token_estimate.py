from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.text.token_estimate import (
    MEDIA_TOKENS,
    TWELFTHS,
    estimate_tokens,
    text_weight,
    tokens_of,
    weights,
)

MIB = 1_048_576


def body(content: object = "", **more: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


def text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}}
FILE = {"type": "file", "file": {"file_data": "A" * 100_000, "filename": "a.pdf"}}


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (None, 0),
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("a" * 4000, 1000),
        ("漢" * 3000, 2000),
        ("かな" * 1500, 2000),
        ("한국" * 1500, 2000),
        ("，。" * 1500, 2000),
        ("a" * 400 + "漢" * 300, 300),
        ("ж" * 400, 100),
        ("é" * 400, 100),
        ("“a”" * 400, 300),
        ([], 0),
        ([text_part("a" * 400), text_part("漢" * 300)], 300),
        ([{"type": "refusal", "refusal": "a" * 40}], 10),
        ([IMAGE], MEDIA_TOKENS),
        ([IMAGE, AUDIO, FILE, text_part("a" * 40)], 3 * MEDIA_TOKENS + 10),
        ([{"type": "image_url", "image_url": "https://a/b.png"}], MEDIA_TOKENS),
        # what only some upstreams know is text
        ([{"type": "thinking", "thinking": "a" * 40}], 10),
        ([{"type": [], "x": "a" * 35}, "abcd", 7, None], 12),
    ],
)
def test_the_content_of_a_message(content: object, tokens: int) -> None:
    assert estimate_tokens(body(content)) == tokens


def test_all_that_reaches_the_model_is_counted() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "a" * 4000}}
    tools = [
        {"type": "function", "function": {"name": f"f{i}", "description": "x" * 1000}} for i in range(900)
    ]
    assert 1000 <= estimate_tokens({"messages": [{"role": "assistant", "tool_calls": [call]}]}) <= 1020
    assert (
        1000 <= estimate_tokens({"messages": [{"role": "tool", "content": "a" * 4000, "name": "f"}]}) <= 1002
    )
    assert 225_000 <= estimate_tokens(body("hi", tools=tools)) <= 240_000
    for field in (
        "functions",
        "documents",
        "response_format",
        "system",
        "grammar",
        "chat_template_kwargs",
        "x",
    ):
        for value in ("a" * 4000, ["a" * 4000], {"a": ["a" * 4000]}, {"a" * 4000: 1}):
            assert 1000 <= estimate_tokens(body("", **{field: value})) <= 1004, field


def test_what_no_model_reads_is_not() -> None:
    long = "a" * 4000
    unseen = {"model": long, "user": long, "metadata": {"a": long}, "stop": [long], "stream": True, "n": 1}
    assert estimate_tokens(body("four", temperature=0.5, seed=None, **unseen)) == 1
    assert estimate_tokens({"messages": [{"role": "developer", "content": "four"}]}) == 1


def test_a_picture_costs_the_same_in_any_size() -> None:
    assert estimate_tokens(body([{"type": "image_url", "image_url": {"url": ""}}])) == estimate_tokens(
        body([IMAGE])
    )


texts = st.text(st.characters() | st.sampled_from("漢字かなé😀\ud800"))


@pytest.mark.parametrize("text", ["漢" + "a" * 40_000, "a" * 40_000 + "漢", "漢a" * 20_000])
def test_a_long_text_weighs_what_its_characters_do(text: str) -> None:
    assert text_weight(text) == 3 * text.count("a") + 8 * text.count("漢")


@given(texts)
def test_a_text_weighs_what_its_characters_do(text: str) -> None:
    weight = text_weight(text)
    assert weight == sum(map(text_weight, text))
    assert len(text) * TWELFTHS / 4 <= weight <= math.ceil(len(text) * TWELFTHS / 1.5)
    assert tokens_of(weight) == estimate_tokens(body(text)) == math.ceil(weight / TWELFTHS)


@given(st.lists(texts), st.integers(1, 40_000))
def test_however_the_texts_are_cut_they_weigh_the_same(pieces: list[str], times: int) -> None:
    whole = "".join(pieces) * (times if len(pieces) == 1 else 1)
    parts = [text_part(each) for each in pieces] if len(pieces) != 1 else [text_part(whole)]
    assert sum(weights(body(parts))) == text_weight(whole)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@given(values)
def test_a_tools_definition_is_about_its_json(value: object) -> None:
    estimate = sum(weights(body("", tools=[value])))
    written = json.dumps(value, ensure_ascii=False)
    assert 0 <= estimate <= max(text_weight(written), TWELFTHS) * 2 + TWELFTHS * 2


@pytest.mark.parametrize(
    "text", ["a" * 32 * MIB, "ж" * 16 * MIB, "漢" * 11 * MIB, "a漢" * 8 * MIB, "😀" * 8 * MIB]
)
def test_the_largest_body_is_estimated_in_short_steps(text: str) -> None:
    steps = len(list(weights(body(text))))
    assert steps == (1 if text.isascii() else 1 + math.ceil(len(text) / MIB))


def test_many_small_values_are_weighed_together() -> None:
    many = [{f"k{i:05}": "漢"} for i in range(100_000)]
    parts = list(weights(body("", tools=many)))
    assert len(parts) == 2
    assert sum(parts) == 100_000 * text_weight("k00000漢")


def test_a_deep_value_needs_no_stack() -> None:
    deep: object = "four"
    for _ in range(100_000):
        deep = [deep]
    assert estimate_tokens(body("", tools=deep)) == 1
