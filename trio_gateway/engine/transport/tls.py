"""TLS connections: sessions over TCP that return every record of one read together.

``trio.SSLStream`` returns one record a call, so a hundred tokens that came in one segment would cost a
hundred calls. Here one read is decrypted whole. No ``close_notify`` is sent or expected, as is usual for
HTTP, whose framing marks where a body ends.

Reading never writes: the answer to a change of keys, for instance, leaves with the next request. So one task
may read while another writes, and no lock is needed.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from .failures import ConnectFaultError, tls_fault
from .tcp import READ_SIZE

if TYPE_CHECKING:
    from .tcp import TcpWire

__all__ = ["TlsWire"]

# Bytes that are encrypted at a time, so that a large body is not held twice.
_PIECE: Final = 65_536


class TlsWire:
    """A TLS session; see :class:`.tcp.Wire`. It can be used once ``shake_hands`` has returned."""

    __slots__ = ("_ended", "_error", "_incoming", "_outgoing", "_session", "_tcp")

    def __init__(self, tcp: TcpWire, context: ssl.SSLContext, host: str) -> None:
        self._tcp = tcp
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._ended = False
        self._error: ssl.SSLError | None = None

    async def shake_hands(self) -> None:
        """Agree on keys and check the server's certificate.

        Raises:
            ConnectFaultError: the server does not use TLS, or is not to be trusted.
            OSError: the connection broke.
        """
        first_byte = b""
        try:
            while not self._is_agreed():
                await self._flush()
                data = await self._tcp.receive()
                first_byte = first_byte or data[:1]
                self._put(data)
        except ssl.SSLError as error:
            raise ConnectFaultError(tls_fault(error, first_byte)) from error
        await self._flush()

    async def receive(self) -> bytes:
        """Return the text of every record that one read completes."""
        while not self._ended:
            if self._error is not None:
                raise self._error
            self._put(await self._tcp.receive())
            if text := self._decrypt():
                return text
        return b""

    async def send_all(self, data: bytes) -> None:
        """Encrypt and write all of *data*."""
        for at in range(0, len(data), _PIECE):
            self._session.write(data[at : at + _PIECE])
            await self._flush()

    def is_quiet(self) -> bool:
        """See :class:`.tcp.Wire`. A session ticket that comes late is taken for noise."""
        return self._tcp.is_quiet()

    def close(self) -> None:
        """See :class:`.tcp.Wire`."""
        self._tcp.close()

    def _is_agreed(self) -> bool:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _put(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes:
        """The text of all records that are there; what breaks behind them is raised by the next call."""
        pieces: list[bytes] = []
        try:
            while piece := self._session.read(READ_SIZE):
                pieces.append(piece)
            self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            self._ended = True
        except ssl.SSLError as error:
            self._error = error
        return b"".join(pieces)

    async def _flush(self) -> None:
        if records := self._outgoing.read():
            await self._tcp.send_all(records)
