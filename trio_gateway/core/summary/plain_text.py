"""Plain text: removes control characters, HTML and Markdown, and words formulas."""

from __future__ import annotations

import re

from .formulas import loose_formula, plain_formula

__all__ = ["cut", "harmless", "one_line", "plain"]

# A formula with its delimiters, on one line or several. A price is none: a closing dollar never follows a
# space and never stands before a digit. No formula goes past the next delimiter of its kind, so that each
# character is read once; a backslash before a backslash escapes it.
_FORMULA = re.compile(
    r"(?<!\\)\\\[[^\\]*+(?:\\[^\[\]][^\\]*+)*+\\\]|(?<!\\)\\\([^\\]*+(?:\\[^()][^\\]*+)*+\\\)"
    r"|\$\$(?:[^$]|\$(?!\$))*+\$\$|\$(?=[^\s$])[^$\n]{0,300}?(?<=[^\s\\])\$(?!\d)"
)
# Line ends of every kind and C0, C1: they part words.
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]+")
# Soft hyphens, joiners, directional marks, fillers, variation selectors, tags, halves of pairs: what a reader
# cannot see. Format characters that have a shape (Arabic number signs and the like) stay.
_INVISIBLE = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff]"
)
_TAG_TABLE = """
a abbr article aside audio b base blockquote body br button canvas center code col dd del details div dl
dt em embed font footer form frame h[1-6] head header hr html i iframe img input ins label li link main
mark meta nav noscript object ol option p pre q s script section select small source span strike strong
style sub summary sup svg table tbody td textarea tfoot th thead title tr tt u ul var video think answer
"""
_TAGS = "|".join(_TAG_TABLE.split())
_HTML = re.compile(
    rf"</?(?:{_TAGS})\b[^<>]{{0,300}}>|<!--.{{0,300}}?-->|<!doctype[^<>]{{0,300}}>", re.IGNORECASE
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])([^<>]{0,80})>")
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_CODE_SPAN = re.compile(r"(?<!`)`++([^`\n]++)`++")
_LOOSE_LATEX = re.compile(r"\\[A-Za-z]{2}|[\^_]\{")
_LOOSE_DELIMITER = re.compile(r"\\[()\[\]]")
_LINK = re.compile(r"!?\[([^\[\]]{0,200})\]\([^()\s]{1,300}\)")
_STARS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*\n]{1,400}?)(?<=[^\s*])\1(?![\w*])")
_UNDERSCORES = re.compile(r"(?<!\w)(_{1,2})(?=[^\s_])(?=[^_\n ]++ )([^_\n]{3,401}+)(?<=[^\s_])\1(?!\w)")
# What is left of unpaired marks; two asterisks between numbers or single letters are a power.
_LOOSE_MARK = re.compile(
    r"((?:(?<=[\d)])|(?<=\b[A-Za-z])) ?\*\* ?(?=[\d(]|[A-Za-z]\b))|\*\*++|~~++|(?<!\w)__++(?!\w)|`++"
)
_LINE_HEAD = re.compile(r"^\s*+(?:(?:[#>]++|[-*+•–—]|\(?\d{1,2}[.)]|\[[ xX]\])\s++)++")
_SPACE_BEFORE = re.compile(r" (?=[,.;:!?](?: |$))")
_MARK = re.compile(r"[\\$<\[*_~^`]")
"""Every formula, every tag, and all Markdown inside a line has one of these characters."""


def one_line(text: str) -> str:
    """*text* on one line: control characters and runs of space are one space, invisible ones are gone."""
    if not (text.isascii() and text.isprintable()):
        text = _INVISIBLE.sub("", _CONTROL.sub(" ", text))
    return " ".join(text.split())


def harmless(text: str) -> str:
    """*text* on one line, in which nothing can be taken for an HTML tag."""
    text = one_line(text)
    return _TAG_START.sub("‹", _TAG.sub("‹\\1›", text)) if "<" in text else text


def plain(text: str) -> str:
    r"""A sentence as a person would read it aloud: *text* without markup of any kind, on one line.

    >>> plain(r"- **Note** that `a*b` is <b>not</b> \(\frac{a}{b}\) .")
    'Note that a*b is not a/b.'
    """
    text = _LINE_HEAD.sub("", text)
    if _MARK.search(text):
        parts = _CODE_SPAN.split(text)
        text = "".join(part if at % 2 else _without_markup(part) for at, part in enumerate(parts))
    return _SPACE_BEFORE.sub("", harmless(text))


def _without_markup(text: str) -> str:
    text = _HTML.sub("", _FORMULA.sub(_formula, text))
    text = _LINK.sub(r"\1", text)
    text = _UNDERSCORES.sub(r"\2", _STARS.sub(r"\2", text))
    text = _LOOSE_MARK.sub(lambda found: found[1] or "", text)
    text = _LOOSE_DELIMITER.sub("", text)
    return loose_formula(text) if _LOOSE_LATEX.search(text) else text


def _formula(found: re.Match[str]) -> str:
    width = 1 if found[0][:2] not in ("\\[", "\\(", "$$") else 2
    return plain_formula(found[0][width:-width])


def cut(text: str, width: int) -> str:
    """*text* in at most *width* characters: cut between words (or, in a text without spaces, between
    characters), not inside brackets, with an ellipsis."""
    if len(text) <= width:
        return text
    head = text[: width - 1]
    if not text[width - 1].isspace():
        space = head.rfind(" ")
        head = head[:space] if space > width // 2 else head
    return head[: _outermost_open(head)].rstrip(" ,;:.-–—(") + "…"


def _outermost_open(head: str) -> int | None:
    """Where a bracket opens that does not close; None if there is none, or nothing before it."""
    opened: list[int] = []
    for at, char in enumerate(head):
        if char == "(":
            opened.append(at)
        elif char == ")" and opened:
            opened.pop()
    return (opened[0] or None) if opened else None
