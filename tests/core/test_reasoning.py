"""The splitter by its rules, a table for each; every text is fed whole, in small parts, and cut once everywhere."""

from __future__ import annotations

import codecs
import json
import string
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.core.splitting import PieceBuffer, account_of, cuts, pieces_of, split, splitter_for
from trio_gateway.core.budgets.held_bytes import ByteBudget
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS
from trio_gateway.core.reasoning import (
    Output,
    Reasoning,
    ReasoningSplitter,
    Reclassified,
    nesting,
    starts_in_reasoning,
)
from trio_gateway.core.reasoning import piece_buffer as account
from trio_gateway.core.reasoning.splitter import UNWRAPPED

_PAIR = (("<think>", "</think>"),)
THINK = ModelConfig(markers=_PAIR)
STARTED = ModelConfig(markers=_PAIR, starts_in_reasoning=True)
TOOLS = ModelConfig(markers=_PAIR, tool_markers=("<tool_call>",))
MANY = ModelConfig(markers=(*_PAIR, ("<thinking>", "</thinking>"), ("[T]", "[/T]"), ("[T]", "[END]")))
ANSWER = ModelConfig(
    markers=_PAIR, wrappers=(("<answer>", "</answer>"), ("[A]", "[/A]"), ("", "[END FINAL RESPONSE]"))
)
GRANITE = DEFAULT_MODELS["granite-3.2"]
APRIEL = DEFAULT_MODELS["apriel-thinker"]
GEMMA = DEFAULT_MODELS["gemma-4"]


# The shared cases

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "reasoning_cases.jsonl")
    .read_text("utf-8")
    .splitlines()
]


def case_model(config: dict[str, Any]) -> ModelConfig:
    return ModelConfig(
        dialect=config["format"],
        markers=tuple(map(tuple, config["pairs"])),
        starts_in_reasoning=config["implied_start"],
        wrappers=tuple(map(tuple, config["content_wrappers"])),
        tool_markers=tuple(config["tool_starts"]),
        label=config["label"],
        prose_starts=tuple(config["nl_starts"]),
        prose_ends=tuple(config["nl_ends"]),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_shared_case(case: dict[str, Any]) -> None:
    reasoning, output = split(case_model(case["config"]), case["text"], case["config"]["finish_reason"])
    assert (reasoning.strip(), output.strip()) == (case["expect_reasoning"], case["expect_content"])


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case["text"].isascii()], ids=lambda case: case["id"]
)
def test_bytes_cut_inside_characters(case: dict[str, Any]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    parts = [decoder.decode(bytes([byte])) for byte in case["text"].encode()]
    pieces = pieces_of(case_model(case["config"]), *parts, finish=case["config"]["finish_reason"])
    reasoning, output = account_of(pieces)
    assert (reasoning.strip(), output.strip()) == (case["expect_reasoning"], case["expect_content"])


# The rules; accounts are exact, whitespace too

Row = tuple[ModelConfig, str, str, str]


@pytest.mark.parametrize(
    ("model", "text", "reasoning", "output"),
    [
        # at the head, after whitespace or a byte order mark
        (THINK, "<think>a</think>b", "a", "b"),
        (THINK, " \n\ufeff <think>a</think>b", "a", "b"),
        (THINK, "\ufeffHello", "", "\ufeffHello"),
        # at the start of a line
        (THINK, "b\n<think>a</think>c", "a", "b\nc"),
        (THINK, "b <think>a</think>c", "", "b <think>a</think>c"),
        (THINK, "b\n <think>a</think>c", "", "b\n <think>a</think>c"),
        # never inside a fence
        (THINK, "b\n```\n<think>\n```\nc", "", "b\n```\n<think>\n```\nc"),
        (THINK, "b\n~~~~ html\n<think>\n~~~\n<think>\n~~~~\nc", "", "b\n~~~~ html\n<think>\n~~~\n<think>\n~~~~\nc"),
        (THINK, "1. b\n   ```\n<think>\n", "", "1. b\n   ```\n<think>\n"),
        (THINK, "b\n```\nc\n```\n<think>a</think>d", "a", "b\n```\nc\n```\nd"),
        (THINK, "b\n````\n```\n<think>\n````\n<think>a</think>d", "a", "b\n````\n```\n<think>\n````\nd"),
        (THINK, "b\n<think>a</think>~~~\n<think>\n~~~\n<think>c</think>d", "a\nc", "b\n~~~\n<think>\n~~~\nd"),
        # never between backticks, which a blank line parts
        (THINK, "b `\n<think>` c", "", "b `\n<think>` c"),
        (THINK, "b ``a`\n<think>`` c", "", "b ``a`\n<think>`` c"),
        (THINK, "b `c`\n<think>a</think>d", "a", "b `c`\nd"),
        (THINK, "b ` c\n\n<think>a</think>d", "a", "b ` c\nd"),
        (THINK, "```b```\n<think>a</think>d", "a", "```b```\nd"),
        (THINK, "`<think>` is a tag", "", "`<think>` is a tag"),
        # prose counts at the head only, and a typographic apostrophe is one
        (GRANITE, "Here’s my thought process: a Here is my response: b", "a", "b"),
        (GRANITE, "b\nHere is my thought process: a Here is my response: c", "", "b\nHere is my thought process: a Here is my response: c"),
        (GRANITE, "Here is my thought", "", "Here is my thought"),
        (ModelConfig(markers=(("I say:", "So:"),)), "b\nI say: a So: c", "", "b\nI say: a So: c"),
        (APRIEL, "Here are my reasoning steps:\na\n[BEGIN FINAL RESPONSE]\nb\n[END FINAL RESPONSE]", "a", "b"),
        # the longest start wins, each with its own ends
        (MANY, "<thinking>a</think></thinking>b", "a</think>", "b"),
        (MANY, "[T]a</think>[END]b", "a</think>", "b"),
        (ModelConfig(markers=(("[", "]"), ("[[", "]]"))), "[[a]b]]c", "a]b", "c"),
        (ModelConfig(markers=(("[", "]"), ("[[", "]]"))), "[a]b", "a", "b"),
        (ModelConfig(markers=(("[[x", "]"), ("[T]", "|"))), "[[T]", "", "[[T]"),
        (ModelConfig(markers=(("[a", "[["), ("[a", "[T]"))), "[a[[T]b", "", "T]b"),
        (ModelConfig(markers=(("[a", "[[x"), ("[a", "[T]"))), "[a[[T]b", "[", "b"),
        # names in either case, attributes
        (THINK, "<THINK>a</Think>b", "a", "b"),
        (THINK, '<think type="x">a</think>b', "a", "b"),
        (THINK, f"<think {'x' * 64}>a</think>b", "a", "b"),
        (THINK, f"<think {'x' * 65}>a</think>b", "", f"<think {'x' * 65}>a</think>b"),
        (THINK, "<think a<b>a</think>b", "", "<think a<b>a</think>b"),
        (THINK, "<think\na>a</think>b", "", "<think\na>a</think>b"),
        (THINK, "<think>a</think >b</think>c", "a</think >b", "c"),
        (THINK, "<thin\u212a>a", "", "<thin\u212a>a"),
        (MANY, "[t]a[/t]", "", "[t]a[/t]"),
        (ModelConfig(markers=(("Here’s how:", "That’s it:"),)), "Here's how: a That's it: b", "a", "b"),
    ],
)  # fmt: skip
def test_where_a_start_counts(model: ModelConfig, text: str, reasoning: str, output: str) -> None:
    assert split(model, text) == (reasoning, output)


_HOLD = "x" * nesting.HOLD


@pytest.mark.parametrize("finish", ["stop", "length", None])
@pytest.mark.parametrize(
    ("model", "text", "reasoning", "output"),
    [
        # an end that another one follows belongs to the inner start
        (THINK, "<think>a<think>b</think>c</think>d", "a<think>b</think>c", "d"),
        (THINK, "<think>a <THINK x='1'>b</think>\n\nc\n</think>\n\nd", "a <THINK x='1'>b</think>\n\nc", "d"),
        (THINK, "<think>a\n<think>\nb\n</think>\n\nc\n</think>\n\nd", "a\n<think>\nb\n</think>\n\nc", "d"),
        (THINK, "<think>a<think>b<think>c</think>d</think>e</think>f", "a<think>b<think>c</think>d</think>e", "f"),
        (THINK, "<think>a<think>b</think>c<think>d</think>e</think>f", "a<think>b</think>c<think>d</think>e", "f"),
        (THINK, "<think>a\n<think>b<think>c</think>d</think>e</think>f", "a\n<think>b<think>c</think>d</think>e", "f"),
        (THINK, "<think>a `<think>` and `</think>`.</think>d", "a `<think>` and `</think>`.", "d"),
        (STARTED, "a<think>b</think>c</think>d", "a<think>b</think>c", "d"),
        (STARTED, "<think>a<think>b</think>c</think>d", "a<think>b</think>c", "d"),
        (THINK, "<think>a<think>b</think>c <tx </thx</think>d", "a<think>b</think>c <tx </thx", "d"),
        # without another end soon it is the block's
        (THINK, "<think>a<think>b</think>c", "a<think>b", "c"),
        (THINK, "<think>a\n<think>b</think>\n\nc", "a\n<think>b", "c"),
        (THINK, "<think>a<think>b</think>", "a<think>b", ""),
        (THINK, f"<think>a<think>b</think>{_HOLD}</think>c", "a<think>b", f"{_HOLD}</think>c"),
        (THINK, f"<think>a<think>b</think>{_HOLD[8:]}</think>c", f"a<think>b</think>{_HOLD[8:]}", "c"),
        # an answer may show how it is done
        (THINK, "<think>a<think>b</think>c <think>d</think>e", "a<think>b", "c <think>d</think>e"),
        # an end alone on its line is none of a start that is only named
        (THINK, "<think>a <think> b\n</think>\n\nc</think>d", "a <think> b", "c</think>d"),
        (THINK, "<think>a <think> b\n </think> \nc</think>d", "a <think> b", "c</think>d"),
        (THINK, "<think>a <think> b\n</think>", "a <think> b", ""),
        (THINK, "<think>a <think> b\n</think> c</think>d", "a <think> b\n</think> c", "d"),
        # a start that is repeated is none inside
        (THINK, "<think>\n<think>\na\n</think>\nb</think>c", "<think>\na", "b</think>c"),
        # those of another pair are none
        (MANY, "<think>a<thinking>b</think>c</think>d", "a<thinking>b", "c</think>d"),
        (MANY, "[T]a[T]b[/T]c[END]d", "a[T]b[/T]c", "d"),
        # a tool call ends reasoning
        (TOOLS, "<think>a<think>b</think>c<tool_call></think>", "a<think>b", "c<tool_call></think>"),
        (TOOLS, "<think>a<think>b<tool_call></think>c</think>", "a<think>b", "<tool_call></think>c</think>"),
        # each block has its own
        (THINK, "<think>a<think>b</think>c</think>d\n<think>e</think>f</think>", "a<think>b</think>c\ne", "d\nf</think>"),
    ],
)  # fmt: skip
def test_a_start_inside_a_block(
    model: ModelConfig, text: str, reasoning: str, output: str, finish: str | None
) -> None:
    assert split(model, text, finish) == (reasoning, output)


@pytest.mark.parametrize("beside", ["structured", "call"])
@pytest.mark.parametrize("text", ["<think>a<think>b</think> c", "<think>a\n<think>b</think>\nc"])
def test_what_comes_beside_decides_about_an_end_in_doubt(text: str, beside: str) -> None:
    thought = text.removeprefix("<think>").partition("</think>")[0]
    for cut in cuts(text):
        splitter = splitter_for(THINK)
        pieces = [piece for part in cut for piece in splitter.feed(part)]
        pieces += splitter.structured() if beside == "structured" else splitter.end_reasoning()
        assert account_of(pieces) == (thought, "c")


def test_every_character_of_a_marker_stands_for_itself() -> None:
    start = string.printable.strip()
    assert split(ModelConfig(markers=((start, "</think>"),)), f"{start}a</think>b") == ("a", "b")
    spellings = {char for char in string.printable if split(THINK, f"<thin{char}>a</think>b") == ("a", "b")}
    assert spellings == {"k", "K"}


@pytest.mark.parametrize(
    ("model", "text", "reasoning", "output"),
    [
        # the first end closes; a foreign end, and what comes after are text
        (THINK, "<think>a</thinking>b</think>c</think>d", "a</thinking>b", "c</think>d"),
        (THINK, "<think>a</think>b\n</think>\nc", "a", "b\n</think>\nc"),
        # the prompt has opened the block
        (STARTED, "a</think>b", "a", "b"),
        (STARTED, "\n<think>\na</think>b", "a", "b"),
        (STARTED, "\n\na\n</think>\n\nb", "\n\na", "b"),
        (STARTED, "</think>b", "", "b"),
        (STARTED, "a</think>b\n<think>c</think>d", "a\nc", "b\nd"),
        (ModelConfig(markers=MANY.markers, starts_in_reasoning=True), "a</thinking>b", "a", "b"),
        (ModelConfig(markers=MANY.markers, starts_in_reasoning=True), "<think>a</thinking></think>b", "a</thinking>", "b"),
        # blocks again; whitespace at markers goes, a newline joins
        (THINK, "<think>a</think><think>b</think>c", "a\nb", "c"),
        (THINK, "<think> </think> <think>b</think>c", "b", "c"),
        (THINK, "b \n\n<think>\na\n</think>\n\n c", "a", "b\nc"),
        (THINK, "b\n<think>a</think>", "a", "b"),
        (THINK, "b\n<think>a</think><think>c</think><think>d</think>e", "a\nc\nd", "b\ne"),
        (THINK, "<think>a</think>b  c \n", "a", "b  c \n"),
        # only 64 characters of whitespace belong to a marker that comes after them
        (THINK, "b" + "\n" * 66 + "<think>a</think>", "a", "b\n\n"),
        (THINK, " " * 66 + "<think>a" + " " * 66 + "</think>" + " " * 66 + "b", "a  ", "  b"),
        (STARTED, " " * 66 + "<think>a</think>b", "  a", "b"),
        (THINK, " " * 66 + "b" + " " * 66, "", " " * 66 + "b" + " " * 66),
        # tool calls in the text
        (TOOLS, "<think>a\n<tool_call>{}</tool_call>", "a", "<tool_call>{}</tool_call>"),
        (TOOLS, '<think>a<TOOL_CALL id="1">', "a", '<TOOL_CALL id="1">'),
        (TOOLS, "b\n<think>a<tool_call>\n{}", "a", "b\n<tool_call>\n{}"),
        (TOOLS, "<think>a<tool_call>{}\n<think>c</think>d", "a\nc", "<tool_call>{}\nd"),
        # the beginning of a marker at the end of the text is text
        (THINK, "<think>a</think>b\n<thi", "a", "b\n<thi"),
        (THINK, "<think >", "", ""),
        (THINK, "<think ", "", "<think "),
        # no markers at all
        (ModelConfig(), " <think>a</think> ", "", " <think>a</think> "),
        (THINK, " \n ", "", " \n "),
        (THINK, "", "", ""),
    ],
)  # fmt: skip
def test_blocks(model: ModelConfig, text: str, reasoning: str, output: str) -> None:
    assert split(model, text) == (reasoning, output)


@pytest.mark.parametrize(
    ("text", "reasoning", "output"),
    [
        ("<think>a</think>\n<answer>\n4\n</answer>\n", "a", "4"),
        ("<ANSWER lang='en'>4</Answer>", "", "4"),
        ("b\n<answer>4</answer>\nc", "", "b\n4\nc"),
        ("<answer>4</answer>5", "", "4\n5"),
        ("<answer>4</answer>\n<think>a</think>5", "a", "4\n5"),
        ("<answer>a</answer>b</answer>c", "", "a\nb</answer>c"),
        ("b <answer>4</answer>", "", "b <answer>4</answer>"),
        ("b</answer>", "", "b</answer>"),
        (
            "<answer>use `</answer>`\n```\n</answer>\n```</answer>b",
            "",
            "use `</answer>`\n```\n</answer>\n```\nb",
        ),
        ("```\n<answer>", "", "```\n<answer>"),
        ("Four. [END FINAL RESPONSE]", "", "Four."),
        ("[END FINAL RESPONSE]", "", ""),
        ("`[END FINAL RESPONSE]`", "", "`[END FINAL RESPONSE]`"),
        ("<answer>4</ans", "", "4</ans"),
        # a promoted block loses them too
        ("<think>\n<answer>4</answer>", "", "4"),
        ("<answer>\n<think>4</answer>", "", "4"),
    ],
)
def test_wrappers(text: str, reasoning: str, output: str) -> None:
    assert split(ANSWER, text) == (reasoning, output)


@pytest.mark.parametrize(
    ("text", "reasoning", "output"),
    [
        ("<|channel>thought\nAdd.<channel|>Four.", "Add.", "Four."),
        ("<|channel> \nthought\n\n Add.<channel|>Four.", "Add.", "Four."),
        ("<|channel>thoughts<channel|>Four.", "thoughts", "Four."),
        ("<|channel>thought", "", "thought"),
        ("<|channel>thought\n", "", ""),
        ("b\n<|channel>thought\nAdd", "", "b\n<|channel>thought\nAdd"),
    ],
)
def test_label(text: str, reasoning: str, output: str) -> None:
    assert split(GEMMA, text) == (reasoning, output)


OPEN_BLOCK = [
    # a block that never ended
    (THINK, "<think> a ", "stop", "", "a "),
    (STARTED, "\n a", "stop", "", "\n a"),
    (THINK, "<think>a", "length", "a", ""),
    (THINK, "<think>a", "tool_calls", "a", ""),
    (THINK, "<think>a", None, "a", ""),
    (THINK, "<think>a</think>\n<think>b", "stop", "a", "b"),
    (THINK, "<think>a</think>\n<think>b", "length", "a\nb", ""),
    # after output: with its marker and whitespace, as it stood
    (THINK, "b \n<think>\n a", "stop", "", "b \n<think>\n a"),
    (THINK, "b\n<think>", "stop", "", "b\n<think>"),
    (THINK, "b\n<think>a", "length", "a", "b"),
    (THINK, "b\n<think>a</think>\n\n<think>c", "stop", "a", "b\n<think>c"),
    # nothing to promote, and a closed block
    (THINK, "<think>\n", "stop", "", ""),
    (STARTED, "\n", "stop", "\n", ""),
    (THINK, "<think>a</think>\n", "stop", "a", ""),
]


@pytest.mark.parametrize(("model", "text", "finish", "reasoning", "output"), OPEN_BLOCK)
def test_open_block(model: ModelConfig, text: str, finish: str | None, reasoning: str, output: str) -> None:
    assert split(model, text, finish) == (reasoning, output)
    splitter = splitter_for(model)
    pieces = splitter.feed(text) + splitter.finish(finish)
    assert splitter.promoted == any(isinstance(piece, Reclassified) for piece in pieces)


def test_a_promotion_says_what_it_takes_back() -> None:
    splitter = splitter_for(THINK)
    assert splitter.feed("<think>a</think><think>b ") == [Reasoning("a"), Reasoning("\nb")]
    assert splitter.finish("stop") == [Reasoning(" "), Reclassified("b ", given=3)]
    assert splitter.finish("stop") == []


@pytest.mark.parametrize(("size", "promoted"), [(account.KEPT, True), (account.KEPT + 1, False)])
def test_only_so_much_is_kept(size: int, promoted: bool) -> None:
    splitter = splitter_for(THINK)
    splitter.feed("<think>")
    for _ in range(size // 65536):
        splitter.feed("a" * 65536)
    splitter.feed("a" * (size % 65536))
    assert [len(piece.text) for piece in splitter.finish("stop")] == [size] * promoted  # type: ignore[union-attr]
    assert splitter.promoted is promoted


@pytest.mark.parametrize(
    ("model", "start", "end"),
    [
        (THINK, "<think>", "</think>"),
        (TOOLS, "<think>", "<tool_call>"),
        (ModelConfig(prose_starts=("Let me think",), prose_ends=("So,",), prose_hold=0), "Let me think.", ". So, b"),
    ],
)  # fmt: skip
def test_a_block_is_kept_until_it_is_closed(model: ModelConfig, start: str, end: str) -> None:
    splitter = splitter_for(model)
    tracemalloc.start()
    try:
        splitter.feed(start)
        for number in range(100):
            splitter.feed(f"{number:a>4096}")
        kept, _ = tracemalloc.get_traced_memory()
        splitter.feed(end)
        splitter.feed("b")
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept > 100 * 4096 > 10 * left


ORPHANS = [
    # streamed: dropped and counted; whole: what came before it was reasoning
    ("a\n</think>\nb", ("", "a\nb"), ("a", "b"), 1),
    ("a\n</THINK> \t\r\n\nb", ("", "a\nb"), ("a", "b"), 1),
    ("\n</think>\nb", ("", "b"), ("", "b"), 1),
    ("a\n</think>", ("", "a"), ("a", ""), 1),
    ("a\n</think>\nb\n</think>\nc", ("", "a\nb\n</think>\nc"), ("a", "b\n</think>\nc"), 1),
    ("a\n</think>\n</think>b", ("", "a\nb"), ("a", "b"), 1),
    ("a\n</think>\nb\n<think>c</think>d", ("c", "a\nb\nd"), ("a\nc", "b\nd"), 1),
    (" " * 66 + "a\n</think>\nb", ("", " " * 66 + "a\nb"), (" " * 66 + "a", "b"), 1),
    # anywhere else it is text
    ("a\n</think> b", ("", "a\n</think> b"), ("", "a\n</think> b"), 0),
    (f"a\n</think>{' ' * 65}\nb", ("", f"a\n</think>{' ' * 65}\nb"), ("", f"a\n</think>{' ' * 65}\nb"), 0),
    ("a </think>\nb", ("", "a </think>\nb"), ("", "a </think>\nb"), 0),
    ("</think>b", ("", "</think>b"), ("", "</think>b"), 0),
    ("a\n```\n</think>\n```\nb", ("", "a\n```\n</think>\n```\nb"), ("", "a\n```\n</think>\n```\nb"), 0),
    ("<think>a</think>b\n</think>\nc", ("a", "b\n</think>\nc"), ("a", "b\n</think>\nc"), 0),
    ("b\n<think>a</think>c", ("a", "b\nc"), ("a", "b\nc"), 0),
    ("plain", ("", "plain"), ("", "plain"), 0),
]


@pytest.mark.parametrize(("text", "streamed", "whole", "count"), ORPHANS)
def test_orphan_end(text: str, streamed: PieceBuffer, whole: PieceBuffer, count: int) -> None:
    assert split(THINK, text) == streamed
    assert split(THINK, text, whole=True) == whole
    for parts in cuts(text):
        splitter = splitter_for(THINK)
        for part in parts:
            splitter.feed(part)
        splitter.finish("stop")
        assert splitter.orphans == count


HERE = "Here is my response: "
SURPLUS = [
    # directly behind a block, one of its ends is one too many, however often it comes
    (THINK, "<think>\n<think>\nA\n</think>\n</think>\nAns", "<think>\nA", "Ans"),
    (THINK, "<think></think></think>Ans", "", "Ans"),
    (THINK, "<think>a</think></THINK> \n\n</think>\tAns", "a", "Ans"),
    (THINK, "<think>a</think></think>", "a", ""),
    (THINK, "<think>a</think></think>\n<think>c</think></think>Ans", "a\nc", "Ans"),
    (THINK, "b\n<think>a</think></think>Ans", "a", "b\nAns"),
    (THINK, "<think>a <think>b</think> c</think></think>Ans", "a <think>b</think> c", "Ans"),
    (STARTED, "a</think></think>Ans", "a", "Ans"),
    (MANY, "[T]a[END][/T]Ans", "a", "Ans"),
    (ANSWER, "<think>a</think></think><answer>b</answer>", "a", "b"),
    # cut short it is text
    (THINK, "<think>a</think></thi", "a", "</thi"),
    (THINK, "<think>a</think></thin>Ans", "a", "</thin>Ans"),
    # another block's is text, and so is one behind anything else
    (MANY, "<think>a</think></thinking>Ans", "a", "</thinking>Ans"),
    (THINK, "<think>a</think>b</think>c", "a", "b</think>c"),
    (THINK, "<think>a</think></think>b\n</think>\nc", "a", "b\n</think>\nc"),
    (THINK, "<think>a</think>`</think>` c", "a", "`</think>` c"),
    (ANSWER, "<think>a</think><answer></think>b</answer>", "a", "</think>b"),
    (TOOLS, "<think>a<tool_call></think>", "a", "<tool_call></think>"),
    # words are an answer's own
    (GRANITE, f"Here is my thought process: a {HERE}{HERE}b", "a", f"{HERE}b"),
]


@pytest.mark.parametrize(("model", "text", "reasoning", "output"), SURPLUS)
@pytest.mark.parametrize("whole", [False, True])
def test_an_end_behind_the_end_of_its_block(
    model: ModelConfig, text: str, reasoning: str, output: str, whole: bool
) -> None:
    assert split(model, text, whole=whole) == (reasoning, output)


def test_an_orphan_end_that_elsewhere_closes_a_wrapper() -> None:
    model = ModelConfig(markers=(("<t>", "</t>"),), wrappers=(("", "</t>"),))
    assert split(model, "a\n</t>\nb", whole=True) == ("a", "b")
    assert split(model, "a\n</t>\nb") == ("", "a\nb")
    assert split(model, "a </t> b", whole=True) == ("", "a\nb")


def test_a_splitter_assumes_nothing_unasked() -> None:
    assert ReasoningSplitter(THINK).feed("a") == [Output("a")]


def test_what_is_whole_gives_output_only_once_it_is_certain() -> None:
    splitter = splitter_for(THINK, whole=True)
    assert splitter.feed("a") == splitter.feed("b") == []
    assert splitter.feed("\n<think>c") == [Output("ab"), Reasoning("c")]
    assert splitter.feed("</think>d") == [Output("\nd")]
    assert [
        *splitter_for(THINK, whole=True).feed("a"),
        *splitter_for(STARTED, whole=True).feed("a</think>b"),
    ] == [
        Reasoning("a"),
        Output("b"),
    ]


def test_what_is_whole_leaves_at_once_where_reasoning_is_structured() -> None:
    splitter = splitter_for(THINK, whole=True)
    splitter.feed("a ")
    assert splitter.structured() == [Output("a"), Output(" ")]
    assert splitter.feed("b") == [Output("b")]


def test_no_orphan_of_prose_or_of_a_model_that_starts_in_reasoning() -> None:
    assert split(GRANITE, "a\nHere is my response:\nb") == ("", "a\nHere is my response:\nb")
    assert split(STARTED, "a</think>b\n</think>\nc") == ("a", "b\n</think>\nc")


# A start that other answers made likely


@pytest.mark.parametrize("finish", ["stop", "length", None])
@pytest.mark.parametrize(
    ("model", "text", "reasoning", "output"),
    [
        # an end marker confirms it where it counts without the presumption, and nowhere else
        (THINK, "a\n</think>\nb", "a", "b"),
        (THINK, "\n a\n</THINK>\n\nb\n</think>\nc", "\n a", "b\n</think>\nc"),
        (THINK, "\n</think>\nb", "", "b"),
        (THINK, "a\n</think>\n<think>b</think>c", "a\nb", "c"),
        (THINK, "plain, and no more ", "", "plain, and no more "),
        (THINK, "an </think> inline", "", "an </think> inline"),
        (THINK, "a\n```\n</think>\n```\nb", "", "a\n```\n</think>\n```\nb"),
        # fenced code that is quoted must not open the block behind it
        (THINK, "a\n```\n</think>\n```\nb\n<think>c</think>d", "c", "a\n```\n</think>\n```\nb\nd"),
        # the model marks its reasoning itself
        (THINK, "<think>a</think>b", "a", "b"),
        (THINK, "b\n<think>a</think>c\n</think>\nd", "a", "b\nc\n</think>\nd"),
        (ANSWER, "<answer>4</answer>", "", "4"),
        (ANSWER, "b\n<answer>4</answer>\nc", "", "b\n4\nc"),
        (ANSWER, "b [END FINAL RESPONSE]", "", "b"),
        (STARTED, "a</think>b", "a", "b"),
        (THINK, "", "", ""),
    ],
)
def test_a_presumed_start(
    model: ModelConfig, text: str, reasoning: str, output: str, finish: str | None
) -> None:
    assert split(model, text, finish, presumed=True) == (reasoning, output)


def test_what_is_presumed_to_be_reasoning_is_given_at_once() -> None:
    splitter = splitter_for(THINK, presumed=True)
    assert [*splitter.feed("a"), *splitter.feed(" b")] == [Reasoning("a"), Reasoning(" b")]
    assert splitter.finish("length") == [Reclassified("a b", 3)]
    assert splitter.promoted


def test_what_is_whole_needs_no_presumption() -> None:
    assert splitter_for(THINK, whole=True, presumed=True).feed("a") == []


def test_a_presumption_ends_before_its_text_could_be_lost() -> None:
    splitter = splitter_for(THINK, presumed=True)
    full = [*splitter.feed("a" * account.KEPT), *splitter.feed("b"), *splitter.feed("c")]
    assert account_of(full) == ("", "a" * account.KEPT + "bc")
    assert splitter.feed("\n</think>\nd") == [Output("\nd")]
    assert splitter.orphans == 1


@pytest.mark.parametrize(
    ("before", "beside", "after", "account"),
    [
        ("a", "structured", "\n</think>\nb", ("", "a\n</think>\nb")),
        ("a\n</think>\n", "structured", "b", ("a", "b")),
        ("", "structured", "b", ("", "b")),
        ("a", "call", "b", ("", "ab")),
        ("", "call", "b", ("", "b")),
        ("a\n<thi", "call", "nk>b</think>c", ("b", "a\nc")),
        ("a\n</think>\n", "call", "b", ("a", "b")),
    ],
)
def test_what_comes_beside_ends_a_presumption(
    before: str, beside: str, after: str, account: PieceBuffer
) -> None:
    for cut in cuts(before):
        splitter = splitter_for(THINK, presumed=True)
        pieces = [piece for part in cut for piece in splitter.feed(part)]
        pieces += splitter.structured() if beside == "structured" else splitter.end_reasoning()
        pieces += [*splitter.feed(after), *splitter.finish("stop")]
        assert account_of(pieces) == account


# What comes beside the text


@pytest.mark.parametrize(
    ("model", "before", "after", "account"),
    [
        # at the head of the output blocks are split off all the same, and an end that is left over goes
        (THINK, "", "<think>a</think> b", ("\na", "b")),
        (THINK, "", "\n<think>a</think>\n<think>c</think>\n\nb", ("\na\nc", "b")),
        (THINK, "", "<think>\n\n</think>\n\nb", ("", "b")),
        (THINK, "", "\n</think>\n\nb", ("", "b")),
        (THINK, "", "<think>a</think>\n</think>\nb", ("\na", "b")),
        (THINK, "", "<think>a</think></think>b", ("\na", "b")),
        (THINK, "", "\n</think>\n</think> is a tag", ("", "</think> is a tag")),
        (THINK, "", "</think> is a tag", ("", "</think> is a tag")),
        (THINK, "<think>", "</think>b", ("", "b")),
        (THINK, "<think>", "b", ("", "b")),
        (STARTED, "", "</think>b", ("", "b")),
        (STARTED, "", "<think>a</think>b", ("\na", "b")),
        (THINK, "<think>a</think>", "<think>c</think>b", ("a\nc", "b")),
        (MANY, "", "<thinking>a</thinking><think>c</think>b", ("\na\nc", "b")),
        (TOOLS, "", "<think>a<tool_call>{}", ("\na", "<tool_call>{}")),
        (ModelConfig(markers=(("[[", "]]"),), family="x"), "", "[[a]]b", ("\na", "b")),
        (ModelConfig(), "", "<think>a</think>b", ("", "<think>a</think>b")),
        # in the answer they are quoted
        (THINK, "", "b\n<think>a</think>\n</think>\nc", ("", "b\n<think>a</think>\n</think>\nc")),
        (THINK, "", "<think>a</think>b\n<think>c</think>", ("\na", "b\n<think>c</think>")),
        (THINK, "", "`<think>a</think>`", ("", "`<think>a</think>`")),
        (ANSWER, "", "<answer>b</answer>", ("", "<answer>b</answer>")),
        (STARTED, "", "\na", ("", "\na")),
        (STARTED, "a\n", "b", ("a", "\nb")),
        (THINK, " <thi", "nk>", ("", "")),
        (THINK, "a\n<thi", "b ", ("", "a\n<thib ")),
        (THINK, "<think>a", "b</think>", ("a", "b</think>")),
        (THINK, "b\n<think>a", "c", ("a", "b\nc")),
        (THINK, "b\n<think>a</think>\n", "c", ("a", "b\nc")),
        (THINK, "<think>a</think><thi", "c", ("a", "<thic")),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_structured_reasoning(
    model: ModelConfig, before: str, after: str, account: PieceBuffer, whole: bool
) -> None:
    for cut in cuts(before):
        for later in cuts(after):
            splitter = splitter_for(model, whole=whole)
            pieces = [piece for part in cut for piece in splitter.feed(part)]
            pieces += splitter.structured()
            pieces += [piece for part in later for piece in splitter.feed(part)]
            assert account_of([*pieces, *splitter.finish("stop")]) == account
            assert (splitter.promoted, splitter.divided) == (False, False)


@pytest.mark.parametrize(
    ("finish", "account"),
    [("stop", ("", " <think>is a tag")), ("length", ("\nis a tag", "")), (None, ("\nis a tag", ""))],
)
def test_a_block_beside_structured_reasoning_that_never_ends(
    finish: str | None, account: tuple[str, str]
) -> None:
    for cut in cuts(" <think>is a tag"):
        splitter = splitter_for(THINK)
        pieces = splitter.structured()
        pieces += [piece for part in cut for piece in splitter.feed(part)]
        assert account_of([*pieces, *splitter.finish(finish)]) == account


@pytest.mark.parametrize(
    ("model", "before", "after", "account"),
    [
        (THINK, "<think>a </th", " b", ("a </th", "b")),
        (THINK, "<think>", "b", ("", "b")),
        (THINK, "b\n<think>a", "c", ("a", "b\nc")),
        (GEMMA, "<|channel>thou", "b", ("thou", "b")),
        (STARTED, "", "b", ("", "b")),
        (STARTED, "\n", "b", ("\n", "b")),
        (THINK, "a <thi", "b", ("", "a <thib")),
        (THINK, "<thi", "nk>b</think>", ("b", "")),
    ],
)
def test_a_tool_call_ends_reasoning(
    model: ModelConfig, before: str, after: str, account: PieceBuffer
) -> None:
    for cut in cuts(before):
        splitter = splitter_for(model)
        pieces = [piece for part in cut for piece in splitter.feed(part)]
        pieces += [*splitter.end_reasoning(), *splitter.feed(after), *splitter.finish("stop")]
        assert account_of(pieces) == account


@pytest.mark.parametrize(
    ("configured", "thinking", "starts"),
    [
        (True, None, True), (True, True, True), (True, False, False),
        (False, None, False), (False, True, False), (False, False, False),
        ("when_thinking", None, False), ("when_thinking", True, True), ("when_thinking", False, False),
    ],
)  # fmt: skip
def test_starts_in_reasoning(configured: Any, thinking: bool | None, starts: bool) -> None:
    model = ModelConfig(starts_in_reasoning=configured)
    assert starts_in_reasoning(model, thinking=thinking) is starts


# What leaves when


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        (THINK, [("Hi", "Hi"), (" <thi", " <thi"), ("\n", ""), ("<th", ""), ("x", "\n<thx")]),
        (THINK, [("`a", "`a"), ("\n<th", "\n<th"), ("`", "`"), ("\n<th", ""), ("\n", "\n<th")]),
        (THINK, [("a\n```\n", "a\n```"), ("<th", "\n<th"), ("ink>", "ink>")]),
        (ANSWER, [("a</ans", "a</ans"), ("[END", ""), ("S", "[ENDS")]),
        (THINK, [("a\n</think>", "a"), (" x", "\n</think> x")]),
        (THINK, [("<think>a", "a"), ("<", ""), ("/thx", "</thx"), (" ", ""), ("y", " y")]),
        (GEMMA, [("<|channel>tho", ""), ("x", "thox")]),
    ],
)
def test_only_what_may_be_a_marker_waits(model: ModelConfig, steps: list[tuple[str, str]]) -> None:
    splitter = splitter_for(model)
    for fed, given in steps:
        assert "".join(account_of(splitter.feed(fed))) == given


def test_the_choices_of_a_stream_share_the_room_for_open_blocks() -> None:
    budget = ByteBudget(10)
    one, other = (ReasoningSplitter(THINK, starts_in_reasoning=False, room=budget.hold()) for _ in range(2))
    one.feed("<think>1234567")
    other.feed("<think>1234")
    assert budget.held == 7
    assert other.finish("stop") == []
    assert not other.promoted
    assert one.finish("stop") == [Reclassified("1234567", given=7)]
    assert budget.held == 0


def test_room_is_given_back_when_a_block_or_its_stream_ends() -> None:
    budget = ByteBudget(10)
    for end in (lambda splitter: splitter.feed("</think>"), ReasoningSplitter.close):
        splitter = ReasoningSplitter(THINK, room=budget.hold())
        splitter.feed("<think>é234")
        assert budget.held == 5  # bytes
        end(splitter)
        assert budget.held == 0


@pytest.mark.parametrize("middle", ["", "a\n", "\n<answer>", "</answer>"])
def test_of_a_long_block_that_becomes_output_the_ends_are_unwrapped(middle: str) -> None:
    wrapped = ModelConfig(markers=THINK.markers, wrappers=(("<answer>", "</answer>"),))
    middle *= 3 * UNWRAPPED // max(1, len(middle))
    splitter = splitter_for(wrapped)
    splitter.feed(f"<think><answer>{'b' * UNWRAPPED}{middle}{'c' * UNWRAPPED}</answer>")
    [promotion] = splitter.finish("stop")
    assert isinstance(promotion, Reclassified)
    assert promotion.text == "b" * UNWRAPPED + middle + "c" * UNWRAPPED


def test_code_in_the_first_end_hides_nothing_in_the_last_one() -> None:
    wrapped = ModelConfig(markers=THINK.markers, wrappers=(("<answer>", "</answer>"),))
    splitter = splitter_for(wrapped)
    splitter.feed("<think><answer>```\n" + "a" * 4 * UNWRAPPED + "</answer>")
    [promotion] = splitter.finish("stop")
    assert isinstance(promotion, Reclassified)
    assert promotion.text == "```\n" + "a" * 4 * UNWRAPPED
