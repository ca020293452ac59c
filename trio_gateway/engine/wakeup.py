"""Wakeup: lets tasks wait for a change, and costs nothing while none waits."""

from __future__ import annotations

import trio

__all__ = ["Wakeup"]


class Wakeup:
    """Change of something that tasks look at again::

        while not ready():
            await wakeup.wait()

    An event is made when a task waits: made before, each stream would hold several in vain, of 280 bytes.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    async def wait(self) -> None:
        """Wait for the next call of :meth:`wake`."""
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()

    def wake(self) -> None:
        """Let all tasks that wait now look again."""
        if self._event is not None:
            self._event.set()
            self._event = None
