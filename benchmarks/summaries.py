"""How well reasoning summaries say what a model was doing: *specific F1* on annotated chains of thought.

Run ``python benchmarks/summaries.py TRACES.jsonl``. The file holds one JSON object a line with ``reasoning``
(the text), ``answer``, and ``chunks``: the sentences of the reasoning in order, each with ``text`` and a
``gist`` of two to four words by an annotator. Such data is published, under the MIT licence, by the authors
of thought-anchors.com. Reasoning is fed in time order, and after every 600 characters a line is asked for: it
knows the past and nothing of the future. At the speed of most models a window is more than an interval and a
half, so that a line that is not to be had is asked for once more as late.

The measure. Plain word overlap with the gists rewards long lines. So a line is cut at 120 characters; terms
are stemmed, stop words and empty gists left out; a term weighs log(1 + windows / windows that have it); and
from the F1 with the gists of the line's own window the mean F1 with the windows at least two away is taken
off. A line about the topic in general scores 0, whatever its length. A gist belongs to the window its
sentence ends in.

The baselines pick one whole sentence of those that ended in the window: the first, the last, the longest, by
Luhn's significant words, by TextRank. The further columns are what a reader notices, in percent of the lines:
windows without a line, lines said before, half sentences, torn formulas, lines with the final answer's value,
lines of which more than a third is formulas and numbers, and the share of neighbouring words that are neighbours in
the reasoning too.

Traces are all mathematics. ``tests/data/summary_passages.jsonl`` has thirty passages of code, law, medicine,
planning with tools, Chinese, German and French, with patterns that no line may match (a statement without its
condition, a supposition as a fact, a secret, the result) and patterns one of which a good line matches. The last rows
count both, a line every 60 characters and one of the whole.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trio_gateway.core.summary import ReasoningSummary
from trio_gateway.core.summary.plain_text import plain
from trio_gateway.core.summary.signs import is_words
from trio_gateway.core.summary.steps import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

PASSAGES = Path(__file__).resolve().parent.parent / "tests" / "data" / "summary_passages.jsonl"
WINDOW = 600
CUT = 120
STOP_TABLE = """
a an the of to in on at by for with from and or but so if then than that this these those it its is are
was were be been being am do does did have has had i me my we our us you your he she they them their
there here as not no yes can could would should will may might must just let lets s t re ve ll d m what
which who how when where why all any each both some such same other into out up down over under again
further once only own too very also now okay ok hmm wait well
"""
STOP = frozenset(STOP_TABLE.split())
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
            0.15
            + 0.85 * sum(row[at] / total * rank for row, total, rank in zip(links, sums, ranks, strict=True))
            for at in range(len(bags))
        ]
    return sentences[max(range(len(bags)), key=ranks.__getitem__)]


COLUMNS = ("empty", "repeat", "half", "torn", "answer", "signs", "pairs")
BASELINES: dict[str, Callable[[list[str]], str]] = {
    "first sentence": lambda sentences: sentences[0],
    "last sentence": lambda sentences: sentences[-1],
    "longest sentence": lambda sentences: max(sentences, key=len),
    "Luhn": luhn,
    "TextRank": text_rank,
}

# ------------------------------------------------------------------------------------ what a reader notices

FUNCTION_WORDS = (
    "a|an|the|of|to|in|on|at|by|for|with|from|and|or|but|so|if|that|which|is|are|was|as|than|because"
)
HALF = re.compile(
    rf"…$|\b(?:{FUNCTION_WORDS})$|[=+*/(<,:×·-]$|^[,;:)\]]|^(?:and|or|which|because|that is|of|than|with)\b",
    re.IGNORECASE,
)
TORN = re.compile(r"\\[A-Za-z]+|\\[()\[\]]|\$\$|\$[^$\d]|\^\{|_\{")


def is_half(line: str) -> bool:
    balanced = all(line.count(one) == line.count(other) for one, other in ("()", "[]", "{}"))
    return bool(HALF.search(line)) or not balanced or line.count('"') % 2 == 1


def pairs(text: str) -> set[tuple[str, str]]:
    words = [stem(word) for word in re.findall(r"\w+", text.lower())]
    return set(pairwise(words))


def final_value(trace: dict[str, Any]) -> re.Pattern[str] | None:
    """The number in the last box of the answer, as it may stand in a line."""
    boxes = re.findall(r"\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", trace["answer"])
    value = re.sub(r"[^\d.]", "", boxes[-1]) if boxes else ""
    return re.compile(rf"(?<![\d.]){re.escape(value)}(?!\d|\.\d)") if value else None


@dataclass(slots=True)
class Row:
    """The tally of one method over all traces."""

    scores: list[float]
    lines: int = 0
    missing: int = 0
    repeated: int = 0
    half: int = 0
    torn: int = 0
    leaked: int = 0
    signs: int = 0
    pairs: int = 0
    known_pairs: int = 0

    def take(self, trace: dict[str, Any], windows: list[Window], lines: list[str | None]) -> None:
        self.scores += specific_f1(windows, lines)
        value = final_value(trace)
        known = pairs(plain(trace["reasoning"]))
        said: set[str] = set()
        for line in lines:
            if line is None:
                self.missing += 1
                continue
            self.lines += 1
            self.repeated += line in said
            said.add(line)
            self.half += is_half(line)
            self.torn += bool(TORN.search(line))
            self.leaked += bool(value and value.search(line.replace(",", "")))
            self.signs += not is_words(line)
            own = set().union(*(pairs(part) for part in re.split(r"(?<=[.!?]) ", plain(line))))
            self.pairs += len(own)
            self.known_pairs += len(own & known)

    def shown(self, name: str) -> str:
        of_lines = [self.repeated, self.half, self.torn, self.leaked, self.signs]
        percent = [100 * count / max(1, self.lines) for count in of_lines]
        empty = 100 * self.missing / max(1, self.missing + self.lines)
        share = 100 * self.known_pairs / max(1, self.pairs)
        numbers = "".join(f"{number:9.1f}" for number in (empty, *percent, share))
        return f"{name:18}{sum(self.scores) / len(self.scores):9.4f}{numbers}"


def ours(trace: dict[str, Any], detail: str) -> list[str | None]:
    summary = ReasoningSummary(detail=detail)  # type: ignore[arg-type]
    windows = windows_of(trace)
    lines: list[str | None] = []
    for at, window in enumerate(windows):
        summary.feed(window.text)
        last = at + 1 == len(windows)
        lines.append(summary.last() if last else summary.line() or summary.line(late=True))
    return lines


def of_passage(passage: dict[str, Any], size: int) -> list[str]:
    summary = ReasoningSummary()
    at_once(summary.learn_steps([{"role": "system", "content": passage.get("system", "")}]))
    lines: list[str | None] = []
    for start in range(0, len(passage["reasoning"]), size):
        summary.feed(passage["reasoning"][start : start + size])
        last = start + size >= len(passage["reasoning"])
        lines.append(summary.last() if last else summary.line() or summary.line(late=True))
    return [line for line in lines if line]


def passages() -> str:
    """How many passages have a barred line, and how many name what they are about."""
    rows = [json.loads(line) for line in PASSAGES.read_text(encoding="utf-8").splitlines()]
    found = [(row, of_passage(row, size)) for row in rows for size in (60, 10_000)]
    barred = sum(
        any(re.search(mark, line) for mark in row["barred"] for line in lines) for row, lines in found
    )
    named = sum(
        any(re.search(name, line, re.IGNORECASE) for name in row["names"] for line in lines)
        for row, lines in found
    )
    return f"of {len(found)} readings of {len(rows)} passages {barred} have a barred line, {named} name their subject"


def main(path: str) -> None:
    traces = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    rows = {name: Row([]) for name in (*BASELINES, "concise", "auto", "detailed")}
    for trace in traces:
        windows = windows_of(trace)
        for name, pick in BASELINES.items():
            rows[name].take(
                trace, windows, [pick(window.sentences) if window.sentences else None for window in windows]
            )
        for name in ("concise", "auto", "detailed"):
            rows[name].take(trace, windows, ours(trace, name))
    print(f"{'':18}{'F1':>9}" + "".join(f"{name:>9}" for name in COLUMNS))
    for name, row in rows.items():
        print(row.shown(name))
    best = max(sum(rows[name].scores) for name in BASELINES)
    print(f"\nauto is {sum(rows['auto'].scores) / best:.2f} times the best baseline")
    print(passages())
    text = "".join(trace["reasoning"] for trace in traces)
    start = time.process_time()
    for trace in traces:
        ours(trace, "auto")
    print(f"{(time.process_time() - start) * 1e6 / len(text):.2f} µs a character")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/summaries.py TRACES.jsonl")
    main(sys.argv[1])
