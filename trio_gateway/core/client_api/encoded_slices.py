"""Slices of frames: write a batch step by step, a large event in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .batch_slices import slices
from .frames import Frame, sse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..events import Batch
    from .encoder import Encoder

__all__ = ["frame_slices", "sse_slices"]


def sse_slices(encoder: Encoder, batch: Batch) -> Iterator[bytes]:
    """*batch* as server-sent events, usually in one piece; none is empty."""
    for part in slices(batch):
        if not part.is_heavy:
            if data := sse(encoder.encode(part.events)):
                yield data
            continue
        for name, texts in encoder.encode_large(part.events):
            start, end = sse([(name, "|")]).split(b"|")
            yield start
            yield from (text.encode("utf-8", "replace") for text in texts)
            yield end


def frame_slices(encoder: Encoder, batch: Batch) -> Iterator[list[Frame]]:
    """The frames of *batch*, some at a time; none, where other tasks should have their turn."""
    for part in slices(batch):
        if not part.is_heavy:
            yield encoder.encode(part.events)
            continue
        for name, texts in encoder.encode_large(part.events):
            data: list[str] = []
            for text in texts:
                data.append(text)
                yield []
            yield [(name, "".join(data))]
