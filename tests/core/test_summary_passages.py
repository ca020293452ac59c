"""Passages of code, law, medicine, planning, Chinese, German and French: what no line says, and what one names.

Each line of ``data/summary_passages.jsonl`` has the reasoning, the system prompt if there is one, patterns that
no line may match (``barred``) and patterns one of which a good line matches (``names``).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trio_gateway.core.summary import SIZES, ReasoningSummary
from trio_gateway.core.summary.steps import at_once

if TYPE_CHECKING:
    from trio_gateway.core.summary import Detail

FILE = Path(__file__).parents[1] / "data" / "summary_passages.jsonl"
PASSAGES: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def lines(passage: dict[str, Any], detail: Detail, size: int) -> list[str]:
    """The lines where one is asked for, as late too, after every *size* characters."""
    summary = ReasoningSummary(detail=detail)
    at_once(summary.learn_steps([{"role": "system", "content": passage.get("system", "")}]))
    shown: list[str | None] = []
    for start in range(0, len(passage["reasoning"]), size):
        summary.feed(passage["reasoning"][start : start + size])
        if start + size < len(passage["reasoning"]):
            shown.append(summary.line() or summary.line(late=True))
    shown.append(summary.last())
    return [line for line in shown if line]


@pytest.mark.parametrize("size", [7, 60, 10_000])
@pytest.mark.parametrize("detail", SIZES)
@pytest.mark.parametrize("passage", PASSAGES, ids=[passage["id"] for passage in PASSAGES])
def test_what_must_not_be_said_is_not(passage: dict[str, Any], detail: Detail, size: int) -> None:
    for line in lines(passage, detail, size):
        for barred in passage["barred"]:
            assert not re.search(barred, line), line


@pytest.mark.parametrize("passage", PASSAGES, ids=[passage["id"] for passage in PASSAGES])
def test_a_good_line_names_what_is_thought_about(passage: dict[str, Any]) -> None:
    for size in (60, 10_000):
        shown = " ".join(lines(passage, "auto", size))
        assert any(re.search(name, shown, re.IGNORECASE) for name in passage["names"]), shown
