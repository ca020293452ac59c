"""The channel format of gpt-oss, where it comes as text."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.test_reasoning import account_of, cuts, pieces_of, split, splitter_for
from trio_gateway.core.config.families import DEFAULT_MODELS
from trio_gateway.core.reasoning import Output, Piece, Reasoning, Reclassified, ToolCall

HARMONY = DEFAULT_MODELS["gpt-oss"]
ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
CALL = "<|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>"


@pytest.mark.parametrize(
    ("text", "reasoning", "output"),
    [
        (f"{ANALYSIS}a<|end|>{FINAL}b<|return|>", "a", "b"),
        (f"{ANALYSIS}\n a \n<|end|>\n{FINAL}\n b \n<|return|>\n", "a", "b"),
        (f"{ANALYSIS}a<|end|><|start|>assistant{ANALYSIS}b<|end|>{FINAL}c", "a\nb", "c"),
        (f"{ANALYSIS}a<|end|><|channel|>commentary<|message|>b<|end|>{FINAL}c", "a", "b\nc"),
        (f"{ANALYSIS}a<|end|>{FINAL}b<|end|><|start|>assistant{ANALYSIS}c<|end|>{FINAL}d", "a\nc", "b\nd"),
        # a new header ends a message as well
        (f"{ANALYSIS}a{FINAL}b", "a", "b"),
        ("<|start|>assistant<|message|>b", "", "b"),
        ("<|channel|>other<|message|>b<|end|>", "", "b"),
        # tokens count everywhere, also in code; what is none is text
        (f"{ANALYSIS}`a<|end|>{FINAL}```\nb<|return|>", "`a", "```\nb"),
        (f"{FINAL}a < b <| c |> <|x|>", "", "a < b <| c |> <|x|>"),
        (f"{FINAL}<think>a</think>", "", "<think>a</think>"),
        ("plain <|message|>", "", "plain <|message|>"),
        # an open message
        (ANALYSIS + "a", "", "a"),
        (f"{ANALYSIS}a<|end|>", "a", ""),
        # a header that is none, and one that the end cuts off
        (f"<|start|>{'x' * 201}<|message|>b", "", "x" * 201 + "<|message|>b"),
        ("a<|channel|>final", "", "a<|channel|>final"),
        (f"{ANALYSIS}a<|end|><|start|>assistant", "a", ""),
        (f"{FINAL}b<|retur", "", "b<|retur"),
    ],
)
def test_channels(text: str, reasoning: str, output: str) -> None:
    assert split(HARMONY, text) == (reasoning, output)


def calls_of(pieces: list[Piece]) -> list[tuple[int, str | None, str]]:
    calls: dict[int, tuple[int, str | None, str]] = {}
    for piece in pieces:
        if isinstance(piece, ToolCall):
            _, name, arguments = calls.get(piece.index, (0, piece.name, ""))
            calls[piece.index] = piece.index, name, arguments + piece.arguments
    return list(calls.values())


@pytest.mark.parametrize(
    ("text", "calls", "account"),
    [
        (f'{ANALYSIS}a<|end|>{CALL}{{"x": "<b>"}}<|call|>', [(0, "add", '{"x": "<b>"}')], ("a", "")),
        (f"{CALL}{{}}<|call|>{CALL}[ ]<|call|>{FINAL}b", [(0, "add", "{}"), (1, "add", "[ ]")], ("", "b")),
        (f"{FINAL}b<|end|>{CALL}{{}}<|call|>{FINAL}c", [(0, "add", "{}")], ("", "b\nc")),
        (
            "<|start|>assistant to=functions.a.b<|channel|>commentary<|message|>{}",
            [(0, "a.b", "{}")],
            ("", ""),
        ),
        ("<|channel|>commentary to=browser.search<|message|>{}", [(0, "browser.search", "{}")], ("", "")),
        ("<|channel|>analysis to=python<|message|>a<|call|>", [], ("a", "")),
    ],
)
def test_tool_calls(text: str, calls: list[tuple[int, str, str]], account: tuple[str, str]) -> None:
    for parts in cuts(text):
        pieces = pieces_of(HARMONY, *parts)
        assert (calls_of(pieces), account_of(pieces)) == (calls, account)


def test_the_name_stands_on_the_first_piece_only() -> None:
    assert pieces_of(HARMONY, CALL, "{", '"x": 1 ', "}<|call|>") == [
        ToolCall(0, "add", ""),
        ToolCall(0, None, "{"),
        ToolCall(0, None, '"x": 1'),
        ToolCall(0, None, " }"),
    ]


def test_what_comes_beside_the_text() -> None:
    splitter = splitter_for(HARMONY)
    assert splitter.feed(f"{ANALYSIS}a") == [Reasoning("a")]
    assert splitter.end_reasoning() == []
    assert splitter.feed("b") == [Output("b")]
    assert splitter.structured() == []
    assert splitter.feed(FINAL) == [Output(FINAL)]


def test_a_prompt_that_opened_a_message() -> None:
    model = replace(HARMONY, starts_in_reasoning=True)
    assert split(model, f"\na<|end|>{FINAL}b") == ("\na", "b")
    assert split(model, f" {ANALYSIS}a<|end|>{FINAL}b") == ("a", "b")


def test_open_message() -> None:
    assert pieces_of(HARMONY, f"{ANALYSIS}a") == [Reasoning("a"), Reclassified("a", given=1)]
    assert pieces_of(HARMONY, f"{ANALYSIS}a", finish="length") == [Reasoning("a")]
