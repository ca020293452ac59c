"""Servers beside a browser: Playwright's plain functions block their thread, so Trio has another one."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["beside", "eventually"]

T = TypeVar("T")


@contextmanager
def beside(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Hold *manager* open in a thread with a Trio of its own; gives what it gives, to be looked at only."""
    ready: SimpleQueue[tuple[T, Callable[[], object]]] = SimpleQueue()

    async def hold() -> None:
        stop, token = trio.Event(), trio.lowlevel.current_trio_token()
        async with manager as value:
            ready.put((value, lambda: trio.from_thread.run_sync(stop.set, trio_token=token)))
            await stop.wait()

    thread = threading.Thread(target=trio.run, args=(hold,))
    thread.start()
    value, stop = ready.get(timeout=10)
    try:
        yield value
    finally:
        stop()
        thread.join(timeout=40)


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until *condition* holds, which must be within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
