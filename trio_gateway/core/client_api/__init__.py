"""Events to JSON frames, in one of two formats: ``phases``, whose phases are named events, and ``openai``,
which any OpenAI client reads.

The transports write frames; nothing here knows WebSocket, and of SSE only :func:`sse` does.
"""

from .encoded_slices import frame_slices, sse_slices
from .encoder import Encoder, error_object
from .formats import ENCODERS, Format
from .frames import DONE_FRAME, PARAGRAPH, PREFIXES, ChunkHead, Frame, sse
from .openai import OpenAIEncoder
from .phases_stream import PhasesEncoder

__all__ = [
    "DONE_FRAME",
    "ENCODERS",
    "PARAGRAPH",
    "PREFIXES",
    "ChunkHead",
    "Encoder",
    "Format",
    "Frame",
    "OpenAIEncoder",
    "PhasesEncoder",
    "error_object",
    "frame_slices",
    "sse",
    "sse_slices",
]
