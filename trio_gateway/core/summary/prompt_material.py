"""Prompt material: finds traces, code, diffs, data, tables and logs in a prompt.

Each kind is recognised by its own plain marks and described in a few words with its size. Nothing is parsed:
a wrong guess costs a word in a summary, so regular expressions, most of them read line by line, are enough.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .code_language import LANGUAGES, guess_language
from .frame_words import ENGLISH, Frames
from .prompt_cut import CUT, over
from .prompt_lines import line_runs
from .prompt_traces import find_trace
from .steps import at_once
from .terms import is_cjk

if TYPE_CHECKING:
    from collections.abc import Callable

    from .prompt_lines import Kind
    from .steps import Steps

__all__ = ["Material", "find_material", "material_steps", "size_of"]

SAMPLE = 8_192
"""Characters in which words are counted; of a longer text the count is an estimate."""
LONG_WORD = 30
"""Words longer than this in the mean are none: such a text is counted in characters."""
MATCHES_A_SLICE = 4
"""Pieces of code, or diffs, that are looked at between two yields."""

_DIFF = re.compile(
    r"^(?:diff --git |--- (?:a/|\S++\t))[^\n]*+\n(?:(?:diff --git |index |[ +\-@\\])[^\n]*+(?:\n|\Z))++",
    re.MULTILINE,
)
_DIFF_FILE = re.compile(r"^--- ", re.MULTILINE)
_FENCE = re.compile(
    r"^[ \t]*+(?P<mark>```|~~~)[`~]*+[ \t]*+(?P<name>[\w+#.-]*+)[^\n]*+\n(?P<body>.*?)"
    rf"(?:^[ \t]*+(?P=mark)[`~]*+[ \t{CUT}]*+$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(
    r"^[ \t#*`]*+(?:[Ff]ile:?[ \t]*+[`*]*+)?(?P<name>[\w./-]{1,60}\.[a-z]{1,5})[`*:]*+[ \t]*+$", re.MULTILINE
)
_TAG = re.compile(r"<([A-Za-z][\w-]{1,20})(?:\s[^<>]{0,200})?>")
_HTML_TAGS = frozenset(
    ["html", "head", "body", "div", "span", "table", "ul", "ol", "script", "style", "section"]
)
MOST_TAGS = 20
SHORTEST_TAGGED = 200


@dataclass(slots=True)
class Material:
    """Material that was found, by kind."""

    trace: str = ""
    labels: list[str] = field(default_factory=list)
    words: str = ""


def find_material(text: str) -> Material:
    """Part *text* into its material and the words of the person who asks."""
    return at_once(material_steps(text))


def material_steps(text: str) -> Steps[Material]:
    """:func:`find_material` in slices."""
    found = Material(words=text)
    code = _Code()
    if trace := (yield from find_trace(text)):
        found.trace = trace.name
        found.words = text[: trace.start] + "\n\n" + text[trace.end :]
    yield from _take_diffs(found)
    yield from _take_fences(found, code)
    _take_tagged(found)
    yield from _take_lines(found, code)
    found.labels += code.labels()
    found.words = found.words.replace(CUT, "\n")
    return found


def size_of(text: str, *, length: int | None = None, joined: bool = False, frames: Frames = ENGLISH) -> str:
    """How long a text is: "3,200 words" or, *joined*, "3,200-word"; characters where there are no spaces.

    The unit is named as in *frames*; where they have no name for it, there is no size. *length* is that of
    the whole, where *text* is only a part of it. Above a thousand the count is rounded to hundreds.
    """
    length = len(text) if length is None else length
    sample = text[:SAMPLE]
    words = len(sample.split())
    unit = "character" if is_cjk(text[:2000]) or len(sample) > LONG_WORD * words else "word"
    count = length if unit == "character" else words * length // max(1, len(sample))
    count = round(count, -2) if count >= 1000 else count
    if not frames.english:
        name = frames.character if unit == "character" else frames.word
        return f"{count}{name}" if name else ""
    return f"{count:,}-{unit}" if joined else _count(count, unit)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _Code:
    """The pieces of code: how many lines of each language.

    Of some languages not all lines may have been seen.
    """

    def __init__(self) -> None:
        self._lines: Counter[str] = Counter()
        self._over: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, language: str, lines: int, piece: str) -> None:
        self._lines[language] += lines
        self._over[language] = self._over.get(language) or over(piece)

    def labels(self) -> list[str]:
        counted = self._lines.items()
        return [f"{self._over[language]}{_count(lines, 'line')} of {language}" for language, lines in counted]


def _without(pattern: re.Pattern[str], text: str, take: Callable[[re.Match[str]], None]) -> Steps[str]:
    """*text* without what *pattern* matches, which *take* gets."""
    parts: list[str] = []
    end = 0
    for number, found in enumerate(pattern.finditer(text)):
        if number % MATCHES_A_SLICE == 0:
            yield
        take(found)
        parts += (text[end : found.start()], "\n\n")
        end = found.end()
    yield
    return "".join([*parts, text[end:]])


def _take_diffs(found: Material) -> Steps[None]:
    def take(diff: re.Match[str]) -> None:
        files = _count(len(_DIFF_FILE.findall(diff[0])), "file")
        found.labels.append("a diff" if over(diff[0]) else f"a diff of {files}")

    if "--- " in found.words or "diff --git " in found.words:
        found.words = yield from _without(_DIFF, found.words, take)


def _take_fences(found: Material, code: _Code) -> Steps[None]:
    def take(fence: re.Match[str]) -> None:
        if body := fence["body"].strip():
            language = LANGUAGES.get(fence["name"].lower()) or guess_language(body)
            code.add(language, len(body.splitlines()), fence.string[fence.start() : fence.end("body")])

    if "```" in found.words or "~~~" in found.words:
        found.words = yield from _without(_FENCE, found.words, take)
    if code:
        files: list[str] = []
        found.words = yield from _without(_FILE, found.words, lambda file: files.append(file["name"]))
        found.labels += list(dict.fromkeys(files))[:3]


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
            body = found.words[start:end]
            size = f" of over {size_of(body)}" if over(body) else ""
            found.labels.append(f"a {name}{size}" if size else f"a {size_of(body, joined=True)} {name}")
            found.words = found.words[: tag.start()] + "\n\n" + found.words[end + len(tag[1]) + 3 :]
            start = tag.start()


def _take_lines(found: Material, code: _Code) -> Steps[None]:
    rest: list[str] = []
    for kind, lines in (yield from line_runs(found.words)):
        if kind is None:
            rest += lines
            continue
        yield
        rest.append("")
        if kind == "code":
            body = "\n".join(lines)
            code.add(guess_language(body), len(lines), body)
        else:
            found.labels.append(_label(kind, lines))
    found.words = "\n".join(rest)


def _label(kind: Kind, lines: list[str]) -> str:
    more = over("".join(lines))
    match kind:
        case "table":
            rows = len(lines) - 1 - any(set(line) <= set("|-: ") for line in lines)
            return f"a table of {more}{_count(rows, 'row')}"
        case "log":
            return f"{more}{_count(len(lines), 'line')} of log"
        case "data":
            if len(lines) > 1:
                return f"{more}{_count(len(lines), 'line')} of JSON"
            return f"JSON of {more}{len(lines[0]):,} characters"
        case _:
            return f"a quoted text of {more}{size_of(' '.join(lines))}"
