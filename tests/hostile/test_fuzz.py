"""Prompts, histories and reasoning made of hostile pieces: no exception, bounded output, no slow slice.

The examples are the same each time, and few; ``HYPOTHESIS_PROFILE=long`` tries 20,000 of each kind and more, new ones.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile.heartbeat import HELD, SHORT, longest_slice
from tests.hostile.texts import KI, UNITS, of_size
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS
from trio_gateway.core.reasoning import Output, Reasoning, ReasoningSplitter, Reclassified
from trio_gateway.core.summary import SIZES, ReasoningSummary
from trio_gateway.core.summary.prompt import LONGEST, prompt_steps, summarize_prompt
from trio_gateway.core.summary.steps import at_once
from trio_gateway.core.upstream_api.history import clean_history
from trio_gateway.core.upstream_api.runaway import ReasoningLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_gateway.core.summary import Detail

LARGEST = 64 * KI
"""Characters of an example."""
PIECE = 8 * KI
"""Characters of the pieces in which a splitter gets a long text."""

more = settings(max_examples=4 * settings().max_examples)

units = st.sampled_from(sorted(UNITS.values()))
# One unit over and over, a few of them by turns, or a little of anything.
repeated = st.builds(of_size, units, st.sampled_from([1, 7, 100, 3000, LARGEST]))
by_turns = st.builds(
    of_size, st.lists(units, min_size=2, max_size=5).map("".join), st.sampled_from([300, LARGEST])
)
texts = st.lists(repeated | by_turns | st.text(max_size=30), min_size=1, max_size=6).map(
    lambda parts: "".join(parts)[:LARGEST]
)
models = st.sampled_from(sorted(DEFAULT_MODELS)).map(DEFAULT_MODELS.__getitem__)
details: st.SearchStrategy[Detail] = st.sampled_from(["concise", "auto", "detailed"])


def is_one_line(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


@more
@given(st.lists(texts, min_size=1, max_size=3))
def test_prompts(contents: list[str]) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": text} for text in contents]},
    ]
    line = summarize_prompt(messages)
    assert 0 < len(line) <= LONGEST
    assert is_one_line(line)
    assert longest_slice(lambda: prompt_steps(messages)) < SHORT


@given(texts, texts, details)
def test_reasoning(first: str, second: str, detail: Detail) -> None:
    lines: list[str | None] = []

    def play() -> Iterator[None]:
        summary = ReasoningSummary(detail=detail)
        lines.clear()
        for text, late in [(first, False), (second, False), (first, True), (second + first, True)]:
            summary.feed(text)
            yield
            lines.append((yield from summary.line_steps(late=late)))
        summary.feed(second)
        lines.append((yield from summary.last_steps()))

    assert longest_slice(play) < SHORT
    shown = [line for line in lines if line is not None]
    assert len(set(shown)) == len(shown)
    assert all(0 < len(line) <= SIZES[detail].width and is_one_line(line) for line in shown)


@given(texts, texts)
def test_a_line_of_a_model(text: str, line: str) -> None:
    summary = ReasoningSummary()
    summary.feed(text)
    assert longest_slice(lambda: _accepted(text, line[:200])) < SHORT
    at_once(summary.accept_steps(line[:200]))
    assert summary.last() != line


def _accepted(text: str, line: str) -> Iterator[None]:
    summary = ReasoningSummary()
    summary.feed(text)
    yield from summary.accept_steps(line)


@more
@given(st.lists(texts, min_size=1, max_size=4), models)
def test_histories(contents: list[str], model: ModelConfig) -> None:
    messages = [{"role": "assistant", "content": text} for text in contents]
    messages.append({"role": "assistant", "content": contents[0]})

    def play() -> Iterator[None]:
        cleaned = clean_history(messages, keep_reasoning=False, markers=model.markers)
        for before, after in zip(messages, cleaned, strict=False):
            assert before["content"].endswith(after["content"])
        yield

    assert longest_slice(play) < HELD


@more
@given(texts, models, st.booleans(), st.booleans(), st.integers(1, 40), st.sampled_from(["stop", "length"]))
def test_answers(text: str, model: ModelConfig, presumed: bool, whole: bool, piece: int, finish: str) -> None:
    def play(size: int, text: str) -> Iterator[None]:
        splitter = ReasoningSplitter(model, presumed=presumed, whole=whole)
        pieces = []
        for at in range(0, len(text), size):
            pieces += splitter.feed(text[at : at + size])
            yield
        pieces += splitter.finish(finish)
        said = "".join(piece.text for piece in pieces if isinstance(piece, Output | Reclassified))
        thought = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
        taken = sum(piece.given for piece in pieces if isinstance(piece, Reclassified))
        accounts.append((said, thought[: len(thought) - taken]))
        yield

    accounts: list[tuple[str, str]] = []
    assert longest_slice(lambda: play(PIECE, text)) < HELD
    assert len(accounts[-1][0]) + len(accounts[-1][1]) <= 2 * len(text) + 2
    for size in (PIECE, piece):
        for _ in play(size, text[: 2 * KI]):
            pass
    assert accounts[-1] == accounts[-2], "how the text is cut changes nothing"


@more
@given(texts, st.integers(1, 1000))
def test_limits_of_reasoning(text: str, size: int) -> None:
    def play() -> Iterator[None]:
        limit = ReasoningLimit(ModelConfig(repetition_guard=True))
        for at in range(0, len(text), size if len(text) // size < KI else PIECE):
            limit.feed(text[at : at + size], 0.0)
            yield

    assert longest_slice(play) < SHORT
