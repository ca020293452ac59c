"""Pieces: reasoning and output of a text, in its order."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

__all__ = ["Output", "Piece", "Reasoning", "Reclassified", "ToolCall"]


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of reasoning."""

    text: str


class Output(Struct, frozen=True, gc=False):
    """A piece of the answer."""

    text: str


class Reclassified(Struct, frozen=True, gc=False):
    """Reasoning that was the answer after all.

    ``text`` is output; the last ``given`` characters of the reasoning given so far are reasoning no longer.
    The two may differ: ``text`` has its start marker again where output came before it, and has lost the
    wrappers that output never shows.
    """

    text: str
    given: int = 0


class ToolCall(Struct, frozen=True, gc=False):
    """A piece of a tool call that stood in the text (harmony).

    The first piece of call number ``index`` (from 0) bears its name and no arguments; each later one adds
    to its arguments.
    """

    index: int
    name: str | None
    arguments: str


Piece: TypeAlias = Reasoning | Output | Reclassified | ToolCall
