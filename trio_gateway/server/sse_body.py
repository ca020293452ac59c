"""A response body that is one answer's stream, as server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart.wrappers.response import ResponseBody

from ..core.encoder import Encoder, sse_slices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from ..engine.stream import EventStream

__all__ = ["SSEBody"]


class SSEBody(ResponseBody):
    """Opens the stream when the server begins to send, and closes it when that ends, however it ends.

    The nursery of the stream lives exactly between ``__aenter__`` and ``__aexit__``: a generator could not
    hold it, since its frames are suspended wherever the server happens to drop it.
    """

    def __init__(self, stream: AbstractAsyncContextManager[EventStream], encoder: Encoder) -> None:
        self._stream = stream
        self._encoder = encoder
        self._slices: Iterator[bytes] = iter(())

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
        while not (data := next(self._slices, b"")):
            # Also where nothing in the batch was for this client.
            self._slices = sse_slices(self._encoder, await anext(self._events))
        return data
