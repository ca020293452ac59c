"""Incoming body: counts what a view reads, and refuses slow ones.

Quart gathers a body by itself, of any size, before a view asks for it. Here nothing is taken from the server
until the view does: what a client sends meanwhile waits in the connection, whose room is bounded.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from math import inf
from sys import maxsize
from typing import TYPE_CHECKING, Final

import trio
from werkzeug.exceptions import RequestEntityTooLarge

from ...core.budgets.body_ledger import BodyBudget, BodyHold
from ...core.budgets.upload_pace import UploadPace
from ...core.errors import RequestError, error_for
from ...engine.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

__all__ = ["NO_ROOM", "TOO_SLOW", "IncomingBody"]

_LOOK: Final = 1.0
"""Seconds after which an upload that sends nothing is looked at again: others may have taken the room."""

NO_ROOM: Final = error_for(
    "overloaded",
    "There is no room for this request body beside the others in flight (server.max_bodies; one client may "
    "hold half of it): expected that this ends soon, try again.",
    retry_after=1.0,
)
TOO_SLOW: Final = error_for(
    "request_timeout",
    "The request body arrived too slowly: after 10 seconds 16 KiB a second are expected on average, 64 KiB "
    "while the gateway is busy with bodies.",
)


@contextmanager
def _released_if_refused(hold: BodyHold) -> Iterator[None]:
    """Give the bytes of a body back before its refusal is sent: others may be waiting for that room."""
    try:
        yield
    except BaseException:
        hold.release()
        raise


class IncomingBody:
    """The body of one request. The server's side feeds it, the view's reads it, once.

    It holds one part, of what one read gave; the next is fed when that has been taken.
    """

    def __init__(self) -> None:
        self.announced = 0
        self.limit = inf
        self._invite: Callable[[], Awaitable[None]] | None = None
        self._part: bytes | None = None
        self._ended = False
        self._closed = False
        self._moved = Wakeup()

    def expect(
        self, *, announced: int | None, limit: int | None, invite: Callable[[], Awaitable[None]] | None
    ) -> None:
        """*announced*: its ``Content-Length``, if there is one. *limit*: bytes of the largest one. *invite*
        is called before the first byte is waited for."""
        self.announced = announced or 0
        self.limit = inf if limit is None else limit
        self._invite = invite

    @property
    def has_room(self) -> bool:
        """Whether a part may be fed."""
        return self._part is None or self._closed

    @property
    def is_over(self) -> bool:
        """Whether no part is left, and none comes."""
        return self._part is None and (self._ended or self._closed)

    async def wait_for_room(self) -> None:
        """Wait until a part may be fed."""
        while not self.has_room:
            await self._moved.wait()

    def feed(self, part: bytes) -> None:
        """Hand over a part; it is thrown away where nothing is wanted any more."""
        if part and not self._closed:
            self._part = part
            self._moved.wake()

    def end(self) -> None:
        """No part comes any more: the body is whole."""
        self._ended = True
        self._moved.wake()

    def close(self) -> None:
        """Want nothing more of it."""
        self._closed = True
        self._part = None
        self._moved.wake()

    async def next(self) -> bytes | None:
        """The next part; None at the end."""
        while self._part is None and not self.is_over:
            await self._moved.wait()
        part, self._part = self._part, None
        self._moved.wake()
        return part

    async def read(self, hold: BodyHold) -> bytearray:
        """The whole body, counted in *hold*, which is released at once where it is not taken.

        Raises:
            RequestEntityTooLarge: it is larger than the limit, as far as is known.
            RequestError: there is no room for it (503), or it is too slow (408).
        """
        with closing(self), _released_if_refused(hold):
            if self.announced > self.limit:
                raise self._too_large()
            if not hold.fits():
                raise RequestError(NO_ROOM)
            if self._invite is not None:
                await self._invite()
            return await self._gather(hold)

    def _too_large(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(f"The request body is too large: at most {self.limit:,} bytes.")

    async def _gather(self, hold: BodyHold) -> bytearray:
        body = bytearray()
        pace = UploadPace(trio.current_time())
        while (part := await self._next(pace, hold)) is not None:
            if len(body) + len(part) > self.limit:
                raise self._too_large()
            if not hold.add(len(part)):
                raise RequestError(NO_ROOM)
            body += part
        return body

    async def _next(self, pace: UploadPace, hold: BodyHold) -> bytes | None:
        """The next part, in time; None at the end."""
        while True:
            deadline = pace.deadline(hold.held, crowded=hold.is_crowded)
            if trio.current_time() >= deadline:
                raise RequestError(TOO_SLOW)
            if self._part is not None or self.is_over:
                return await self.next()  # which does not wait
            with trio.move_on_at(min(deadline, trio.current_time() + _LOOK)):
                await self._moved.wait()

    # What is used of Quart's own body, which this one stands for.

    def __await__(self) -> Generator[object, object, bytes]:
        body = yield from self.read(BodyBudget(maxsize).hold(None)).__await__()
        return bytes(body)

    def disconnect(self) -> None:
        """Newer Quart calls this when the client has left; the task that reads is cancelled then."""
