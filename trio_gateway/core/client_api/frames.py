"""Frames: the bytes, heads and marks that all formats share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from ..phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DONE_FRAME", "PARAGRAPH", "PING", "PREFIXES", "ChunkHead", "Frame", "sse"]

Frame: TypeAlias = tuple[str, str]
"""``(event, data)``: the SSE event's name (``"message"`` for one without a name) and its data."""

PREFIXES = {
    Phase.PROMPT_SUMMARY: "[Prompt Summary] ",
    Phase.REASONING_SUMMARY: "[Reasoning Summary] ",
}
"""Open the first chunk of their phase; by them the gateway knows its own summaries in a history."""

PARAGRAPH = "\n\n"
"""Parts what is joined by a client: a phase from the next, or a summary from the next."""

DONE_FRAME: Frame = ("message", "[DONE]")
"""The last frame of every stream."""

PING: Frame = (":", "ping")
"""The frame of a sign of life: an SSE comment."""


class ChunkHead(Struct, frozen=True):
    """What every chunk of one answer has in common."""

    id: str
    created: int
    model: str

    def fields(self) -> dict[str, Any]:
        """The leading keys of a chunk, in their order."""
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }


def sse(frames: Iterable[Frame]) -> bytes:
    """Frames as server-sent events. Data is JSON on one line, so no text can forge an event."""
    parts: list[str] = []
    for event, data in frames:
        if event == "message":
            parts.append(f"data: {data}\n\n")
        elif event == ":":
            parts.append(f": {data}\n\n")
        else:
            parts.append(f"event: {event}\ndata: {data}\n\n")
    # A lone surrogate that came through a JSON escape has no UTF-8 form: it must not end the stream.
    return "".join(parts).encode("utf-8", "replace")
