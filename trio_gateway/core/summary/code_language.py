"""Code language: recognises it by the fence's name or the look of lines."""

from __future__ import annotations

import re

__all__ = ["LANGUAGES", "guess_language"]

_NAMES = {
    "Python": "python py python3 pycon", "JavaScript": "js javascript jsx mjs", "Rust": "rs rust",
    "TypeScript": "ts typescript tsx", "Go": "go golang", "Java": "java", "Kotlin": "kotlin kt", "C": "c h",
    "C++": "cpp c++ cc hpp", "C#": "cs csharp c#", "Ruby": "ruby rb", "PHP": "php", "Swift": "swift",
    "Scala": "scala", "SQL": "sql", "shell": "sh bash shell zsh", "HTML": "html", "CSS": "css scss",
    "JSON": "json", "YAML": "yaml yml", "TOML": "toml", "XML": "xml", "Lua": "lua", "R": "r",
    "Haskell": "haskell hs", "Elixir": "elixir ex", "Dockerfile": "dockerfile", "LaTeX": "latex tex",
    "diff": "diff patch",
}  # fmt: skip
LANGUAGES = {name: language for language, names in _NAMES.items() for name in names.split()}
"""Names used at fences, in small letters, and the language they mean."""

_MARKS = {
    "Python": r"^[ \t]*+(?:def \w++\(.*:|class \w.*:|from [\w.]++ import|import \w++$|elif .*:)"
    r"|self\.|print\(",
    "TypeScript": r"^[ \t]*+(?:export )?(?:interface|type) \w|: (?:string|number|boolean)\b",
    "JavaScript": r"^[ \t]*+(?:const|let|var) \w++ =|=>|\bfunction\b|console\.|===",
    "Rust": r"\bfn \w|\blet mut\b|^[ \t]*+impl\b|^use \w++::|println!",
    "Go": r"^func |^package \w|:=|\bfmt\.",
    "Java": r"\bpublic (?:class|static|void)|\bprivate \w|System\.out|^import java",
    "C++": r"std::|#include <\w++>|\bcout\b|template ?<",
    "C": r"#include [<\"]\w++\.h|\bint main\(|\bprintf\(|\bchar \*|\bmalloc\(",
    "SQL": r"^[ \t]*+(?:SELECT|INSERT INTO|CREATE TABLE|UPDATE|ALTER TABLE|FROM|WHERE|LEFT JOIN|GROUP BY)\b",
    "HTML": r"</(?:div|p|span|body|html|a|li|ul|table|td|h\d)>|<!DOCTYPE",
    "shell": r"^#!/bin/\w{0,8}sh|^[ \t]*+(?:sudo|echo|export|apt|pip|curl) |^\$ ",
    "PHP": r"<\?php|\$\w++[ \t]*+=|->\w++\(",
}
_COMPILED = {language: re.compile(mark, re.MULTILINE) for language, mark in _MARKS.items()}
SAMPLE = 2048
"""Characters of a piece of code that are looked at: more would tell nothing new."""


def guess_language(code: str) -> str:
    """The language whose marks are most frequent at the beginning of *code*; "code" where there are none."""
    code = code[:SAMPLE]
    counts = {language: len(mark.findall(code)) for language, mark in _COMPILED.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] else "code"
