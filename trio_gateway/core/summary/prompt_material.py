"""What a long prompt carries besides its instruction: stack traces, code, diffs, data, tables, logs, texts.

Each kind is told by its own plain marks and described in a few words with its size. Nothing is parsed: a
wrong guess costs a word in a summary, so regular expressions, most of them read line by line, are enough.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from .code_language import LANGUAGES, guess_language
from .plain_text import cut, harmless
from .terms import is_cjk

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Material", "find_material", "size_of"]

Kind = Literal["quote", "table", "log", "data", "code"]

FEWEST_LINES = 3
LONG_LINE = 300
"""A single line of data this long, in characters, is material too."""
SAMPLE = 40_000
"""Characters in which words are counted; of a longer text the count is an estimate."""
LONG_WORD = 30
"""Words longer than this in the mean are none: such a text is counted in characters."""

_KNOWN_TRACES = (
    ("Python traceback", "Traceback",
     r"Traceback \(most recent call last\):\n(?P<frames>(?:[ \t]+[^\n]*\n)+)(?P<error>[\w.]+)(?::[^\n]*)?",
     r", in (\S+)"),
    ("Java stack trace", "\tat ",
     r"\b(?P<error>(?:\w{1,40}\.){1,9}\w{0,60}(?:Exception|Error))\b[^\n]*\n(?P<frames>(?:\s+at [^\n]*\n?)+)",
     r"at ([\w.$]+)\("),
    ("JavaScript stack trace", "Error: ",
     r"\b(?P<error>\w{0,60}Error): [^\n]*\n(?P<frames>(?:\s+at [^\n]*\n?)+)",
     r"at (?:async )?([\w.$]+) \("),
    ("Rust panic", "panicked at", r"thread '[^'\n]*' (?P<error>panicked) at (?P<frames>[^\n]*)",
     r"([\w/.-]+\.rs)"),
    ("Go panic", "panic: ", r"(?P<error>panic): [^\n]*\n(?P<frames>(?:[^\n]*\n){0,12})",
     r"([\w./]+)\([^\n)]*\)\n"),
)  # fmt: skip
_TRACES = [(name, mark, re.compile(trace), re.compile(place)) for name, mark, trace, place in _KNOWN_TRACES]
"""Name, a string that it always holds, the trace with its frames and error, what names a place in a frame."""

_DIFF = re.compile(
    r"^(?:diff --git |--- (?:a/|\S+\t))[^\n]*\n(?:(?:diff --git |index |[ +\-@\\])[^\n]*(?:\n|\Z))+",
    re.MULTILINE,
)
_DIFF_FILE = re.compile(r"^--- ", re.MULTILINE)
_FENCE = re.compile(
    r"^[ \t]*(?P<mark>```|~~~)[`~]*[ \t]*(?P<name>[\w+#.-]*)[^\n]*\n(?P<body>.*?)"
    r"(?:^[ \t]*(?P=mark)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(
    r"^[ \t#*`]*(?:[Ff]ile:?\s*)?[`*]*(?P<name>[\w./-]{1,60}\.[a-z]{1,5})[`*:]*[ \t]*$", re.MULTILINE
)
_TAG = re.compile(r"<([A-Za-z][\w-]{1,20})(?:\s[^<>]{0,200})?>")
_HTML_TAGS = frozenset(
    ["html", "head", "body", "div", "span", "table", "ul", "ol", "script", "style", "section"]
)
MOST_TAGS = 20
SHORTEST_TAGGED = 200
_LINES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("quote", re.compile(r"\s*>\s?\S")),
    ("table", re.compile(r"\s*\|.*\|\s*$")),
    (
        "log",
        re.compile(
            r"\s*\[?(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:)"
            r"|(?:INFO|WARN|ERROR|DEBUG)\b"
        ),
    ),
    ("data", re.compile(r"\s*(?:\"[^\"\n]*\"\s*:|[\[{]\s*(?:[\"\d\[{]|$)|[\]}],?\s*$)")),
    (
        "code",
        re.compile(
            r"\s*(?:def |class \w+[:(]|import \w|from [\w.]+ import|return\b|@\w+|#include|using |public "
            r"|private |func |fn |const |let \w+ =|var |package |//|SELECT |FROM |WHERE |</?\w+[^<>]*>"
            r"|(?:if|for|while|with|elif|else|try|except)\b.*:\s*$)"
            r"|.*(?:[;{}]|\);?)\s*$|\s*[\w.\[\]]+ (?:[-+*/]?=) \S|(?: {4,}|\t)\S"
        ),
    ),
    ("table", re.compile(r"[^,\n]{1,40}(?:,[^,\s][^,\n]{0,40}){2,}$|[^\t\n]*(?:\t[^\t\n]*){2,}$")),
)


@dataclass(slots=True)
class Material:
    """What was found: a stack trace ("a Python traceback: KeyError in load_users"), labels as they stand in a
    sentence ("40 lines of Python"), and the words that are left."""

    trace: str = ""
    labels: list[str] = field(default_factory=list)
    words: str = ""


def find_material(text: str) -> Material:
    """Part *text* into its material and the words of the person who asks."""
    found = Material(words=text)
    code: Counter[str] = Counter()
    _take_trace(found)
    _take_diff(found)
    _take_fences(found, code)
    _take_tagged(found)
    _take_lines(found, code)
    found.labels += [f"{_count(lines, 'line')} of {language}" for language, lines in code.items()]
    return found


def size_of(text: str, *, joined: bool = False) -> str:
    """How long a text is: "3,200 words" or, *joined*, "3,200-word"; characters where there are no spaces.

    Above a thousand the count is rounded to hundreds.
    """
    sample = text[:SAMPLE]
    words = len(sample.split())
    unit = "character" if is_cjk(text[:2000]) or len(sample) > LONG_WORD * words else "word"
    count = len(text) if unit == "character" else words * len(text) // max(1, len(sample))
    count = round(count, -2) if count >= 1000 else count
    return f"{count:,}-{unit}" if joined else _count(count, unit)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _take_trace(found: Material) -> None:
    for name, mark, pattern, place in _TRACES:
        if mark in found.words and (trace := pattern.search(found.words)):
            places = place.findall(trace["frames"])
            where = (places[-1] if name.startswith("Python") else places[0]) if places else "<module>"
            error = trace["error"].rsplit(".", 1)[-1]
            found.trace = f"a {name}" if error in ("panic", "panicked") else f"a {name}: {cut(error, 60)}"
            found.trace += "" if where == "<module>" else f" in {cut(harmless(where), 60)}"
            found.words = found.words[: trace.start()] + "\n\n" + found.words[trace.end() :]
            return


def _take_diff(found: Material) -> None:
    def take(diff: re.Match[str]) -> str:
        found.labels.append(f"a diff of {_count(len(_DIFF_FILE.findall(diff[0])), 'file')}")
        return "\n\n"

    found.words = _DIFF.sub(take, found.words)


def _take_fences(found: Material, code: Counter[str]) -> None:
    def take(fence: re.Match[str]) -> str:
        if body := fence["body"].strip():
            code[LANGUAGES.get(fence["name"].lower()) or guess_language(body)] += len(body.splitlines())
        return "\n\n"

    found.words = _FENCE.sub(take, found.words)
    if code:
        found.labels += list(dict.fromkeys(name["name"] for name in _FILE.finditer(found.words)))[:3]
        found.words = _FILE.sub("", found.words)


def _take_tagged(found: Material) -> None:
    """Texts between tags, as in "<report>…</report>"."""
    start = 0
    for _ in range(MOST_TAGS):
        tag = _TAG.search(found.words, start)
        if tag is None:
            return
        end = found.words.find(f"</{tag[1]}>", start := tag.end())
        if end - start >= SHORTEST_TAGGED and tag[1].lower() not in _HTML_TAGS:
            name = tag[1].lower().replace("_", " ").replace("-", " ")
            found.labels.append(f"a {size_of(found.words[start:end], joined=True)} {name}")
            found.words = found.words[: tag.start()] + "\n\n" + found.words[end + len(tag[1]) + 3 :]
            start = tag.start()


def _take_lines(found: Material, code: Counter[str]) -> None:
    rest: list[str] = []
    for kind, lines in _runs(found.words):
        if kind is None:
            rest += lines
            continue
        rest.append("")
        if kind == "code":
            code[guess_language("\n".join(lines))] += len(lines)
        else:
            found.labels.append(_label(kind, lines))
    found.words = "\n".join(rest)


def _runs(text: str) -> Iterator[tuple[Kind | None, list[str]]]:
    """Lines grouped by kind; blank lines belong to the code or data before them, and short runs are words."""
    kinds: list[Kind | None] = []
    lines = text.splitlines()
    for line in lines:
        kind = next((kind for kind, mark in _LINES if mark.match(line)), None)
        inside = not line.strip() and kinds and kinds[-1] in ("code", "data")
        kinds.append(kinds[-1] if inside else kind)
    for run, group in groupby(zip(kinds, lines, strict=True), key=lambda entry: entry[0]):
        entries = [line for _, line in group]
        filled = [line for line in entries if line.strip()]
        enough = len(filled) >= FEWEST_LINES or (
            run == "data" and any(len(line) > LONG_LINE for line in filled)
        )
        yield (run, filled) if run and enough else (None, entries)


def _label(kind: Kind, lines: list[str]) -> str:
    match kind:
        case "table":
            rows = len(lines) - 1 - any(set(line) <= set("|-: ") for line in lines)
            return f"a table of {_count(rows, 'row')}"
        case "log":
            return f"{_count(len(lines), 'line')} of log"
        case "data":
            many = len(lines) > 1
            return (
                f"{_count(len(lines), 'line')} of JSON" if many else f"JSON of {len(lines[0]):,} characters"
            )
        case _:
            return f"a quoted text of {size_of(' '.join(lines))}"
