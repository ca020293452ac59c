"""How well reasoning summaries say what a model was doing: *specific F1* on annotated chains of thought.

    python benchmarks/summaries.py traces.jsonl

The file holds one JSON object a line with ``reasoning`` (the text), ``answer`` and ``chunks``: the sentences of the
reasoning in order, each with ``text`` and a ``gist`` of two to four words by an annotator. Reasoning is fed in time order; after
every 600 characters a line is asked for, so the line knows the past and nothing of the future.

The measure. Plain word overlap with the gists rewards long lines. So: a line is cut at 120 characters; terms are
stemmed, stop words and empty gists are left out; a term weighs log(1 + windows / windows that have it); and from the F1
with the gists of the line's own window the mean F1 with the windows at least two away is taken off. A line about the
topic in general scores 0, whatever its length.

The baselines pick one sentence of the window: first, last, longest, by Luhn's significant words, by TextRank.
The further columns are what a reader notices: lines that say nothing, repeat, are half sentences, hold torn formulas or
give the answer away, and the share of neighbouring words that are neighbours in the reasoning too.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trio_gateway.core.plain_text import plain
from trio_gateway.core.summary import ReasoningSummary

WINDOW = 600
CUT = 120
STOP = frozenset(
    "a an the of to in on at by for with from and or but so if then than that this these those it its is are was were be been being "
    "am do does did have has had i me my we our us you your he she they them their there here as not no yes can could would should "
    "will may might must just let lets s t re ve ll d m what which who how when where why all any each both some such same other "
    "into out up down over under again further once only own too very also now okay ok hmm wait well".split()
)
EMPTY_GIST = re.compile(r"no \w+ (?:taken|performed)|none$|pause|filler", re.IGNORECASE)
SUFFIXES = ("ations", "ation", "ingly", "ings", "ing", "ied", "ies", "ed", "es", "s", "ly")


@dataclass(frozen=True, slots=True)
class Window:
    """600 characters of reasoning: the sentences that end in them, and the gists of those."""

    text: str
    sentences: list[str]
    gists: list[str]


def stem(word: str) -> str:
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)] + ("y" if suffix in ("ied", "ies") else "")
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def word_list(text: str) -> list[str]:
    return [stem(word) for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP]


def split(text: str) -> list[tuple[int, str]]:
    """Sentences with the place where they end: the baselines' own simple rule."""
    found = []
    start = 0
    for end in [match.end() for match in re.finditer(r"[.!?]+(?=\s)\s*|\n\n+", text)] + [len(text)]:
        if sentence := text[start:end].strip():
            found.append((start + len(text[start:end].rstrip()), sentence))
        start = end
    return found


def windows_of(trace: dict[str, Any]) -> list[Window]:
    text = trace["reasoning"]
    count = math.ceil(len(text) / WINDOW)
    windows = [Window(text[at * WINDOW : (at + 1) * WINDOW], [], []) for at in range(count)]
    for end, sentence in split(text):
        windows[(end - 1) // WINDOW].sentences.append(sentence)
    at = 0
    for chunk in trace["chunks"]:
        words = chunk["text"].strip()
        found = text.find(words[:60], at)
        at = found if found >= 0 else at
        if chunk["gist"] and not EMPTY_GIST.match(chunk["gist"]):
            windows[min((at + len(words) - 1) // WINDOW, count - 1)].gists.append(chunk["gist"])
    return windows


def specific_f1(windows: list[Window], lines: list[str | None]) -> list[float]:
    gists = [set(word_list(" ".join(window.gists))) for window in windows]
    having = Counter(term for terms in gists for term in terms)

    def weight(terms: set[str]) -> float:
        return sum(math.log(1 + len(windows) / max(1, having[term])) for term in terms)

    def f1(line: set[str], gist: set[str]) -> float:
        both = weight(line & gist)
        return 2 * both / (weight(line) + weight(gist)) if both else 0.0

    scores = []
    for at, line in enumerate(lines):
        if gists[at]:
            terms = set(word_list((line or "")[:CUT]))
            far = [f1(terms, gist) for other, gist in enumerate(gists) if abs(other - at) >= 2]
            scores.append(f1(terms, gists[at]) - sum(far) / max(1, len(far)))
    return scores


def luhn(sentences: list[str]) -> str:
    """Luhn 1958: the sentence with the densest cluster of frequent words (gaps of at most four words)."""
    counts = Counter(word for sentence in sentences for word in word_list(sentence))

    def density(sentence: str) -> float:
        words = [stem(word) for word in re.findall(r"[a-z0-9]+", sentence.lower())]
        marks = [at for at, word in enumerate(words) if counts[word] >= 2]
        best, start = 0.0, 0
        for at in range(len(marks)):
            if at and marks[at] - marks[at - 1] > 5:
                start = at
            best = max(best, (at - start + 1) ** 2 / (marks[at] - marks[start] + 1))
        return best

    return max(sentences, key=density)


def text_rank(sentences: list[str]) -> str:
    """Mihalcea and Tarau 2004: the sentence most like the others, by word overlap and 30 rounds of PageRank."""
    bags = [set(word_list(sentence)) for sentence in sentences]

    def like(one: set[str], other: set[str]) -> float:
        size = math.log(len(one) + 1) + math.log(len(other) + 1)
        return len(one & other) / size if one and other else 0.0

    links = [[like(one, other) if one is not other else 0.0 for other in bags] for one in bags]
    ranks = [1.0] * len(bags)
    for _ in range(30):
        sums = [sum(row) or 1.0 for row in links]
        ranks = [
            0.15 + 0.85 * sum(links[other][at] / sums[other] * ranks[other] for other in range(len(bags)))
            for at in range(len(bags))
        ]
    return sentences[max(range(len(bags)), key=ranks.__getitem__)]


BASELINES: dict[str, Callable[[list[str]], str]] = {
    "first sentence": lambda sentences: sentences[0],
    "last sentence": lambda sentences: sentences[-1],
    "longest sentence": lambda sentences: max(sentences, key=len),
    "Luhn": luhn,
    "TextRank": text_rank,
}
