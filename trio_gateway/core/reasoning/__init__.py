"""Splitter: separates reasoning from output in the text of any model."""

from .flagged import FlaggedThoughts
from .piece_buffer import KEPT
from .pieces import Output, Piece, Reasoning, Reclassified, ToolCall
from .splitter import ReasoningSplitter, starts_in_reasoning

__all__ = [
    "KEPT",
    "FlaggedThoughts",
    "Output",
    "Piece",
    "Reasoning",
    "ReasoningSplitter",
    "Reclassified",
    "ToolCall",
    "starts_in_reasoning",
]
