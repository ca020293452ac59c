"""What passes as a WebSocket: RFC 6455 read strictly, over hypercorn's stream class and wsproto.

What :class:`StrictWebSocket` does otherwise than its base:

* A client whose frames are wrong gets a close frame: 1002, or 1007 for text that is not UTF-8. The
  base hangs up without a word.
* A message over the limit ends the socket, with 1009, and the application is informed at once. The base says
  1009 and gathers on, without bound, for an application that knows nothing. The limit is in bytes; the base
  counts characters.
* Messages go into a :class:`~..websocket.mailbox.Mailbox`, which is bounded in bytes, not into
  hypercorn's queue. What cannot be a request is not gathered: binary messages, large ones while an answer
  runs, those for which the ledger of bodies has no room, and those that arrive too slowly.
* Compression is declined. A read of 64 KiB could inflate to 64 MiB before anything looked at its size, and
  each socket would hold 300 KB for it.
* More than 100 pings within 10 seconds end it, with 1008. Empty fragments cost time alone, and that is shared
  out: each is a checkpoint.
* Pings of ours stop with the socket. In the base their task sleeps on, and the connection waits for it.
* That the client is gone is reported again where the report was cut short: browsers leave with a close frame
  and a FIN at once, and the FIN ends what is done about the frame.
* That news is for a running application only. In the base it waits for room in the
  queue of one that has ended, and then nothing ever closes the connection.
"""

from __future__ import annotations

from itertools import chain
from math import inf
from struct import pack
from typing import TYPE_CHECKING, Any, Final

import trio
from hypercorn.protocol.events import Data, Event, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from ...core.budgets.upload_pace import UploadPace
from ..websocket.mailbox import LARGE, Mailbox
from ..websocket.mailbox import ClientMessage as Received
from ..websocket.states import IN_PROGRESS
from .flood import Flood
from .incoming import NO_ROOM, TOO_SLOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hypercorn.typing import ASGISendEvent, WebsocketAcceptEvent

    from ...core.budgets.body_ledger import BodyHold
    from ...core.errors import ApiError

__all__ = ["MAILBOX", "SEND_TEXTS", "StrictWebSocket"]

SEND_TEXTS: Final = "gateway.send_texts"
"""Key of the ASGI scope's ``state``, to the socket's :meth:`StrictWebSocket.send_texts`."""

MAILBOX: Final = "gateway.mailbox"
"""Key of the ASGI scope's ``state``, to the socket's :class:`~..websocket.mailbox.Mailbox`."""

_TEXT: Final = 0x81
"""First byte of a text message's only frame."""
_PINGS = 100
_SECONDS = 10.0
_LOOK: Final = 1.0
"""Seconds after which a message that does not come to its end is looked at again."""


def _frame(text: str) -> tuple[bytes, bytes]:
    """A text message of the server's in one frame (RFC 6455, 5.2): its head and its payload."""
    payload = text.encode(errors="replace")
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)), payload
    if size < 1 << 16:
        return pack("!BBH", _TEXT, 126, size), payload
    return pack("!BBQ", _TEXT, 127, size), payload


class _Gathering:
    """A message that has not come to its end yet.

    Attributes:
        size: Bytes that have come, whether kept or not.
        is_kept: Its bytes are gathered in ``data`` and counted in ``hold``.
    """

    __slots__ = ("data", "hold", "is_kept", "is_text", "pace", "size")

    def __init__(self, hold: BodyHold | None, *, is_text: bool) -> None:
        self.data = bytearray()
        self.size = 0
        self.is_text = is_text
        self.is_kept = is_text
        self.hold = hold
        self.pace = UploadPace(trio.current_time())

    def add(self, data: bytes) -> bool:
        """Keep *data*; False where there is no room for it."""
        if self.hold is not None and not self.hold.add(len(data)):
            return False
        self.data += data
        return True

    def drop(self) -> None:
        """Keep nothing of it."""
        self.is_kept = False
        self.data = bytearray()
        if self.hold is not None:
            self.hold.release()

    def deadline(self) -> float:
        """The instant at which it is too slow."""
        return self.pace.deadline(self.size, crowded=self.hold is not None and self.hold.is_crowded)


class StrictWebSocket(WSStream):
    """One WebSocket. Of hypercorn's settings it heeds ``websocket_max_message_size`` (here bytes) and
    ``websocket_ping_interval``."""

    def __init__(self, *args: Any) -> None:  # noqa: ANN401  (handed on as they are)
        super().__init__(*args)
        self.mailbox = Mailbox()
        self._message: _Gathering | None = None
        self._watching: trio.CancelScope | None = None
        self._flood = Flood(_PINGS, seconds=_SECONDS)
        self._pinging = trio.CancelScope()
        self._app_ended = False

    async def handle(self, event: Event) -> None:
        """Take bytes, or the news that the connection is over."""
        if not isinstance(event, StreamClosed):
            await super().handle(event)
            return
        self._pinging.cancel()
        self._close_mailbox()
        reported = self.closed or self._app_ended
        self.closed = reported
        try:
            await super().handle(event)
            reported = True
        finally:
            self.closed = reported  # cancelled before the application could hear it: it is reported once more

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Do what the application asks; with None it has ended."""
        if message is not None:
            await super().app_send(message)
            return
        self._app_ended = True
        self._close_mailbox()
        await super().app_send(message)
        self.scope["state"].clear()  # it holds this object, which would keep itself

    async def send_texts(self, texts: Iterable[str]) -> None:
        """Send messages in one write: all of them or none, as no cancellation ends a write.

        ASGI has a message and a write for each, which costs four times as much (an answer's token, twenty
        at a time: 80 µs against 20, measured on CPython 3.11), and wsproto copies each four times. Nothing is
        sent once the socket has begun to close.
        """
        if self.closed or self.connection.state is not ConnectionState.OPEN:
            await trio.lowlevel.checkpoint()  # where a handler that only ever sends is cancelled
            return
        data = b"".join(chain.from_iterable(map(_frame, texts)))
        await self.send(Data(stream_id=self.stream_id, data=data))

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        self.handshake.extensions = None
        await super()._accept(message)

    async def _handle_events(self) -> None:
        code: int | None
        for event in self.connection.events():
            match event:
                case Message():
                    code = await self._take(event)
                case Ping():
                    await self._send_wsproto_event(event.response())
                    code = CloseReason.POLICY_VIOLATION if self._flood.add(trio.current_time()) else None
                case CloseConnection():  # the client's, its answer to ours, or wsproto's for broken frames
                    code = event.code
                case _:  # a pong
                    code = None
            if code is not None:
                await self._send_wsproto_event(CloseConnection(code=code))
                await self.send(StreamClosed(stream_id=self.stream_id))
                return

    async def _take(self, part: Message[Any]) -> CloseReason | None:
        """Add *part* to its message, which goes into the mailbox once it is whole."""
        is_text = isinstance(part, TextMessage)
        message = self._message
        if message is None:
            message = self._message = _Gathering(self.mailbox.open_hold(), is_text=is_text)
            if self.mailbox.is_closed:
                message.drop()
        data = part.data.encode() if is_text else part.data
        message.size += len(data)
        if message.size > self.config.websocket_max_message_size:
            message.drop()
            return CloseReason.MESSAGE_TOO_BIG
        if message.is_kept:
            await self._keep(message, data)
        if part.message_finished:
            await self._finish(message)
        else:
            self._watch()
            await trio.lowlevel.checkpoint()
        return None

    async def _keep(self, message: _Gathering, data: bytes) -> None:
        if message.size > LARGE and not self.mailbox.keeps_large:
            await self._refuse(message, IN_PROGRESS)
        elif not message.add(data):
            await self._refuse(message, NO_ROOM)

    async def _finish(self, message: _Gathering) -> None:
        self._message = None
        if message.is_kept or not message.is_text:
            await self.mailbox.put(Received(message.data, is_text=message.is_text, hold=message.hold))

    async def _refuse(self, message: _Gathering, error: ApiError) -> None:
        """Keep nothing of *message*, the rest of which is discarded as it arrives."""
        message.drop()
        await self.mailbox.put(Received(error=error))

    def _close_mailbox(self) -> None:
        self.mailbox.close()
        if self._message is not None:
            self._message.drop()
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self) -> None:
        if self._watching is None and self._message is not None and self._message.is_kept:
            self._watching = trio.CancelScope()
            self.task_group.spawn(self._refuse_slow, self._watching)

    async def _refuse_slow(self, scope: trio.CancelScope) -> None:
        """Refuse the message that is being gathered when it is too slow; ends when none is."""
        with scope:
            while (message := self._message) is not None and message.is_kept:
                now = trio.current_time()
                if now >= message.deadline():
                    await self._refuse(message, TOO_SLOW)
                else:
                    await trio.sleep_until(min(message.deadline(), now + _LOOK))
        self._watching = None

    async def _send_pings(self) -> None:
        interval = self.config.websocket_ping_interval or inf
        with self._pinging:
            while True:
                await trio.sleep(interval)
                await self._send_wsproto_event(Ping())
