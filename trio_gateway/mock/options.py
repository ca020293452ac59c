"""Options of the mock model, and the file of recorded answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from .thoughts import RecordedTrace

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Options", "load_traces"]


@dataclass(frozen=True, slots=True)
class Options:
    """How the mock behaves; the fields are named as on its command line."""

    host: str = "127.0.0.1"
    port: int = 9000  # 0: the system chooses
    tokens_per_second: float = 50.0  # 0: as fast as it can
    first_token_delay: float = 0.0  # seconds after the headers
    chunk_size: int = 0  # characters a delta; 0: words with their leading space, and markers whole
    split_markers: bool = False  # cut markers over deltas that hold text too; only where chunk_size is 0
    think_seconds: float = 0.0  # repeat the reasoning until it takes so long at this pace; 0: say it once
    traces: tuple[RecordedTrace, ...] = ()  # recorded answers to replay instead of the canned ones


def load_traces(path: Path) -> tuple[RecordedTrace, ...]:
    """Read recorded answers, one JSON object a line; may raise an OSError or a msgspec.DecodeError."""
    return tuple(msgspec.json.Decoder(RecordedTrace).decode_lines(path.read_bytes()))
