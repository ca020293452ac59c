"""Response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from quart.wrappers.response import ResponseBody

from ..core.encoder import Encoder, sse

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from ..core.events import Batch
    from ..engine.stream import EventStream
    from .asgi import ResponseWriter

__all__ = ["SSEBody", "SSESink"]


class SSESink:
    """Sink that writes events to the client's connection, in one write for all that waits."""

    def __init__(self, encoder: Encoder, writer: ResponseWriter) -> None:
        self._encoder = encoder
        self._writer = writer
        self._events: list[bytes] = []
        self._rest = b""  # framed already
        self._turn = trio.Lock()

    def write(self, batch: Batch) -> None:
        """Encode *batch*."""
        if data := sse(self._encoder.encode(batch)):
            self._events.append(data)

    async def flush(self) -> None:
        """Send what was written. Most often the socket has room, and nothing waits."""
        if not self._turn.locked():
            data = self._take()
            self._rest = data[self._writer.send_nowait(data) :] if data else data
            if not self._rest:
                return
        # Whoever comes here waits until everything that was written before has left.
        async with self._turn:
            while data := self._take():
                await self._writer.send_rest(data)

    def _take(self) -> bytes:
        """All framed bytes that have not left, in their order."""
        data, self._rest = self._rest, b""
        if self._events:
            data += self._writer.framed(b"".join(self._events))
            self._events.clear()
        return data


class SSEBody(ResponseBody):
    """Opens the stream when the server begins to send, and closes it when that ends, however it ends.

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
