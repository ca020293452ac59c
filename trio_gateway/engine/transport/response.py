"""Response of a server: its head, and its body as the socket gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from msgspec.structs import replace

from ...core.upstream_api.http_framing import FramingError, IncompleteBodyError
from .failures import BROKEN, PeerProtocolError, ReadFaultError, TransportFault

if TYPE_CHECKING:
    from ...core.upstream_api.http_framing import Fields, Framing, ResponseHead
    from .failures import TransportFaultError
    from .pool import Connection

__all__ = ["Response"]

# A read with more ends of lines is decoded so many bytes at a time, as each chunk takes a microsecond.
_MANY_LINES: Final = 4096
_PIECE: Final = 4096


class Response:
    """A response whose body is read by one task.

    When the last byte of the body has been received, the connection goes back to the pool at once; where
    the body is empty, with the first call of ``receive``. A response that is closed earlier closes its
    connection.
    """

    __slots__ = (
        *("_ahead", "_connection", "_decoder", "_error", "_keep", "_resumes"),
        *("ended", "head", "retried"),
    )

    def __init__(self, head: ResponseHead, framing: Framing, ahead: bytes, connection: Connection) -> None:
        self.head = head
        self.retried = False
        """Whether a connection of the pool was found closed, and the request written to another one.

        This is neutral for the server, which may close a connection that lies idle.
        """
        self.ended = False
        """Whether the body was read to its end."""
        self._ahead = ahead
        self._resumes = False  # what is ahead is the rest of a read of which a piece was decoded
        self._connection: Connection | None = connection
        self._decoder = framing.decoder
        self._keep = framing.keep_alive
        self._error: TransportFaultError | None = None

    @property
    def status(self) -> int:
        """The status of the response: a final one."""
        return self.head.status

    @property
    def fields(self) -> Fields:
        """The fields of the head, names in lower case."""
        return self.head.fields

    def drop_fields(self) -> None:
        """Forget the fields of the head, which would be kept for a whole stream."""
        self.head = replace(self.head, fields=[])

    async def receive(self) -> bytes:
        """Return all of the body that one read gives; nothing once it has ended.

        There is no limit of time, and a call that is cancelled can be made again. What came behind the head
        in one read, and the end, are returned without a checkpoint. A read that holds thousands of chunks is
        returned in pieces, with a checkpoint before each but the first.

        Raises:
            TransportFaultError: the connection broke, ended too early, or broke the rules. All bytes that
                came before that have been returned.
            trio.ClosedResourceError: the response was closed.
        """
        payload = b""
        while not payload:
            if self._resumes:
                await trio.lowlevel.checkpoint()
            connection = self._connection
            if connection is None:
                return self._after_end()
            data, self._ahead = self._ahead, b""
            if not data and not self._decoder.done:
                try:
                    data = await connection.wire.receive()
                except BROKEN as error:
                    raise self._failed(ReadFaultError(TransportFault.RESET)) from error
            self._resumes = len(data) > _PIECE and data.count(b"\r\n") > _MANY_LINES
            if self._resumes:
                data, self._ahead = data[:_PIECE], data[_PIECE:]
            payload = self._take(data, connection)
        return payload

    def close(self) -> None:
        """Close the connection if the body has not been read to its end."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    async def aclose(self) -> None:
        """Close the connection if the body has not been read to its end."""
        self.close()

    def _take(self, data: bytes, connection: Connection) -> bytes:
        decoder = self._decoder
        try:
            payload = decoder.feed(data) if data else decoder.finish()
        except FramingError as error:
            raise self._failed(_violation(error)) from error
        except IncompleteBodyError as error:
            raise self._failed(PeerProtocolError(TransportFault.INCOMPLETE)) from error
        if decoder.error is not None:
            self._failed(_violation(decoder.error))  # raised by the next call
        elif decoder.done:
            self._settle(connection)
        return payload

    def _settle(self, connection: Connection) -> None:
        self.ended = True
        self._connection = None
        if self._keep and not self._decoder.excess and not self._ahead:
            connection.give_back()
        else:
            connection.drop()

    def _failed(self, error: TransportFaultError) -> TransportFaultError:
        self.close()
        self._error = error
        return error

    def _after_end(self) -> bytes:
        if self._error is not None:
            raise self._error
        if not self.ended:
            raise trio.ClosedResourceError("this response was closed")
        return b""


def _violation(error: FramingError) -> TransportFaultError:
    return PeerProtocolError(TransportFault.VIOLATION, str(error))
