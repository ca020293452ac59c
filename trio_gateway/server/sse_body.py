"""Response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart.wrappers.response import ResponseBody

from ..core.client_api import Encoder, sse_slices
from .batch_sink import BatchSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
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

    def encode(self, batch: Batch) -> Iterator[bytes]:
        return map(self._writer.framed, sse_slices(self._encoder, batch))

    def send_nowait(self, data: bytes) -> bytes:
        return data[self._writer.send_nowait(data) :]

    async def send(self, data: bytes) -> None:
        await self._writer.send_rest(data)


class SSEBody(ResponseBody):
    """Opens the stream when sending begins, and closes it at any end.

    The nursery of the stream lives exactly between ``__aenter__`` and ``__aexit__``: a generator could not
    hold it, since its frames are suspended wherever the server happens to drop it. The stream writes to
    the connection itself, through *sink*, so that iteration yields nothing.
    """

    def __init__(
        self,
        stream: AbstractAsyncContextManager[EventStream],
        sink: SSESink,
        *,
        ping_first: bool,
    ) -> None:
        self._stream = stream
        self._sink = sink
        self._ping_first = ping_first

    async def __aenter__(self) -> SSEBody:
        self._events = await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        # Nothing to shield: this cancels the stream's nursery, and waits for tasks that are cancelled.
        await self._stream.__aexit__(exc_type, exc, tb)  # noqa: ASYNC102

    def __aiter__(self) -> SSEBody:
        return self

    async def __anext__(self) -> bytes:
        await self._events.deliver(self._sink, ping_first=self._ping_first)
        raise StopAsyncIteration
