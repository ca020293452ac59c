"""What a long prompt carries besides its instruction: stack traces, code, diffs, data, tables, logs, documents.

Each kind is told by its own plain marks and described in a few words with its size. Nothing is parsed: a wrong
guess costs a word in a summary, so one regular expression a kind, read line by line, is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from trio_gateway.core.plain_text import one_line

__all__ = ["Material", "find_material", "size_of"]

Kind = Literal["trace", "diff", "code", "data", "table", "log", "quote", "document"]


@dataclass(frozen=True, slots=True)
class Material:
    """One piece of material: *label* as it stands in a sentence ("40 lines of Python")."""

    kind: Kind
    label: str


_FENCE = re.compile(
    r"^[ \t]*(?P<mark>```|~~~)[`~]*[ \t]*(?P<name>[\w+#.-]*)[^\n]*\n(?P<body>.*?)(?:^[ \t]*(?P=mark)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_TAGGED = re.compile(r"<(?P<name>[A-Za-z][\w-]{1,30})(?:\s[^<>]{0,200})?>(?P<body>(?:(?!<(?P=name)\b).){200,}?)</(?P=name)>", re.DOTALL)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_TRACES = (
    (
        "Python traceback",
        re.compile(
            r"Traceback \(most recent call last\):\n(?P<frames>(?:[ \t]+[^\n]*\n|\n)*)(?P<error>[\w.]+)(?::[ \t]*(?P<text>[^\n]*))?"
        ),
        re.compile(r", in (\S+)"),
    ),
    (
        "Java stack trace",
        re.compile(r"(?:Exception in thread \S+ )?(?P<error>(?:\w+\.)+\w*(?:Exception|Error))[^\n]*\n(?P<frames>(?:\s+at [^\n]*\n?)+)"),
        re.compile(r"at ([\w.$]+)\("),
    ),
    (
        "JavaScript stack trace",
        re.compile(r"(?P<error>\w*Error): [^\n]*\n(?P<frames>(?:\s+at [^\n]*\n?)+)"),
        re.compile(r"at (?:async )?([\w.$]+) \("),
    ),
    ("Rust panic", re.compile(r"thread '[^'\n]*' (?P<error>panicked) at (?P<frames>[^\n]*)"), re.compile(r"([\w/.-]+\.rs)")),
    ("Go panic", re.compile(r"(?P<error>panic): [^\n]*\n(?P<frames>(?:[^\n]*\n){0,12})"), re.compile(r"([\w./]+)\([^\n)]*\)\n")),
)
_LANGUAGES = {
    "python": "Python", "py": "Python", "python3": "Python", "js": "JavaScript", "javascript": "JavaScript",
    "jsx": "JavaScript", "ts": "TypeScript", "tsx": "TypeScript", "typescript": "TypeScript", "rs": "Rust",
    "rust": "Rust", "go": "Go", "golang": "Go", "java": "Java", "kotlin": "Kotlin", "kt": "Kotlin", "c": "C",
    "cpp": "C++", "c++": "C++", "cs": "C#", "csharp": "C#", "c#": "C#", "ruby": "Ruby", "rb": "Ruby", "php": "PHP",
    "swift": "Swift", "scala": "Scala", "sql": "SQL", "sh": "shell", "bash": "shell", "shell": "shell", "zsh": "shell",
    "html": "HTML", "css": "CSS", "json": "JSON", "yaml": "YAML", "yml": "YAML", "toml": "TOML", "xml": "XML",
    "lua": "Lua", "r": "R", "haskell": "Haskell", "elixir": "Elixir", "dockerfile": "Dockerfile", "latex": "LaTeX",
}  # fmt: skip
_MARKS = {
    "Python": re.compile(r"^\s*(?:def \w+\(.*:|class \w+.*:|from [\w.]+ import|import \w+$|elif .*:|with .*:)|self\.|print\(", re.M),
    "TypeScript": re.compile(r"^\s*(?:export )?(?:interface|type) \w+|: (?:string|number|boolean)\b", re.M),
    "JavaScript": re.compile(r"^\s*(?:const|let|var) \w+ =|=>|\bfunction\b|console\.|===", re.M),
    "Rust": re.compile(r"\bfn \w+|\blet mut\b|^\s*impl\b|^use \w+::|println!", re.M),
    "Go": re.compile(r"^func |^package \w+|:=|\bfmt\.", re.M),
    "Java": re.compile(r"\bpublic (?:class|static|void)|\bprivate \w+|System\.out|^import java", re.M),
    "C++": re.compile(r"std::|#include <\w+>|\bcout\b|template ?<", re.M),
    "C": re.compile(r"#include [<\"]\w+\.h|\bint main\(|\bprintf\(|\bchar \*|\bmalloc\(", re.M),
    "SQL": re.compile(r"^\s*(?:SELECT|INSERT INTO|CREATE TABLE|UPDATE|ALTER TABLE|FROM|WHERE|LEFT JOIN|GROUP BY)\b", re.M),
    "HTML": re.compile(r"</(?:div|p|span|body|html|a|li|ul|table|td|h\d)>|<!DOCTYPE", re.I),
    "shell": re.compile(r"^#!/bin/\w*sh|^\s*(?:sudo|echo|export|apt|pip|curl) |^\$ ", re.M),
    "Ruby": re.compile(r"^\s*(?:end|puts .*|def \w+|require '.*')$", re.M),
    "PHP": re.compile(r"<\?php|\$\w+\s*=|->\w+\(", re.M),
}
_LINES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("quote", re.compile(r"\s*>\s?\S")),
    ("table", re.compile(r"\s*\|.*\|\s*$")),
    ("log", re.compile(r"\s*\[?(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:)|(?:INFO|WARN|ERROR|DEBUG)\b")),
    ("diff", re.compile(r"diff --git |@@ |(?:---|\+\+\+) [\w./]|index [0-9a-f]{7}")),
    ("data", re.compile(r"\s*(?:\"[^\"\n]*\"\s*:|[\[{]\s*(?:\"|$)|[\]}],?\s*$)")),
    (
        "code",
        re.compile(
            r"\s*(?:def |class \w+[:(]|import \w|from [\w.]+ import|return\b|(?:if|for|while|with|elif|else|try|except)\b.*:\s*$|@\w+|"
            r"#include|using |public |private |func |fn |const |let \w+ =|var |package |//|SELECT |FROM |WHERE |</?\w+[^<>]*>)"
            r"|.*(?:[;{}]|\);?)\s*$|\s*[\w.\[\]]+ (?:[-+*/]?=) \S|(?: {4,}|\t)\S"
        ),
    ),
    ("table", re.compile(r"[^,\n]{1,40}(?:,[^,\s][^,\n]{0,40}){2,}$|[^\t\n]*(?:\t[^\t\n]*){2,}$")),
)
_FEWEST = 3


def find_material(text: str) -> tuple[list[Material], str]:
    """The pieces of material in *text*, and what is left of it: the words of the person who asks."""
    found: list[Material] = []
    for name, pattern, place in _TRACES:
        if trace := pattern.search(text):
            found.append(_trace(name, trace, place))
            text = text[: trace.start()] + "\n\n" + text[trace.end() :]
            break
    code: dict[str, int] = {}

    def take_fence(fence: re.Match[str]) -> str:
        body = fence["body"]
        if body.strip():
            language = _LANGUAGES.get(fence["name"].lower()) or guess_language(body)
            code[language] = code.get(language, 0) + len(body.strip().splitlines())
        return "\n\n"

    def take_tagged(tagged: re.Match[str]) -> str:
        found.append(Material("document", f"a {size_of(tagged['body'], joined=True)} {_noun(tagged['name'])}"))
        return "\n\n"

    text = _TAGGED.sub(take_tagged, _FENCE.sub(take_fence, text))
    rest: list[str] = []
    for kind, lines in _runs(text):
        if kind is None:
            rest.extend(lines)
        elif kind == "code":
            language = guess_language("\n".join(lines))
            code[language] = code.get(language, 0) + len(lines)
        else:
            found.append(Material(kind, _label(kind, lines)))
        if kind is not None:
            rest.append("")
    found.extend(Material("code", _lines_of(count, language)) for language, count in code.items())
    return found, "\n".join(rest)


def size_of(text: str, *, joined: bool = False) -> str:
    """How long a prose text is: "3,200 words" or, *joined*, "3,200-word"; characters where there are no spaces.

    Above a thousand the count is rounded to hundreds.
    """
    sample = text[:2000]
    characters = 2 * len(_CJK.findall(sample)) > len(sample)
    count = len(text) if characters else len(text.split())
    count = round(count, -2) if count >= 1000 else count
    unit = "character" if characters else "word"
    return f"{count:,}-{unit}" if joined else f"{count:,} {unit}{'' if count == 1 else 's'}"


def guess_language(code: str) -> str:
    """The language whose marks are most frequent; "code" where there are none."""
    counts = {name: len(mark.findall(code)) for name, mark in _MARKS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "code"


def _runs(text: str) -> list[tuple[Kind | None, list[str]]]:
    """Lines grouped by kind; a run too short to be material, and blank lines, are words."""
    kinds: list[tuple[Kind | None, str]] = []
    for line in text.splitlines():
        kind = next((kind for kind, mark in _LINES if mark.match(line)), None)
        inside = not line.strip() and kinds and kinds[-1][0] in ("code", "data")
        kinds.append((kinds[-1][0] if inside else kind, line))
    runs: list[tuple[Kind | None, list[str]]] = []
    for kind, group in groupby(kinds, key=lambda entry: entry[0]):
        lines = [line for _, line in group]
        real = kind is not None and sum(bool(line.strip()) for line in lines) >= _FEWEST
        runs.append((kind if real else None, lines))
    return runs


def _trace(name: str, found: re.Match[str], place: re.Pattern[str]) -> Material:
    error = found["error"].rsplit(".", 1)[-1]
    places = place.findall(found["frames"])
    where = (places[-1] if name.startswith("Python") else places[0]) if places else ""
    where = "" if where == "<module>" else one_line(where)[:60]
    what = name if error in ("panic", "panicked") else f"{name}: {error}"
    return Material("trace", f"a {what}" + (f" in {where}" if where else ""))


def _label(kind: Kind, lines: list[str]) -> str:
    count = sum(bool(line.strip()) for line in lines)
    match kind:
        case "table":
            return f"a table of {count - any(set(line) <= set('|-: ') for line in lines)} rows"
        case "log":
            return f"{count} lines of log"
        case "diff":
            return "a diff"
        case "data":
            return f"{count} lines of JSON"
        case _:
            return f"a quoted text of {size_of(' '.join(lines))}"


def _lines_of(count: int, language: str) -> str:
    return f"{count:,} line{'' if count == 1 else 's'} of {language}"


def _noun(tag: str) -> str:
    name = tag.lower().replace("_", " ").replace("-", " ")
    return name if name.isascii() and len(name) <= 20 and name not in ("div", "body", "html") else "document"
