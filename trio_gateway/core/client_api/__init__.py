"""Client APIs: read requests, and write events as frames and answers.

The transports write frames; nothing here knows WebSocket, and of SSE only :func:`sse` does.
"""

from .encoded_slices import frame_slices, sse_slices
from .encoder import Encoder, error_object
from .formats import FORMATS, OPEN_PATHS, WireFormat, format_of_path
from .frames import DONE_FRAME, PARAGRAPH, PREFIXES, ChunkHead, Frame, sse
from .openai import OpenAIEncoder
from .phases_stream import PhasesEncoder

__all__ = [
    "DONE_FRAME",
    "FORMATS",
    "OPEN_PATHS",
    "PARAGRAPH",
    "PREFIXES",
    "ChunkHead",
    "Encoder",
    "Frame",
    "OpenAIEncoder",
    "PhasesEncoder",
    "WireFormat",
    "error_object",
    "format_of_path",
    "frame_slices",
    "sse",
    "sse_slices",
]
