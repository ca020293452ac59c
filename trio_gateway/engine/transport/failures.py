"""Failures of the transport: httpx's exceptions, each with an attribute that names the fault.

Callers match on ``fault``. The texts name no host and quote nothing that came from a server.
"""

from __future__ import annotations

import socket
import ssl
from enum import Enum
from typing import Final

import httpx
import trio

__all__ = [
    "BROKEN",
    "ConnectFaultError",
    "ConnectTimeoutError",
    "PeerProtocolError",
    "ReadFaultError",
    "TransportFault",
    "TransportFaultError",
    "WriteFaultError",
    "connect_fault",
    "tls_fault",
]

BROKEN: Final = (OSError, trio.ClosedResourceError)
"""What a read or a write raises once the connection is broken, or was closed by another task."""


class TransportFault(Enum):
    """Kind of a failure; the value is the text of its exception.

    The texts of ``DISCONNECTED`` and ``INCOMPLETE`` are httpcore's, as callers match on them.
    """

    CONNECT_TIMEOUT = "the connection was not established in time"
    UNKNOWN_HOST = "the host name cannot be resolved"
    REFUSED = "the connection was refused"
    UNREACHABLE = "the host cannot be reached"
    TLS_NOT_SPOKEN = "the server does not answer in TLS"
    TLS_EXPIRED = "the certificate of the server is out of date"
    TLS_WRONG_HOST = "the certificate of the server is for another host"
    TLS_UNTRUSTED = "the certificate of the server is not trusted"
    TLS_FAILED = "the TLS handshake failed"
    WRITE = "the connection broke before the request was written"
    RESET = "the connection broke before the response was read"
    DISCONNECTED = "Server disconnected without sending a response."
    INCOMPLETE = "peer closed connection without sending complete message body"
    VIOLATION = "the response breaks the rules of HTTP/1.1"


class TransportFaultError(httpx.TransportError):
    """A request that failed; ``fault`` names the kind."""

    def __init__(self, fault: TransportFault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault


class ConnectTimeoutError(TransportFaultError, httpx.ConnectTimeout):
    """Neither a connection nor a TLS session within the connect timeout."""


class ConnectFaultError(TransportFaultError, httpx.ConnectError):
    """No connection, or no TLS session: then ``__cause__`` is the ``ssl.SSLError``."""


class WriteFaultError(TransportFaultError, httpx.WriteError):
    """The request could not be written, and no response had come."""


class ReadFaultError(TransportFaultError, httpx.ReadError):
    """The connection broke in another way than by its end."""


class PeerProtocolError(TransportFaultError, httpx.RemoteProtocolError):
    """The server ended the connection too early, or broke the rules: ``fault`` names which."""


# Of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_FAULT_OF_CERTIFICATE: Final = {
    _NOT_YET_VALID: TransportFault.TLS_EXPIRED,
    _EXPIRED: TransportFault.TLS_EXPIRED,
    _WRONG_HOST: TransportFault.TLS_WRONG_HOST,
    _WRONG_ADDRESS: TransportFault.TLS_WRONG_HOST,
}
# The first byte of a server's side of TLS: the type of a record, a handshake message or an alert.
_RECORD_TYPES: Final = frozenset({b"", b"\x16", b"\x15"})


def connect_fault(error: Exception) -> TransportFault:
    """Name the fault of a connection that was not made: of all its addresses, if there were several."""
    causes: tuple[BaseException, ...] = (error,)
    match error.__cause__:
        case BaseExceptionGroup(exceptions=exceptions):
            causes = exceptions
        case OSError() as cause:
            causes = (cause,)
    if isinstance(error, socket.gaierror | UnicodeError):
        return TransportFault.UNKNOWN_HOST
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return TransportFault.REFUSED
    return TransportFault.UNREACHABLE


def tls_fault(error: ssl.SSLError, first_byte: bytes = b"") -> TransportFault:
    """Name the fault of a TLS session; *first_byte* is the first that came from the server, if any did."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _FAULT_OF_CERTIFICATE.get(error.verify_code, TransportFault.TLS_UNTRUSTED)
    return TransportFault.TLS_FAILED if first_byte in _RECORD_TYPES else TransportFault.TLS_NOT_SPOKEN
