"""Text of the server made fit for a terminal: put on one line, typeset.

Text in, text or Markdown for rich out. It knows no stream, and not what is shown where.
"""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt
from rich.markdown import Markdown

from ..core.phases import Phase
from ..core.text.control_characters import drop_controls

__all__ = ["COLOURS", "error_line", "one_line", "parse_markdown"]

COLOURS = {Phase.PROMPT_SUMMARY: "cyan", Phase.REASONING_SUMMARY: "magenta", Phase.FINAL_OUTPUT: "green"}
# Tokens of a text that Markdown would not change.
PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "softbreak"}
ERROR_DETAILS = ("code", "status", "phase", "retry_after", "request_id")


def one_line(value: object) -> str:
    """*value* as text without line breaks, which could forge lines that look like the client's own."""
    return " ".join(str(value).split())


def error_line(error: dict[str, Any]) -> str:
    """An OpenAI error object on one line, with what helps to act on it."""
    details = [f"{name} {one_line(error[name])}" for name in ERROR_DETAILS if error.get(name) is not None]
    message = one_line(error.get("message") or "unknown")
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
    for token in (*tokens, *inside):
        token.type = token.type.replace("softbreak", "hardbreak")
        # Only here: an entity such as &#x202e; is a control character since it was parsed.
        token.content = drop_controls(token.content)
    # Not hyperlinks=True: it would hide where a stranger's link leads.
    markdown = Markdown("", style=COLOURS[Phase.FINAL_OUTPUT], code_theme="ansi_dark", hyperlinks=False)
    markdown.parsed = tokens
    return markdown
