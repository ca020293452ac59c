"""Prompts, histories and reasoning that once held the event loop, or would: each is cut into slices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.engine.summaries.lines import Emitted
from tests.hostile.heartbeat import Row, answer_through_gateway, check, gateway_answer
from tests.hostile.texts import KI, UNITS, of_size
from tests.support import chat
from trio_gateway.core.phases import Phase
from trio_gateway.core.summary.digest import PIECE, RECENT
from trio_gateway.engine.summaries.reasoning_summarizer import ReasoningSummarizer

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.support import Answer

ASK = "Explain this, please, line by line and with all its details, as I have no time to read it. " * 2
RAW = {"reasoning": "both"}

# ------------------------------------------------------------------------------------------- prompts

PROMPTS = {
    "a traceback that is cut off": ASK + "\nTraceback (most recent call last):\n" + UNITS["frames"] * 300 + "\n(and so on)",
    "blank lines in code": ASK + "\n```a\nx = 1\n" + "\n" * 9000 + "x\n```",
    "one line of 40,000 characters": ASK + "\n```\n" + "x" * 40_000 + "\n```\n" + "y" * 40_000,
    "a class without a colon": ASK + "\n```\nclass " + "a" * 30_000 + "\n```",
    "a fence that never ends": ASK + "\n" + "`" * 30_000,
    "a row of stars": ASK + "\n" + "*" * 30_000 + "x",
    "code, a table and a trace by turns": ASK + ("```\nx\n```\n| a | b |\n" + UNITS["stacks"]) * 800,
    "4 MiB of text": ASK + "word " * (800 * KI),
    **{f"{name} in a prompt": ASK + "\n" + of_size(unit, 64 * KI) for name, unit in UNITS.items()},
}  # fmt: skip


def _prompt_is_summarised(answer: Answer) -> None:
    assert 0 < len(answer.text("prompt_summary")) <= 300 + len("[Prompt Summary] \n\n")


@pytest.mark.parametrize("name", PROMPTS)
async def test_a_prompt(name: str) -> None:
    text = PROMPTS[name].encode("utf-8", "replace").decode()
    play = answer_through_gateway(chat(text), then=_prompt_is_summarised)
    await check(Row(name, play, task="Summaries._summarise_prompt", slices=8, at_most=3000))


async def test_a_prompt_of_many_parts() -> None:
    content = [{"type": "text", "text": "a "}] * 20_000
    body = {"messages": [{"role": "user", "content": content}]}
    play = answer_through_gateway(body, then=_prompt_is_summarised)
    await check(Row("many parts", play, task="Summaries._summarise_prompt", at_most=3000))


# ----------------------------------------------------------------------------------------- histories

COHERE, THINK = "command-r7b", "deepseek-r1"
UNCLOSED = "<think>" * 10_000
HISTORIES: dict[str, tuple[str, list[str], list[str | None]]] = {
    # name: the model, the assistant's messages, and what of each is left (None: nothing is checked)
    "pairs that share a start": (
        COHERE,
        ["<|START_THINKING|><|END_THINKING|>" * 3000, "<|START_THINKING|><|START_RESPONSE|>" * 3000],
        ["", ""],
    ),
    "1 MiB of blocks in one message": (THINK, ["<think>a</think>\n" * (60 * KI) + "4"], ["4"]),
    "1 MiB in an unclosed block": (THINK, ["<think>" + "a" * KI * KI], [None]),
    "unclosed starts": (THINK, [UNCLOSED], [UNCLOSED]),
    "starts with attributes": (THINK, ["<think a=1" * 10_000], [None]),
    "thousands of blocks in 2,000 messages": (THINK, ["<think>a</think>" * 8] * 2000, [""] * 2000),
    "unclosed blocks in 2,000 messages": (THINK, ["<think>" * 20] * 2000, [None]),
    "summaries of ours": (THINK, ["[Prompt Summary] a\n\n" * 5000], [None]),
    "summaries without an end": (THINK, ["[Reasoning Summary] a\n \t" * 5000], [None]),
    "blanks": (THINK, [" \n" * 100_000], [None]),
}


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_history(name: str) -> None:
    model, contents, left = HISTORIES[name]
    history = [{"role": "assistant", "content": content} for content in contents]
    body = {"model": model, "messages": [*history, {"role": "user", "content": "Go on."}]}

    async def play() -> None:
        answer, requests = await gateway_answer(body, {"content": "Four."})
        assert answer.error is None
        sent = [message["content"] for message in requests[0]["messages"][:-1]]
        assert [text for text, wanted in zip(sent, left, strict=False) if wanted not in (None, text)] == []

    await check(Row(name, play))


# ----------------------------------------------------------------------------------------- reasoning


@pytest.mark.parametrize("name", UNITS)
async def test_reasoning_in_one_piece(name: str) -> None:
    """As much as fits into one event of 1 MiB, and the answer behind it: only the most recent is worked up."""
    unit = UNITS[name].encode("utf-8", "replace").decode()
    thought = unit * (1000 * KI // len(json.dumps(unit)))
    play = answer_through_gateway(None, {"reasoning_content": thought}, {"content": "Four."}, then=_is_whole)
    # Reading takes up to two slices a piece; what frames, signs and qualifiers need of it, part of another one.
    await check(
        Row(
            name,
            play,
            task="Summaries._summarise_reasoning",
            slices=2,
            at_most=40 + 5 * RECENT // (2 * PIECE),
        )
    )


def _is_whole(answer: Answer) -> None:
    assert answer.output == "Four."
    lines = answer.text("reasoning_summary").removeprefix("[Reasoning Summary] ").strip()
    assert len(lines) <= 140


@pytest.mark.parametrize("name", UNITS)
async def test_lines_of_reasoning(name: str, autojump_clock: MockClock) -> None:
    """A first line, further ones that are due when text comes, and the last: each is made of bounded text, in
    slices."""
    thought = of_size(UNITS[name], 64 * KI)

    async def play() -> None:
        emitted = Emitted(Phase.REASONING_SUMMARY)
        summarizer = ReasoningSummarizer(emitted.outbox, interval=0.5, detail="detailed")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(summarizer.run, nursery)
            for text in ["We open the box with the golden key. So\n\n", *[thought] * 6]:
                summarizer.feed(text)
                await wait_all_tasks_blocked()
                await trio.sleep(0.8)
            summarizer.end()
        assert emitted.events

    pieces = RECENT // PIECE
    await check(Row(name, play, task="ReasoningSummarizer.run", slices=4 * pieces, at_most=6 * 1000))


async def test_reasoning_token_by_token(autojump_clock: MockClock) -> None:
    """A mebicharacter in pieces of one character: the reader of the upstream is never kept waiting."""

    async def play() -> None:
        emitted = Emitted(Phase.REASONING_SUMMARY)
        summarizer = ReasoningSummarizer(emitted.outbox, interval=1.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(summarizer.run, nursery)
            nursery.start_soon(_read_upstream, summarizer)
        assert emitted.events

    await check(Row("token by token", play, task="ReasoningSummarizer.run", slices=100, at_most=20_000))


async def _read_upstream(summarizer: ReasoningSummarizer) -> None:
    for number in range(KI * KI):
        summarizer.feed(str(number % 10))
        if number % KI == 0:
            await trio.sleep(0.01)
    summarizer.end()


# ------------------------------------------------------------------------------------------ splitter

PIECES = 32 * KI
"""Characters of one delta here."""
SPLIT: dict[str, tuple[str, str, str]] = {
    # name: the model, the beginning of the text, and what it goes on with
    **{f"{name} in an answer": ("default", "", unit) for name, unit in UNITS.items()},
    "ends in an answer about them": ("default", "The tag ", "</think>"),
    "words that may end prose": ("default", "Let me think ", ". Therefore, Wait, "),
    "blanks before words that may end prose": ("default", "Let me think", "  The" + " " * 500),
    "prose in doubt": ("default", "Let me think. Therefore, ", "a. "),
    "an open block": (THINK, "", "x\n"),
    "an open block of wrappers": ("hunyuan", "<think>", "\n<answer>a</answer>"),
    "an open block of backticks": ("granite-3.3", "<think>", "`\n"),
    "channels": ("gpt-oss", "", "<|channel|>analysis<|message|>x<|end|>"),
    "channels that do not begin": ("gpt-oss", "", "<|"),
    "tool calls": ("gpt-oss", "<|channel|>commentary to=functions.f<|message|>", "<|call|>"),
}


@pytest.mark.parametrize("name", SPLIT)
async def test_text_that_is_split(name: str) -> None:
    """1 MiB in large pieces, whose end the upstream calls the end of the answer."""
    model, begin, unit = SPLIT[name]
    text = begin + of_size(unit, KI * KI).encode("utf-8", "replace").decode()
    deltas = [{"content": text[at : at + PIECES]} for at in range(0, len(text), PIECES)]
    await check(Row(name, answer_through_gateway(chat(model=model, gateway=RAW), *deltas)))


@pytest.mark.parametrize(
    "name", ["backticks", "tildes", "think", "half a marker", "cues", "lines", "harmony"]
)
async def test_text_that_is_split_character_by_character(name: str) -> None:
    text = "Let me think. " + of_size(UNITS[name], 4 * KI)
    await check(Row(name, answer_through_gateway(chat(), *({"content": char} for char in text))))


GUARD = """
[models.default]
repetition_guard = true
max_reasoning_chars = 1_000_000_000
"""
CIRCLES = {
    "almost a circle": ("ab" + "a" * 62) * 900 + "".join(f"{number}" for number in range(20_000)),
    "Fibonacci's word": "abaababaabaababaababaabaababaabaab",
}


@pytest.mark.parametrize("name", CIRCLES)
async def test_the_repetition_guard(name: str) -> None:
    text = of_size(CIRCLES[name], 256 * KI)
    deltas = [{"reasoning_content": text[at : at + 300]} for at in range(0, len(text), 300)]

    async def play() -> None:
        await gateway_answer(chat(), *deltas, {"content": "Four."}, toml=GUARD)

    await check(Row(name, play))
