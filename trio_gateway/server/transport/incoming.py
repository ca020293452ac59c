"""Incoming body: counts what a view reads, and refuses slow ones.

Quart gathers a body by itself, of any size, before a view asks for it. Here nothing is taken from the server
until the view does: what a client sends meanwhile waits in the connection, whose room is bounded.
"""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from sys import maxsize
from typing import TYPE_CHECKING, Final

import trio
from werkzeug.exceptions import RequestEntityTooLarge

from ...core.budgets.body_ledger import BodyBudget, BodyHold
from ...core.budgets.upload_pace import UploadPace
from ...core.errors import RequestError, error_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

    from hypercorn.typing import HTTPRequestEvent

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

    *announced*: its ``Content-Length``, if there is one. *limit*: bytes of the largest one. *invite* is
    called before the first byte is waited for.
    """

    def __init__(
        self, *, announced: int | None, limit: int | None, invite: Callable[[], Awaitable[None]] | None
    ) -> None:
        self.announced = announced or 0
        self.limit = inf if limit is None else limit
        self._invite = invite
        self._send, self._receive = trio.open_memory_channel[bytes](0)

    async def feed(self, message: HTTPRequestEvent) -> None:
        """Hand over a part, once it is wanted; it is thrown away where nothing is wanted any more."""
        try:
            if message["body"]:
                await self._send.send(message["body"])
        except trio.BrokenResourceError:
            return
        if not message["more_body"]:
            self._send.close()

    def close(self) -> None:
        """Want nothing more of it."""
        self._receive.close()

    async def read(self, hold: BodyHold) -> bytearray:
        """The whole body, counted in *hold*, which is released at once where it is not taken.

        Raises:
            RequestEntityTooLarge: it is larger than the limit, as far as is known.
            RequestError: there is no room for it (503), or it is too slow (408).
        """
        with self._receive, _released_if_refused(hold):
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
        """The next part; None at the end."""
        while True:
            deadline = pace.deadline(hold.held, crowded=hold.is_crowded)
            if trio.current_time() >= deadline:
                raise RequestError(TOO_SLOW)
            with trio.move_on_at(min(deadline, trio.current_time() + _LOOK)):
                try:
                    return await self._receive.receive()
                except trio.EndOfChannel:
                    return None

    # What is used of Quart's own body, which this one stands for.

    def __await__(self) -> Generator[object, object, bytes]:
        body = yield from self.read(BodyBudget(maxsize).hold(None)).__await__()
        return bytes(body)

    def disconnect(self) -> None:
        """Newer Quart calls this when the client has left; the task that reads is cancelled then."""
