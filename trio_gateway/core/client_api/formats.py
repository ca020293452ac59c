"""Wire formats: one entry for each client API, from its paths to its errors.

Adding a client API means modules for what differs and an entry in :data:`FORMATS`: the routes, the reading of
requests, the streams, the whole answers and the shapes of errors all follow from the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..errors import ApiError
from .chat_request import parse_chat_request
from .completion import CompletionBuilder
from .openai import OpenAIEncoder
from .phases_stream import PhasesEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .encoder import Encoder
    from .request import ChatRequest, FormatName

__all__ = ["FORMATS", "OPEN_PATHS", "WireFormat", "format_of_path"]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """A client API."""

    name: FormatName
    """Its name in the configuration, the header ``X-Stream-Format`` and the body."""
    paths: tuple[str, ...]
    """Paths of requests and WebSockets that stand for it and for no other."""
    parse: Callable[..., ChatRequest]
    """Reads the body of a request; see :func:`.parse_chat_request`."""
    stream: type[Encoder]
    """Writes a stream."""
    whole: type[CompletionBuilder]
    """Gathers a whole answer."""
    error_body: Callable[[ApiError], dict[str, Any]]
    """Shapes an error that comes before the first byte of an answer."""
    early_status: bool
    """Whether a stream's status line leaves at once. If not, it waits for the upstream's first event, so that
    a request that fails before it gets the status of its failure."""
    streams_unasked: bool
    """Whether an answer is streamed where the request does not say."""


FORMATS: Final[Mapping[FormatName, WireFormat]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            WireFormat(
                name="phases",
                paths=(),
                parse=parse_chat_request,
                stream=PhasesEncoder,
                whole=CompletionBuilder,
                error_body=ApiError.body,
                early_status=True,
                streams_unasked=True,
            ),
            WireFormat(
                name="openai",
                paths=("/openai/v1/chat/completions",),
                parse=parse_chat_request,
                stream=OpenAIEncoder,
                whole=CompletionBuilder,
                error_body=ApiError.body,
                early_status=False,
                streams_unasked=False,
            ),
        )
    }
)
"""The client APIs by name."""

OPEN_PATHS: Final = ("/v1/chat/completions",)
"""Paths whose requests name their format in a header or the body; else the configuration does."""


def format_of_path(path: str) -> WireFormat | None:
    """The format that *path*, or the beginning it shares with a format's paths, stands for; None: any.

    >>> format_of_path("/openai/v1/models").name, format_of_path("/v1/models")
    ('openai', None)
    """
    head = path.split("/", 2)[1:2]
    return next(
        (entry for entry in FORMATS.values() if any(own.split("/", 2)[1:2] == head for own in entry.paths)),
        None,
    )
