"""Splitter: separates reasoning from output in the text of any model."""

from .account import KEPT
from .pieces import Output, Piece, Promotion, Reasoning, ToolCall
from .splitter import ReasoningSplitter, starts_in_reasoning

__all__ = [
    "KEPT",
    "Output",
    "Piece",
    "Promotion",
    "Reasoning",
    "ReasoningSplitter",
    "ToolCall",
    "starts_in_reasoning",
]
