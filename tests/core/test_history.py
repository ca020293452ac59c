from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.conversation import assistant, user
from trio_gateway.core.upstream_api.history import clean_history, lacks_reasoning
from trio_gateway.core.upstream_api.history_blocks import FARTHEST

PROMPT = "[Prompt Summary] Processing: “Hi”...\n\n"
REASONING = "[Reasoning Summary] Adding\nthe numbers...\n\n"

NEXT = user("And now?")
"""What follows an earlier answer: the last message is cleaned in another way."""


def cleaned_answer(message: dict[str, Any], **how: Any) -> dict[str, Any]:
    """An assistant's message of the history once it is cleaned."""
    before = json.dumps(message)
    answer, following = clean_history([message, NEXT], **{"keep_reasoning": False, **how})
    assert (following, json.dumps(message)) == (NEXT, before), "the request itself stays as it was"
    return answer


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [
        ("4", "4"),
        (PROMPT + REASONING + "4", "4"),
        (PROMPT + "4\n\nfour", "4\n\nfour"),
        (REASONING + "4", "4"),
        (PROMPT + REASONING + "\n 4", "\n 4"),
        ((PROMPT + REASONING + "4").replace("\n", "\r\n"), "4"),
        (PROMPT + PROMPT + "4", PROMPT + "4"),
        (REASONING + PROMPT + "4", PROMPT + "4"),
        (PROMPT, ""),
        # Without their blank lines the summaries have no certain end: an answer is never lost.
        (PROMPT.strip(), PROMPT.strip()),
        (PROMPT + REASONING.strip(), REASONING.strip()),
        (PROMPT.strip() + "\n4", PROMPT.strip() + "\n4"),
        (
            "[Prompt Summary] a\n[Reasoning Summary] b\n4\n5",
            "[Prompt Summary] a\n[Reasoning Summary] b\n4\n5",
        ),
        ("It says [Prompt Summary] x\n\ny", "It says [Prompt Summary] x\n\ny"),
        (" " + PROMPT + "4", " " + PROMPT + "4"),
        ("<think>a\n\nb</think>\n\n4", "4"),
        (" \n\ufeff<THINK type='x'>a</Think> 4", "4"),
        ("<thinking>a</thinking>4", "4"),
        ("<reasoning>a<think></reasoning>4", "4"),
        ("<think>a</think>\n<think>b</think>\n4 <think>c</think>", "4 <think>c</think>"),
        ("<think>a</think>4</think>", "4</think>"),
        ("<think></think>", ""),
        (PROMPT + REASONING + "<think>a</think>\n\n4", "4"),
        ("<think>a 4", "<think>a 4"),
        ("<think>a</thinking>4", "<think>a</thinking>4"),
        ("4 <think>a</think>", "4 <think>a</think>"),
        ("`<think>a</think>` is a tag", "`<think>a</think>` is a tag"),
        ("```\n<think>a</think>\n```", "```\n<think>a</think>\n```"),
        ("<thinker>a</thinker>4", "<thinker>a</thinker>4"),
        ("<think\n>a</think>4", "<think\n>a</think>4"),
        ("\n  4", "\n  4"),
    ],
)
def test_clean_history(content: str, cleaned: str) -> None:
    assert cleaned_answer(assistant(content=content, name="n")) == assistant(content=cleaned, name="n")


def test_only_the_assistants_messages_are_cleaned() -> None:
    messages = [
        {"role": role, "content": PROMPT + "<think>a</think>4"} for role in ("user", "system", "tool")
    ]
    assert clean_history(messages, keep_reasoning=False) == messages


KEPT = [
    (PROMPT + "<think>a</think>\n4", "<think>a</think>\n4"),
    ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
    # Some clients put what came as reasoning into a block of their own.
    (f"<think>\n{PROMPT}{REASONING.strip()}\n</think>\n\n4", "4"),
    (f"<think>{PROMPT.strip()}</think>4", "4"),
    (f"<think>{PROMPT}{REASONING}</think>4", "4"),
    (f"<think>\n{PROMPT}{REASONING}a\n\nb\n</think>\n4", "<think>\na\n\nb\n</think>\n4"),
    (f"{PROMPT}<thinking>{REASONING}a</thinking>4", "<thinking>a</thinking>4"),
    (f"<think>{REASONING}a", "<think>a"),
    (f"<think>{REASONING.strip()}", f"<think>{REASONING.strip()}"),
    (f"<think>{PROMPT.strip()}\na</think>4", f"<think>{PROMPT.strip()}\na</think>4"),
    (f"<think>a {PROMPT}</think>4", f"<think>a {PROMPT}</think>4"),
    (f"4 <think>{PROMPT}</think>", f"4 <think>{PROMPT}</think>"),
]
"""What is left of an answer whose reasoning is kept."""


@pytest.mark.parametrize(("content", "cleaned"), KEPT)
def test_keep_reasoning(content: str, cleaned: str) -> None:
    assert cleaned_answer(assistant(content=content), keep_reasoning=True)["content"] == cleaned


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("content", "cleaned"), KEPT)
def test_the_last_message_may_be_the_beginning_of_the_answer(content: str, cleaned: str, keep: bool) -> None:
    messages = [NEXT, assistant(content=content)]
    assert clean_history(messages, keep_reasoning=keep) == [NEXT, assistant(content=cleaned)]


@pytest.mark.parametrize(
    ("last", "is_left"),
    [
        (assistant(content=PROMPT), False),
        (assistant(content=PROMPT + REASONING, name="n", prefix=True), False),
        (assistant(content=[text_part := {"type": "text", "text": PROMPT}]), False),
        (assistant(content="", reasoning_content=PROMPT), False),
        (assistant(content=PROMPT, tool_calls=[{"id": "c"}]), True),
        (assistant(content=PROMPT, reasoning_content="a"), True),
        (assistant(content=[text_part, {"type": "image"}]), True),
        (assistant(content=""), True),  # as the client wants it
        (assistant(content=None), True),
        (assistant(), True),
        (user(""), True),
    ],
)
def test_a_last_message_of_which_nothing_is_left(last: dict[str, Any], is_left: bool) -> None:
    assert len(clean_history([NEXT, last], keep_reasoning=False)) == 1 + is_left
    assert len(clean_history([last], keep_reasoning=False)) == 1, "a request has one message at least"


CALLS = [{"id": "c"}]


@pytest.mark.parametrize(
    ("message", "filled"),
    [
        (assistant(content=None, tool_calls=CALLS), True),
        (assistant(content=None, tool_calls=CALLS, reasoning_content=None), True),
        (assistant(content=None, tool_calls=CALLS, reasoning_content=REASONING), True),
        (assistant(content=None, tool_calls=CALLS, reasoning="a"), True),
        (assistant(content=None, tool_calls=CALLS, reasoning_content=""), False),
        (assistant(content=None, tool_calls=CALLS, reasoning_content="a"), False),
        (assistant(content="4", tool_calls=[]), False),
        (assistant(content="4"), False),
        ({"role": "user", "content": "x", "tool_calls": CALLS}, False),
    ],
)
def test_tool_calls_without_their_reasoning(message: dict[str, Any], filled: bool) -> None:
    assert lacks_reasoning([message, NEXT]) is filled
    answer = cleaned_answer(message, fill_reasoning=True)
    as_it_was = cleaned_answer(message)
    assert answer == ({**as_it_was, "reasoning_content": ""} if filled else as_it_was)


@pytest.mark.parametrize(
    ("markers", "content"),
    [
        ([("[THINK]", "[/THINK]")], "[THINK]a[/THINK]4"),
        ([("◁think▷", "◁/think▷")], "\n◁think▷a◁/think▷\n4"),
        ([("Here's my thought:", "Here's my response:")], "Here's my thought: a Here's my response: 4"),
        ([("<seed:think>", "</seed:think>"), ("", "</x>"), ("<y>", "")], "<seed:think>a</seed:think>4"),
        ([("<think>", "</think>"), ("<think>!", "!</think>")], "<think>!a</think>!</think>4"),
    ],
)
def test_the_models_own_markers(markers: list[tuple[str, str]], content: str) -> None:
    assert cleaned_answer(assistant(content=content), markers=markers) == assistant(content="4")


FIELDS = (
    "reasoning",
    "reasoning_content",
    "reasoning_text",
    "thinking",
    "reasoning_details",
    "thinking_blocks",
)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("key", FIELDS)
def test_reasoning_fields_go_when_they_are_ours(key: str, keep: bool) -> None:
    ours = (PROMPT, REASONING, PROMPT + REASONING, REASONING.strip())
    for mine in (*ours, {"text": REASONING}, [PROMPT], [{"type": "reasoning.text", "text": REASONING}]):
        message = assistant(content="4", **{key: mine})
        assert cleaned_answer(message, keep_reasoning=keep) == assistant(content="4")
    others: tuple[Any, ...] = (
        "Adding.",
        " " + PROMPT,
        None,
        "",
        5,
        [],
        [None],
        ["Adding."],
        {"text": "Adding."},
    )
    for other in (
        *others,
        [{"type": "thinking", "thinking": "a", "signature": "s"}],
        {"text": [PROMPT] * 10_001},
    ):
        message = assistant(content="4", **{key: other})
        assert cleaned_answer(message, keep_reasoning=keep) == message


def test_of_a_list_of_thoughts_ours_alone_go() -> None:
    sealed = {"type": "reasoning.encrypted", "data": "x"}
    details = [{"type": "reasoning.summary", "summary": REASONING}, sealed, {"text": "a", "signature": "s"}]
    message = assistant(content="4", reasoning_details=details)
    assert cleaned_answer(message) == assistant(content="4", reasoning_details=details[1:])


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value, "x": 1}


@pytest.mark.parametrize(
    ("parts", "cleaned"),
    [
        ([text(PROMPT + "4"), text(PROMPT)], [text("4"), text(PROMPT)]),
        ([text(PROMPT), text(REASONING), text("<think>a</think>4")], [text("4")]),
        ([text(PROMPT), {"type": "refusal", "refusal": "no"}], [{"type": "refusal", "refusal": "no"}]),
        ([text(PROMPT)], ""),
        ([], []),
        ([text(""), text(PROMPT)], [text(""), text(PROMPT)]),
        ([{"type": "thinking"}, text(PROMPT)], [{"type": "thinking"}, text(PROMPT)]),
        ([{"type": "thinking", "thinking": [text(REASONING)]}, text(PROMPT + "4")], [text("4")]),
        ([{"type": "reasoning", "text": PROMPT}], ""),
        ([thought := {"type": "reasoning", "text": "a"}, text(PROMPT)], [thought, text(PROMPT)]),
        ([{"type": ["thinking"], "thinking": PROMPT}], [{"type": ["thinking"], "thinking": PROMPT}]),
        (["x", text(PROMPT)], ["x", text(PROMPT)]),
        ([{"type": "text", "text": 5}, 5], [{"type": "text", "text": 5}, 5]),
    ],
)
def test_content_in_parts(parts: list[dict[str, Any]], cleaned: object) -> None:
    assert cleaned_answer(assistant(content=parts)) == assistant(content=cleaned)


def test_no_content_stays_none() -> None:
    for message in (assistant(content=None, tool_calls=[{}]), assistant(tool_calls=[{}])):
        assert cleaned_answer(message) == message


@given(st.text(st.sampled_from("<think>/ \n`x4"), max_size=30))
def test_what_is_cleaned_is_a_tail(content: str) -> None:
    message = cleaned_answer(assistant(content=content))
    assert content.endswith(message["content"])
    assert cleaned_answer(message) == message


ALIKE = [("<t>", "</t>"), ("<t>!", "!</t>"), ("A", "B"), ("AB", "CD")]
"""Pairs of which two can stand at one place."""


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [
        ("<t>!a!</t>4", "4"),
        ("<t>!a</t>4", "4"),  # the longer start has no end, the shorter one has
        ("<t>!a</t><t>!b</t>\n4", "4"),
        ("ABxCD AxB 4", "4"),
        ("ABx 4", "x 4"),
        ("<t>!a", "<t>!a"),
        ("<t>a</t>" * 32 + "4", "4"),
        ("<t>a</t>" * 33 + "4", "<t>a</t>4"),
        ("<t>! a </t>" + "<t>" + "x" * 3000 + "</t> 4", "4"),
    ],
)
def test_markers_of_which_two_can_stand_at_one_place(content: str, cleaned: str) -> None:
    assert cleaned_answer(assistant(content=content), markers=ALIKE) == assistant(content=cleaned)
    kept = cleaned_answer(assistant(content=content), markers=ALIKE, keep_reasoning=True)
    assert kept == assistant(content=content)


@pytest.mark.parametrize("markers", [[], ALIKE])
def test_a_block_of_more_than_a_mebicharacter_stays(markers: list[tuple[str, str]]) -> None:
    for size, cleaned in [(FARTHEST, "4"), (FARTHEST + 9, "")]:
        content = "<think>" + "a" * (size - len("</think>")) + "</think>4"
        message = cleaned_answer(assistant(content=content), markers=markers)
        assert message["content"] == (cleaned or content)


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [
        (f"<t>!{PROMPT}x</t>4", f"<t>!{PROMPT}x</t>4"),  # the longer start has no end, the shorter one has
        (f"<t>!{PROMPT}x", "<t>!x"),
        (f"<t>!{PROMPT}x!</t>4", "<t>!x!</t>4"),
    ],
)
def test_summaries_in_a_block_whose_start_is_like_another(content: str, cleaned: str) -> None:
    message = cleaned_answer(assistant(content=content), markers=ALIKE, keep_reasoning=True)
    assert message["content"] == cleaned
