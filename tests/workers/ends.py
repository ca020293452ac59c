"""Ends of a channel in memory, as the parent and a worker have them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing

from trio_gateway.server.workers.channel import ControlChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio_gateway.server.workers.channel_messages import Question, Reply

    Answer = Callable[[Question], Awaitable[Reply]]


async def never(question: Question) -> Reply:
    await trio.sleep_forever()
    raise AssertionError


@asynccontextmanager
async def connected(
    answer: Answer, other: Answer = never
) -> AsyncIterator[tuple[ControlChannel, ControlChannel]]:
    """Two ends; the second one answers by *answer*, the first by *other*."""
    ours, theirs = trio.testing.memory_stream_pair()
    first, second = ControlChannel(ours), ControlChannel(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run, other)
        nursery.start_soon(second.run, answer)
        yield first, second
        nursery.cancel_scope.cancel()
