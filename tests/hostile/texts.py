"""Texts that make careless code slow: what the tables and the fuzzer of this folder are made of."""

from __future__ import annotations

__all__ = ["KI", "UNITS", "of_size"]

KI = 1024

UNITS = {
    # one character
    "letters": "a",
    "digits": "1",
    "blanks": " ",
    "lines": "\n",
    "less-than": "<",
    "backticks": "`",
    "tildes": "~",
    "dollars": "$",
    "stars": "*",
    "brackets": "(",
    "quotes": '"',
    "pipes": "|",
    "Chinese": "我",
    "Chinese marks": "！",
    "emoji": "🙂",
    "zero-width": "\u200b",
    "half a pair": "\ud800",
    # words and sentences
    "words": "word ",
    "letters apart": "a ",
    "full stops": ". ",
    "exclamations": "! ",
    "commas": "9,",
    "numbers": "12 34 ",
    "sums": "= 1 ",
    "English": "First I need to compute the sum of the two numbers, because the total must be below 400. ",
    "one sentence": "we check the area of the shaded part, so that it fits, and then we go on, ",
    "fillers": "wait, hmm, so ",
    "conjunctions": "so it is, but we ",
    "openers": "let me ",
    "answers": "the answer is ",
    "totals": "total = ",
    "things": "the area is ",
    "phrases": "in of at by with ",
    "questions": "what is? ",
    "politeness": "please could you ",
    "Chinese sentences": "我们先算一下。",
    # markup and formulas
    "underscores": "_a b ",
    "bold": "**a** ",
    "formulas open": "\\[",
    "formulas inline": "\\(x\\) ",
    "fractions": "\\frac{",
    "powers": "x^{",
    "links": "[a](",
    "tags": "<b ",
    "headings": "## ",
    "list": "- a\n",
    "numbered": "1. a\n",
    "quoted": "> q\n",
    # code, data, traces
    "fences": "```\n",
    "fenced code": "```\nx = 1\n```\n",
    "ticks in lines": "`\n",
    "code": "def f(x):\n    return x;\n",
    "csv": "a,b,c\n",
    "table": "| a | b |\n",
    "json": '{"a": [1, ',
    "log": "2024-01-01 10:00:00 INFO x\n",
    "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
    "tracebacks": "Traceback (most recent call last):\n",
    "indented tracebacks": "  Traceback (most recent call last):\n",
    "frames": '  File "/srv/app/main.py", line 12, in f\n    g()\n',
    "stacks": "a.bException: x\n\tat a.b(C.java:1)\n",
    "panics": "panic: x\n",
    "file names": "src/main.py\n",
    "html": "<div><report>",
    # markers
    "think": "<think>",
    "think in lines": "\n<think>",
    "ends": "</think>",
    "half a marker": "</thi",
    "harmony": "<|channel|>",
    "harmony headers": "<|channel|>analysis<|message|>x<|end|>",
    "Cohere": "<|START_THINKING|><|END_THINKING|>",
    "wrappers": "\n<answer>a</answer>",
    "cues": ". Wait, ",
    "prose ends": "Therefore, ",
    "ours": "[Prompt Summary] a\n\n",
}
"""Short texts by name; an attack repeats one of them."""


def of_size(unit: str, size: int) -> str:
    """*unit* repeated to *size* characters."""
    return (unit * (size // len(unit) + 1))[:size]
