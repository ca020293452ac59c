"""Response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.client_api import Encoder, sse_slices
from .batch_sink import BatchSink
from .transport.asgi import StreamedBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.events import Batch
    from ..engine.stream import EventStream
    from .transport.asgi import ResponseWriter

__all__ = ["SSEBody", "SSESink"]


class SSESink(BatchSink[bytes]):
    """Sink that writes server-sent events to the client's connection."""

    def __init__(self, encoder: Encoder, writer: ResponseWriter) -> None:
        super().__init__()
        self._encoder = encoder
        self._writer = writer
        self._begun = False

    def encode(self, batch: Batch) -> Iterator[bytes]:
        return map(self._writer.framed, sse_slices(self._encoder, batch))

    def send_nowait(self, data: bytes) -> bytes:
        return data[self._writer.send_nowait(data) :]

    async def send(self, data: bytes) -> None:
        await self._writer.send_rest(data)

    async def flush(self) -> None:
        await super().flush()
        if not self._begun:  # nothing may have been there yet, and the status line leaves at once
            self._begun = True
            await self._writer.send_head()


class SSEBody(StreamedBody):
    """Body that is one stream, which writes to the connection itself, through *sink*."""

    def __init__(self, events: EventStream, sink: SSESink, *, ping_first: bool) -> None:
        self._events = events
        self._sink = sink
        self._ping_first = ping_first

    async def deliver(self) -> None:
        """Write the events as they come, and pings between them."""
        await self._events.deliver(self._sink, ping_first=self._ping_first)
