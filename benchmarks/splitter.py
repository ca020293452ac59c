"""How fast the splitter is, and that its time grows with the text and no faster.

Run ``python benchmarks/splitter.py``. Text is fed as a stream brings it: deltas of 4 characters, 16 of them
in one read. The aims: 20 MB/s of plain output, no slower inside reasoning, and 10 times the text in at most 11
times the time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trio_gateway.core.config.families import DEFAULT_MODELS
from trio_gateway.core.reasoning import ReasoningSplitter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_gateway.core.config import ModelConfig

DELTA, READ = 4, 16
REPEATS = 5

PROSE = (
    "The sum of the first n odd numbers is n squared, which a picture of growing squares makes plain.\n"
    "Each odd number adds an L-shaped border to the square before it; so 1 + 3 + 5 + 7 = 16.\n\n"
)
CODE = "Use `len(x) < n`:\n\n```python\nif a < b and b <= c:\n    print(f'<{a}>')\n```\n\nThen `x` is `y`.\n"
MARKS = "a < b, <b>bold</b>, </thinking> and <thin> air, 1 << 2, x <= y.\n"


def text_of(sample: str, size: int) -> str:
    return (sample * (size // len(sample) + 1))[:size]


def feeds(text: str) -> Iterator[str]:
    step = DELTA * READ
    return (text[place : place + step] for place in range(0, len(text), step))


def seconds(model: ModelConfig, opener: str, text: str) -> float:
    """The best of several runs, as all that disturbs a run makes it slower."""

    def run() -> float:
        splitter = ReasoningSplitter(model)
        splitter.feed(opener)
        parts = list(feeds(text))
        began = time.perf_counter()
        for part in parts:
            splitter.feed(part)
        splitter.finish("length")
        return time.perf_counter() - began

    return min(run() for _ in range(REPEATS))


def main() -> None:
    size = 1_000_000
    qwen, default, harmony = (DEFAULT_MODELS[name] for name in ("qwen3", "default", "gpt-oss"))
    rows = [
        ("plain output", qwen, "", PROSE),
        ("inside reasoning", qwen, "<think>", PROSE),
        ("output with code", qwen, "", CODE),
        ("output full of <", qwen, "", MARKS),
        ("reasoning full of <", qwen, "<think>", MARKS),
        ("reasoning in prose", default, "Let me think. ", PROSE),
        ("harmony output", harmony, "<|channel|>final<|message|>", PROSE),
    ]
    print(f"{'':22}{'MB/s':>8}{'µs a read':>12}{'10x text':>10}")
    for name, model, opener, sample in rows:
        small = seconds(model, opener, text_of(sample, size))
        large = seconds(model, opener, text_of(sample, 10 * size))
        reads = size / (DELTA * READ)
        print(f"{name:22}{size / small / 1e6:8.1f}{small / reads * 1e6:12.2f}{large / small:9.1f}x")


if __name__ == "__main__":
    main()
