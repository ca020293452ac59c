"""Clients as their users write them, one module a client: each asks the same and tells what its caller saw.

A driver is a function of the gateway's URL and of the ids of models that break off in mid-answer; it gives a
:class:`Seen`. ``python -m tests.compat.drivers MODULE:FUNCTION URL MODEL…`` prints that as JSON, so that each
client has a process, and an event loop, of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROMPT", "TOOL", "TOOL_RESULT", "Json", "Seen", "look_up", "raised"]

Json: TypeAlias = dict[str, Any]

PROMPT = "What is 2+2?"
TOOL_RESULT = "forty-two"
PARAMETERS = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look_up", "strict": True, "parameters": PARAMETERS}}


def look_up(word: str) -> str:
    """Look a word up."""
    return TOOL_RESULT if word == PROMPT else f"nothing is known about {word}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a client showed its caller; empty where it shows nothing."""

    version: str
    text: str
    reasoning: str
    reasoning_at: str  # where the caller reads it, as code
    errors: list[tuple[str, str]]  # a model that breaks off each: how the error came, and its message
    tools: str  # the text of the second answer, after the tool's result
    calls_tools: bool = False  # by itself; else its caller does
    usage: list[int]  # tokens of the prompt, of the answer


def raised(ask: Callable[[str], object], models: list[str]) -> list[tuple[str, str]]:
    """Ask each of *models* and tell what was raised."""

    def told(model: str) -> tuple[str, str]:
        try:
            ask(model)
        except Exception as error:
            return f"`{type(error).__name__}`", str(error)
        return "", ""

    return [told(model) for model in models]
