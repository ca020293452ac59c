"""A last message that is continued decides where the answer starts, and any other one does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.config.families import family_of
from trio_gateway.core.upstream_api.prefill import prefilled_start

if TYPE_CHECKING:
    from trio_gateway.core.client_api.request import ChatRequest

OPENS = family_of("deepseek-r1")
PLAIN = family_of("no-such-family")


def request(content: object, *, role: str = "assistant", prefix: object = None, **fields: Any) -> ChatRequest:
    last = {"role": role, "content": content, "prefix": prefix}
    return parse_chat_request(json.dumps({"messages": [{"role": "user", "content": "Hi"}, last], **fields}))


@pytest.mark.parametrize(
    ("content", "opens", "plain"),
    [
        ("<think>\n\n</think>\n\n", False, False),
        ("<think>a</think>The product is", False, False),
        ("<think>", True, True),
        ("<THINK>\nFirst,", True, True),
        ("<think>a</think><think>b", True, True),
        ("<think>a</think><think>b</think>", False, False),
        ("The product is", None, None),
        ("", None, None),
        (None, None, None),
        ("The tag <think> opens", None, None),
        ("a\n</think>\nThe product is", False, None),  # the template has opened the block
        ([{"type": "text", "text": "<think>"}, {"type": "text", "text": "a</think>"}], False, False),
        ([{"type": "image_url"}, {"type": "text", "text": "<think>a"}], True, True),
        ("<think>" + "a" * 100_000 + "</think>", True, True),  # late rather than wrong
    ],
)
def test_the_start_that_a_prefill_decides(content: object, opens: bool | None, plain: bool | None) -> None:
    ways: list[dict[str, Any]] = [{"prefix": True}, {"continue_final_message": True}]
    for how in ways:
        assert prefilled_start(request(content, **how), OPENS) is opens
        assert prefilled_start(request(content, **how), PLAIN) is plain


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"prefix": False},
        {"prefix": 1},
        {"continue_final_message": None},
        {"continue_final_message": "true"},
        {"add_generation_prompt": False},
        {"role": "user", "prefix": True},
    ],
)
def test_a_message_that_is_not_continued_decides_nothing(how: dict[str, Any]) -> None:
    assert prefilled_start(request("<think>a</think>4", **how), OPENS) is None


def test_a_released_request_decides_nothing() -> None:
    released = request("<think>", prefix=True)
    released.release()
    assert prefilled_start(released, OPENS) is None


def test_markers_of_the_model_itself() -> None:
    model = family_of("seed-oss")
    assert prefilled_start(request("<seed:think>a", prefix=True), model) is True
    assert prefilled_start(request("<seed:think>a</seed:think>", prefix=True), model) is False
