"""Terminal text: breaks and typesets text of the server safely.

Text in, rows or Markdown for rich out. It knows no stream, and not what is shown where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from markdown_it import MarkdownIt
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.syntax import Syntax
from rich.text import Text

from ..core.text.control_characters import drop_controls
from .tex import read_tex

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.style import Style

__all__ = ["code_rows", "error_line", "make_parser", "one_line", "parse_markdown", "rows_of", "wrapped_rows"]

ERROR_DETAILS = ("code", "status", "phase", "retry_after", "request_id")
CODE_THEME = "ansi_dark"
INDENT = 2
TAB = 4


def one_line(value: object) -> str:
    """*value* as text without line breaks, which could forge lines that look like the client's own."""
    return " ".join(str(value).split())


def error_line(error: dict[str, Any]) -> str:
    """An OpenAI error object on one line, with what helps to act on it."""
    details = [f"{name} {one_line(error[name])}" for name in ERROR_DETAILS if error.get(name) is not None]
    message = one_line(error.get("message") or "unknown")
    return f"error: {message}" + (f" ({', '.join(details)})" if details else "")


class _LeftHeading(Heading):
    """A heading at the left, in a line of its own."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text.copy()
        text.justify = "left"
        yield text


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _LeftHeading}


def make_parser() -> MarkdownIt:
    """A parser that leaves HTML and links to pictures as they are, and reads TeX between delimiters."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    return read_tex(parser.disable(["escape", "image"]))


PARSER = make_parser()


def parse_markdown(text: str) -> Markdown:
    """*text* typeset; a line break in it is kept."""
    tokens = PARSER.parse(text)
    for token in (*tokens, *(child for parent in tokens for child in parent.children or ())):
        token.type = token.type.replace("softbreak", "hardbreak")
        # Only here: an entity such as &#x202e; is a control character since it was parsed.
        token.content = drop_controls(token.content)
    # Not hyperlinks=True: it would hide where a stranger's link leads.
    markdown = _Markdown("", code_theme=CODE_THEME, hyperlinks=False)
    markdown.parsed = tokens
    return markdown


def rows_of(console: Console, shown: RenderableType, width: int) -> list[str]:
    """*shown* as rows of at most *width* columns, with styling for *console*'s terminal."""
    with console.capture() as captured:
        console.print(shown, width=width)
    return [row.rstrip(" ") for row in captured.get().rstrip("\n").split("\n")]


def wrapped_rows(console: Console, line: str, style: str | Style, width: int) -> list[str]:
    """A line of text broken at words; the rows after the first are indented."""
    rows = Text(line, style).wrap(console, max(1, width - INDENT))
    return [
        row
        for at, part in enumerate(rows)
        for row in rows_of(console, _indented(part, INDENT * (at > 0)), width)
    ]


def code_rows(console: Console, context: str, line: str, language: str, width: int) -> list[str]:
    """A line of code, highlighted as what follows *context* (whole lines), indented, broken anywhere."""
    syntax = Syntax("", language or "text", theme=CODE_THEME, tab_size=TAB)
    lines = syntax.highlight(drop_controls(context + line)).split("\n", allow_blank=True)
    text = lines[context.count("\n")]
    text.expand_tabs(TAB)
    inside = max(1, width - INDENT)
    parts = [text]
    if text.cell_len > inside:
        parts = list(text.wrap(console, inside, overflow="fold"))
    return [row for part in parts for row in rows_of(console, _indented(part, INDENT), width)]


def _indented(text: Text, columns: int) -> Text:
    return Text(" " * columns, no_wrap=True, overflow="crop") + text
