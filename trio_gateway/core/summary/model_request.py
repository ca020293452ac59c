"""Summary request: asks a model for a line, and cleans its answer.

The instruction comes from the configuration (see :mod:`..config.instructions`). What it is to summarise is
data: it is sent as a JSON string inside a message of its own, so that nothing in it can pass for an
instruction, and only so much of it as a small model reads in a moment. Nothing of the client's request
(parameters, tools, keys) goes along.
"""

from __future__ import annotations

from typing import Literal

from ..json.strict import dumps
from .plain_text import cut, plain

__all__ = ["MAX_REQUEST", "MAX_TEXT", "summary_body", "summary_line"]

MAX_REQUEST = 16 * 1024
"""Bytes of a whole request."""
MAX_TOKENS = 100
MAX_TEXT = 2000
"""Characters of an answer that are read: far more than a line has."""


def summary_body(kind: Literal["prompt", "reasoning"], text: str, *, model: str, instruction: str) -> bytes:
    """The request for a summary of *text*, of which as much goes along as fits.

    That is a prompt's beginning (there the task is), or the end of a reasoning (there it is now).
    """
    text = text[:MAX_REQUEST] if kind == "prompt" else text[-MAX_REQUEST:]
    while len(body := _body(kind, text, model, instruction)) > MAX_REQUEST and text:
        keep = len(text) * MAX_REQUEST // (len(body) + 1)
        text = text[:keep] if kind == "prompt" else text[len(text) - keep :]
    return body


def _body(kind: str, text: str, model: str, instruction: str) -> bytes:
    messages = [{"role": "system", "content": instruction}, {"role": "user", "content": dumps({kind: text})}]
    request = {
        "model": model,
        "messages": messages,
        "stream": True,
        "max_tokens": MAX_TOKENS,
        "temperature": 0.2,
    }
    return dumps(request).encode("utf-8", "replace")


def summary_line(text: str, width: int) -> str | None:
    """A summarising model's answer as one line of at most *width* characters; None if it has none."""
    first = next((line for line in text[:MAX_TEXT].splitlines() if line.strip()), "")
    line = cut(plain(first).strip(" \"'"), width)
    return line if any(character.isalpha() for character in line) else None
