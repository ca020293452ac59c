"""Response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from quart.wrappers.response import ResponseBody

from ..core.encoder import Encoder, sse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from ..core.events import Batch
    from ..engine.stream import EventStream

__all__ = ["SSEBody"]


class _SSESink:
    """Sink that writes events to the client's connection. *send* takes bytes of the body."""

    def __init__(self, encoder: Encoder, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._encoder = encoder
        self._send = send
        self._pending: list[bytes] = []
        self._turn = trio.Lock()

    def write(self, batch: Batch) -> None:
        if data := sse(self._encoder.encode(batch)):
            self._pending.append(data)

    async def flush(self) -> None:
        # Whoever waits here, waits for everything that was written before.
        async with self._turn:
            while self._pending:
                data = b"".join(self._pending)
                self._pending.clear()
                await self._send(data)


class SSEBody(ResponseBody):
    """Opens the stream when the server begins to send, and closes it when that ends, however it ends.

    The nursery of the stream lives exactly between ``__aenter__`` and ``__aexit__``: a generator could not
    hold it, since its frames are suspended wherever the server happens to drop it. The stream writes to
    the connection itself, through *send*, so that iteration yields nothing.
    """

    def __init__(
        self,
        stream: AbstractAsyncContextManager[EventStream],
        encoder: Encoder,
        send: Callable[[bytes], Awaitable[None]],
        *,
        ping_first: bool,
    ) -> None:
        self._stream = stream
        self._sink = _SSESink(encoder, send)
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
