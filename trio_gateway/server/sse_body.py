"""Response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart.wrappers.response import ResponseBody

from ..core.client_api import Encoder, sse_slices
from .batch_sink import BatchSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

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


class SSEBody(ResponseBody):
    """Delivers a stream when sending begins.

    The stream writes to the connection itself, through *sink*, so that iteration yields nothing.
    """

    def __init__(self, events: EventStream, sink: SSESink, *, ping_first: bool) -> None:
        self._events = events
        self._sink = sink
        self._ping_first = ping_first

    async def __aenter__(self) -> SSEBody:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """The stream's tasks end with the request's nursery."""

    def __aiter__(self) -> SSEBody:
        return self

    async def __anext__(self) -> bytes:
        await self._events.deliver(self._sink, ping_first=self._ping_first)
        raise StopAsyncIteration
