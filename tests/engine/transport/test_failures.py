"""Failures: the faults of connections, certificates and handshakes, and their kinds in httpx."""

from __future__ import annotations

import socket
import ssl

import httpx
import pytest

from trio_gateway.engine.transport import (
    ConnectFaultError,
    ConnectTimeoutError,
    PeerProtocolError,
    ReadFaultError,
    TransportFault,
    TransportFaultError,
    WriteFaultError,
)
from trio_gateway.engine.transport.failures import connect_fault, tls_fault

REFUSED, NO_ROUTE = ConnectionRefusedError(111, "refused"), OSError(113, "no route to host")


def caused_by(cause: BaseException) -> OSError:
    error = OSError("all attempts to connect failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (socket.gaierror(-2, "unknown"), TransportFault.UNKNOWN_HOST),
        (UnicodeError("label too long"), TransportFault.UNKNOWN_HOST),
        (REFUSED, TransportFault.REFUSED),
        (caused_by(REFUSED), TransportFault.REFUSED),
        (caused_by(ExceptionGroup("", [NO_ROUTE, REFUSED])), TransportFault.REFUSED),
        (NO_ROUTE, TransportFault.UNREACHABLE),
        (caused_by(NO_ROUTE), TransportFault.UNREACHABLE),
        (caused_by(ExceptionGroup("", [NO_ROUTE, NO_ROUTE])), TransportFault.UNREACHABLE),
        (OSError(24, "too many open files"), TransportFault.UNREACHABLE),
        (ConnectionResetError(104, "reset in the handshake"), TransportFault.UNREACHABLE),
    ],
)
def test_faults_of_connections(error: Exception, fault: TransportFault) -> None:
    assert connect_fault(error) is fault


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "first_byte", "fault"),
    [
        (certificate_error(9), b"\x16", TransportFault.TLS_EXPIRED),
        (certificate_error(10), b"\x16", TransportFault.TLS_EXPIRED),
        (certificate_error(62), b"\x16", TransportFault.TLS_WRONG_HOST),
        (certificate_error(64), b"\x16", TransportFault.TLS_WRONG_HOST),
        (certificate_error(18), b"\x16", TransportFault.TLS_UNTRUSTED),
        (certificate_error(20), b"\x16", TransportFault.TLS_UNTRUSTED),
        (ssl.SSLError("alert"), b"\x15", TransportFault.TLS_FAILED),
        (ssl.SSLEOFError("end"), b"", TransportFault.TLS_FAILED),
        (ssl.SSLError("wrong version number"), b"H", TransportFault.TLS_NOT_SPOKEN),
    ],
)
def test_faults_of_tls(error: ssl.SSLError, first_byte: bytes, fault: TransportFault) -> None:
    assert tls_fault(error, first_byte) is fault


@pytest.mark.parametrize(
    ("kind", "of_httpx"),
    [
        (ConnectTimeoutError, httpx.ConnectTimeout),
        (ConnectFaultError, httpx.ConnectError),
        (WriteFaultError, httpx.WriteError),
        (ReadFaultError, httpx.ReadError),
        (PeerProtocolError, httpx.RemoteProtocolError),
    ],
)
def test_kinds(kind: type[TransportFaultError], of_httpx: type[httpx.TransportError]) -> None:
    error = kind(TransportFault.VIOLATION, "a bare LF")
    assert isinstance(error, of_httpx)
    assert str(error) == "the response breaks the rules of HTTP/1.1: a bare LF"
    assert str(kind(TransportFault.RESET)) == TransportFault.RESET.value
