"""Mailbox of a WebSocket: holds messages for the conversation, up to a bound in bytes.

Hypercorn's own queue is bounded in messages, so ten of the largest could wait in it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.budgets.body_ledger import BodyHold
    from ...core.errors import ApiError

__all__ = ["LARGE", "ClientMessage", "Mailbox"]

LARGE: Final = 64 * 1024
"""Bytes of the largest message that is kept while an answer runs."""
_WAITING: Final = 1024 * 1024
"""Bytes of all messages that wait; a larger one waits alone."""
_OVERHEAD: Final = 256
"""Bytes that a message takes besides its text."""


class ClientMessage:
    """A message of the client: its text as UTF-8, or none.

    Of a text that was not kept it has the *error* to answer with.
    """

    __slots__ = ("data", "error", "hold", "is_text")

    def __init__(
        self,
        data: bytes | bytearray = b"",
        *,
        is_text: bool = True,
        hold: BodyHold | None = None,
        error: ApiError | None = None,
    ) -> None:
        self.data = data
        self.is_text = is_text
        self.hold = hold
        self.error = error

    @property
    def size(self) -> int:
        """Bytes it takes while it waits."""
        return len(self.data) + _OVERHEAD

    def take(self) -> bytes | bytearray:
        """Its text, which is kept no longer here."""
        data, self.data = self.data, b""
        return data

    def release(self) -> None:
        """It is done with: give its bytes back to the ledger."""
        if self.hold is not None:
            self.hold.release()


class Mailbox:
    """The messages of one socket that wait. Made by the socket, emptied by the conversation.

    Attributes:
        is_busy: An answer runs; set by the conversation.
        open_hold: What counts the bytes of a message, set by the conversation.
    """

    def __init__(self) -> None:
        self.is_busy = False
        self.open_hold: Callable[[], BodyHold | None] = lambda: None
        self.is_closed = False
        self._waiting: deque[ClientMessage] = deque()
        self._bytes = 0
        self._changed = trio.Event()

    @property
    def keeps_large(self) -> bool:
        """Whether a large message may be kept: no answer runs, and none is about to."""
        return not (self.is_busy or self._waiting or self.is_closed)

    async def put(self, message: ClientMessage) -> None:
        """Add *message* once there is room for it; it is released where the mailbox is closed."""
        while self._waiting and self._bytes + message.size > _WAITING and not self.is_closed:
            await self._changed.wait()
        if self.is_closed:
            message.release()
            return
        self._waiting.append(message)
        self._bytes += message.size
        self._notify()

    async def get(self) -> ClientMessage | None:
        """The next message; None when there will be none."""
        while not self._waiting:
            if self.is_closed:
                return None
            await self._changed.wait()
        message = self._waiting.popleft()
        self._bytes -= message.size
        self._notify()
        return message

    def close(self) -> None:
        """The socket or its conversation has ended: nothing more is taken, and what waits is released."""
        self.is_closed = True
        while self._waiting:
            self._waiting.popleft().release()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
