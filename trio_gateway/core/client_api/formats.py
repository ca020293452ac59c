"""The formats of a stream, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .openai import OpenAIEncoder
from .phases_stream import PhasesEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .encoder import Encoder

__all__ = ["ENCODERS", "Format"]

Format: TypeAlias = Literal["phases", "openai"]

ENCODERS: Final[Mapping[Format, type[Encoder]]] = MappingProxyType(
    {"phases": PhasesEncoder, "openai": OpenAIEncoder}
)
"""What writes each format."""
