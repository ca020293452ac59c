"""The channel format of gpt-oss, where it comes as text."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.splitting import account_of, cuts, pieces_of, split, splitter_for
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS, family_of
from trio_gateway.core.reasoning import Output, Piece, Reasoning, ReasoningSplitter, Reclassified, ToolCall

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


GPT_OSS = DEFAULT_MODELS["gpt-oss"]
A_CALL = "<|channel|>analysis<|message|>a<|end|><|start|>assistant"


def everywhere_cut(model: ModelConfig, text: str) -> tuple[str, str, list[tuple[str | None, str]]]:
    """Reasoning, output and tool calls of *text*, which must not depend on how it is cut."""
    found = []
    for pieces in ([text], list(text)):
        splitter = ReasoningSplitter(model)
        given: list[Piece] = [piece for part in pieces for piece in splitter.feed(part)]
        given += splitter.finish("stop")
        calls: dict[int, tuple[str | None, str]] = {}
        for piece in given:
            if isinstance(piece, ToolCall):
                name, arguments = calls.get(piece.index, (None, ""))
                calls[piece.index] = (piece.name or name, arguments + piece.arguments)
        reasoning = "".join(piece.text for piece in given if isinstance(piece, Reasoning))
        output = "".join(piece.text for piece in given if isinstance(piece, Output | Reclassified))
        found.append((reasoning, output, list(calls.values())))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("analysisWe add.assistantfinal4", ("We add.", "4", [])),
        ("analysis\u201cadd\u201dassistantfinalassistantfinal", ("\u201cadd\u201d", "assistantfinal", [])),
        (
            'analysisUse it.assistantcommentary to=functions.f json{"a": 1}assistantfinal4',
            ("Use it.", "4", [("f", '{"a": 1}')]),
        ),
        ("analysisUse it.assistantcommentaryI call.assistantfinal4", ("Use it.", "I call.\n4", [])),
        (
            "analysisAn assistant said.assistantanalysisMore.assistantfinal4",
            ("An assistant said.\nMore.", "4", []),
        ),
        ("analysis of it", ("", "analysis of it", [])),
        ("analysis", ("", "analysis", [])),
        ("<reasoning>a</reasoning>4", ("a", "4", [])),
        ("<think>a</think>4", ("a", "4", [])),
        (
            A_CALL
            + "<|channel|>commentary to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
            ("a", "", [("f", "{}")]),
        ),
        (A_CALL + " to=functions.f<|channel|>analysis code<|message|>{}<|call|>", ("a", "", [("f", "{}")])),
        (A_CALL + "<|channel|>commentary to=assistant<|message|>4<|end|>", ("a", "4", [])),
        (A_CALL + "<|channel|>analysis<|channel|>final of it<|message|>4<|return|>", ("a", "4", [])),
        ("<|channel|>commentary to=functions.f<|message|>{}<|call|>", ("", "", [("f", "{}")])),
    ],
)
def test_what_gpt_oss_and_its_hosts_make_of_the_format(
    text: str, expected: tuple[str, str, list[tuple[str | None, str]]]
) -> None:
    assert everywhere_cut(GPT_OSS, text) == expected


@pytest.mark.parametrize("model_id", ["gpt-4o", "qwen3:8b", "deepseek-r1", "default", "mock-harmony"])
def test_its_tokens_count_at_the_head_of_any_answer(model_id: str) -> None:
    text = A_CALL + "<|channel|>final<|message|>4<|return|>"
    assert everywhere_cut(family_of(model_id), text) == ("a", "4", [])
    bare = ModelConfig()  # an entry that names no markers
    assert everywhere_cut(bare, text) == ("", text, [])


@pytest.mark.parametrize(
    ("model_id", "tag", "counts"),
    [
        ("seed-oss-36b", "think", True),
        ("seed-oss-36b", "thinking", True),
        ("seed-oss-36b", "reasoning", False),
        ("gpt-4o", "thinking", True),
        ("gpt-4o", "thought", False),
        ("gpt-4o", "reason", False),
        ("default", "reason", True),
        ("gemma-4", "thought", True),
    ],
)
def test_tags_at_the_head(model_id: str, tag: str, counts: bool) -> None:
    text = f"<{tag}>a</{tag}>4"
    model = family_of(model_id)
    assert everywhere_cut(model, text) == (("a", "4", []) if counts else ("", text, []))
    assert everywhere_cut(model, f"4\n{text}")[0] in {"", "a"}
    own = replace(model, markers=(("<own>", "</own>"),), wrappers=(), prose_starts=())
    assert everywhere_cut(own, text) == ("", text, [])
