"""A response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from quart.wrappers.response import ResponseBody

from ..core.batch_slices import slices
from ..core.encoder import Encoder, sse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from ..core.batch_slices import Slice
    from ..engine.stream import EventStream

__all__ = ["SSEBody"]


class SSEBody(ResponseBody):
    """Opens the stream when the server begins to send, and closes it when that ends, however it ends.

    The nursery of the stream lives exactly between ``__aenter__`` and ``__aexit__``: a generator could not
    hold it, since its frames are suspended wherever the server happens to drop it.

    *threads*: limits the threads that encode what would hold the event loop.
    """

    def __init__(
        self,
        stream: AbstractAsyncContextManager[EventStream],
        encoder: Encoder,
        threads: trio.CapacityLimiter,
    ) -> None:
        self._stream = stream
        self._encoder = encoder
        self._threads = threads
        self._slices: Iterator[Slice] = iter(())

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
        """What is written next: a batch, or a slice of a large one."""
        while True:
            for part in self._slices:
                if data := await self._encoded(part):
                    return data
                await trio.lowlevel.checkpoint()  # nothing in it was for this client
            self._slices = slices(await anext(self._events))

    async def _encoded(self, part: Slice) -> bytes:
        if part.is_heavy:
            return await trio.to_thread.run_sync(_bytes, self._encoder, part, limiter=self._threads)
        return _bytes(self._encoder, part)


def _bytes(encoder: Encoder, part: Slice) -> bytes:
    return sse(encoder.encode(part.events))
