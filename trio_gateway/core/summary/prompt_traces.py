"""Stack traces: finds language, error and place of a prompt's first trace.

They are read line by line, each line once. A trace that is cut off before its error, as people paste them, is
no trace here.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from .plain_text import cut, harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .steps import Steps

__all__ = ["Trace", "find_trace"]

MOST_STACKS = 64
"""Runs of frames that are looked at."""
HEADLINE = 500
"""Characters of the line above a trace's frames in which its error is looked for."""

_TRACEBACK = "Traceback (most recent call last):\n"
_INDENTED = re.compile(r"(?:[ \t][^\n]*+\n)++")
_ERROR_LINE = re.compile(r"([\w.]++)(?::[^\n]*+)?")
_IN = re.compile(r", in (\S++)")

_FIRST_AT = re.compile(r"\n[ \t]++at ")
_AT_LINES = re.compile(r"(?:[ \t]++at [^\n]*+(?:\n|\Z))++")
_NAME = re.compile(r"[\w.]++")
_AT_JAVA = re.compile(r"at ([\w.$]++)\(")
_AT_JAVASCRIPT = re.compile(r"at (?:async )?([\w.$]++) \(")

_RUST = re.compile(r"thread '[^'\n]*+' panicked at ([^\n]*+)")
_RUST_FILE = re.compile(r"(?<![\w/.-])[\w/.-]*?\.rs(?![\w/.-])")
_GO = re.compile(r"^panic: [^\n]*+\n((?:[^\n]*+\n){0,12})", re.MULTILINE)
_GO_CALL = re.compile(r"^([\w./]++(?:\(\*\w++\)[\w.]*+)?)\([^\n()]*+\)$", re.MULTILINE)


class Trace(NamedTuple):
    """A stack trace: where it stands in the text, and what a summary calls it."""

    start: int
    end: int
    name: str
    """As in "a Python traceback: KeyError in load_users"."""


def find_trace(text: str) -> Steps[Trace | None]:
    """The first stack trace in *text*, of the first language of which there is one."""
    for find in _LANGUAGES:
        if trace := find(text):
            return trace
        yield
    return None


def _python(text: str) -> Trace | None:
    start = text.find(_TRACEBACK)
    while start >= 0:
        end = start + len(_TRACEBACK)
        if frames := _INDENTED.match(text, end):
            end = frames.end()
            if error := _ERROR_LINE.match(text, end):
                places = _IN.findall(frames[0])
                return Trace(start, error.end(), _named("Python traceback", error[1], places[-1:]))
        start = text.find(_TRACEBACK, end)
    return None


def _java(text: str) -> Trace | None:
    for head, line, frames in _stacks(text) if "\tat " in text else ():
        for word in _NAME.finditer(line):
            error = word[0].rstrip(".")
            if "." in error and error.endswith(("Exception", "Error")):
                name = _named("Java stack trace", error, _AT_JAVA.findall(frames[0])[:1])
                return Trace(head + word.start(), frames.end(), name)
    return None


def _javascript(text: str) -> Trace | None:
    for head, line, frames in _stacks(text) if "Error: " in text else ():
        for word in _NAME.finditer(line):
            if word[0].endswith("Error") and line.startswith(": ", word.end()):
                name = _named("JavaScript stack trace", word[0], _AT_JAVASCRIPT.findall(frames[0])[:1])
                return Trace(head + word.start(), frames.end(), name)
    return None


def _stacks(text: str) -> Iterable[tuple[int, str, re.Match[str]]]:
    """Runs of lines that begin with "at": where the line above begins, that line, and the run."""
    return islice(_all_stacks(text), MOST_STACKS)


def _all_stacks(text: str) -> Iterable[tuple[int, str, re.Match[str]]]:
    place = 0
    while (first := _FIRST_AT.search(text, place)) and (frames := _AT_LINES.match(text, first.start() + 1)):
        head = max(text.rfind("\n", 0, first.start()) + 1, first.start() - HEADLINE)
        yield head, text[head : first.start()], frames
        place = frames.end() - 1


def _rust(text: str) -> Trace | None:
    if found := _RUST.search(text):
        return Trace(found.start(), found.end(), _named("Rust panic", "", _RUST_FILE.findall(found[1])[:1]))
    return None


def _go(text: str) -> Trace | None:
    if "panic: " in text and (found := _GO.search(text)):
        return Trace(found.start(), found.end(), _named("Go panic", "", _GO_CALL.findall(found[1])[:1]))
    return None


_LANGUAGES: tuple[Callable[[str], Trace | None], ...] = (_python, _java, _javascript, _rust, _go)


def _named(kind: str, error: str, places: list[str]) -> str:
    name = f"a {kind}: {cut(error.rsplit('.', 1)[-1], 60)}" if error else f"a {kind}"
    return name if places in ([], ["<module>"]) else f"{name} in {cut(harmless(places[0]), 60)}"
