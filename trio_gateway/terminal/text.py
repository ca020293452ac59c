"""A stranger's text made fit for a terminal: cleaned, put on one line, typeset.

Text in, text or Markdown for rich out. It knows no stream, and not what is shown where.
"""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt
from rich.markdown import Markdown

from ..core.phases import Phase

__all__ = ["COLOURS", "clean", "error_line", "parse_markdown"]

COLOURS = {Phase.PROMPT_SUMMARY: "cyan", Phase.REASONING_SUMMARY: "magenta", Phase.FINAL_OUTPUT: "green"}
# Tokens of a text that Markdown would not change.
PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "softbreak"}
CONTROLS = dict.fromkeys(code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t")
ERROR_DETAILS = ("code", "status", "phase", "retry_after", "request_id")


def clean(text: str) -> str:
    """*text* without the control characters by which it could drive a terminal."""
    return text.translate(CONTROLS)


def error_line(error: dict[str, Any]) -> str:
    """An OpenAI error object on one line, with what helps to act on it."""
    details = [f"{name} {error[name]}" for name in ERROR_DETAILS if error.get(name) is not None]
    message = " ".join(str(error.get("message") or "unknown").split())
    return f"error: {message}" + (f" ({', '.join(details)})" if details else "")


def parse_markdown(text: str) -> Markdown | None:
    """*text* typeset; None where it has no markup and stands as well as it is.

    Unlike rich's own reading, HTML and LaTeX (whose backslashes look like escapes) and links to pictures
    stand as they are, and a line break is kept.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    tokens = parser.disable(["escape", "image"]).parse(text)
    inside = [child for token in tokens for child in token.children or ()]
    if {token.type for token in (*tokens, *inside)} <= PLAIN:
        return None
    for token in inside:
        token.type = token.type.replace("softbreak", "hardbreak")
    # Not hyperlinks=True: it would hide where a stranger's link leads.
    markdown = Markdown("", style=COLOURS[Phase.FINAL_OUTPUT], code_theme="ansi_dark", hyperlinks=False)
    markdown.parsed = tokens
    return markdown
