"""Log probabilities that wait for their text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trio_gateway.core.json.logprobs import HeldLogprobs
from trio_gateway.core.json.slices import json_parts


def held(*logprobs: Any) -> HeldLogprobs:
    held = HeldLogprobs()
    for each in logprobs:
        held.add(each)
    return held


@pytest.mark.parametrize(
    ("came", "joined"),
    [
        ([], None),
        ([None], None),
        ([{"content": [1]}], {"content": [1]}),
        ([{"content": [1]}, None, {"content": [2, 3]}], {"content": [1, 2, 3]}),
        ([{"content": [1], "refusal": None}, {"content": None}], {"content": [1], "refusal": None}),
        ([{"content": [1]}, {"refusal": [2]}], {"content": [1], "refusal": [2]}),
        ([{"model": "a"}, {"model": "b"}], {"model": "b"}),
        (["something else"], "something else"),
        (["something else", {"content": [1]}], {"content": [1]}),
        ([{"content": [1]}, "something else"], {"content": [1]}),
    ],
)
def test_joining(came: list[Any], joined: Any) -> None:
    assert held(*came).take_plain() == joined
    gathered = held(*came)
    assert bool(gathered) == (joined is not None)
    taken = gathered.take()
    assert (json.loads("".join(json_parts(taken))) if isinstance(taken, dict) else taken) == joined
    assert not gathered
    assert gathered.take() is gathered.take_plain() is None


def test_what_came_at_once_is_given_as_it_came() -> None:
    came = {"content": [1]}
    assert held(came).take_plain() is came
    assert held(came).take() is came


def test_the_size_is_that_of_the_text() -> None:
    logprobs = held({"content": [{"token": "é"}]})
    assert logprobs.size == 0
    assert logprobs.compact()
    assert logprobs.size == len('{"token": "é"}'.encode())
    logprobs.add({"content": [1], "other": "x"})
    assert logprobs.size > len('{"token": "é"}, 1'.encode()) + 50


def test_what_weighs_too_much_is_left_as_it_is() -> None:
    logprobs = held({"content": ["x" * 2000]})
    assert not logprobs.compact(limit=1000)
    assert logprobs.size == 0
    assert logprobs.take_plain() == {"content": ["x" * 2000]}


def test_what_was_gathered_can_be_gathered_again() -> None:
    first = held({"content": [1]}, {"content": [2]})
    second = held({"content": [0]}, first.take(), {"content": [3]})
    assert second.take_plain() == {"content": [0, 1, 2, 3]}
