"""Reasoning told from output in the text of any model: the splitter and what it knows of each dialect."""

from .account import KEPT
from .flagged import FlaggedThoughts
from .pieces import Output, Piece, Promotion, Reasoning, ToolCall
from .splitter import ReasoningSplitter, starts_in_reasoning

__all__ = [
    "KEPT",
    "FlaggedThoughts",
    "Output",
    "Piece",
    "Promotion",
    "Reasoning",
    "ReasoningSplitter",
    "ToolCall",
    "starts_in_reasoning",
]
