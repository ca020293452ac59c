"""Mock model: an OpenAI-compatible server with canned reasoning answers, for demos and tests.

A request becomes one :class:`Reply` a choice (``compose``), replies become steps, each the bytes of one write
(``stream``, ``whole``), and a fault spoils the steps (``sabotage``): plain functions that never wait. The
application then sends the steps at the pace of a model."""

from .options import Options, load_traces
from .replies import FAMILIES, MARKER, MockMessage, MockRequest, Reply, compose, tokenize
from .server import create_mock, serve_mock
from .thoughts import CANNED, GENERIC, RecordedTrace, Thought

__all__ = [
    "CANNED",
    "FAMILIES",
    "GENERIC",
    "MARKER",
    "MockMessage",
    "MockRequest",
    "Options",
    "RecordedTrace",
    "Reply",
    "Thought",
    "compose",
    "create_mock",
    "load_traces",
    "serve_mock",
    "tokenize",
]
