"""Connecting: finds an address that answers and agrees on TLS, within one timeout."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import certifi
import trio

from .failures import ConnectFaultError, ConnectTimeoutError, TransportFault, connect_fault
from .tcp import TcpWire
from .tls import TlsWire

if TYPE_CHECKING:
    from pathlib import Path

    from .origin import Origin
    from .tcp import Wire

__all__ = ["make_ssl_context", "open_wire"]


def make_ssl_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Make a context that trusts the system's authorities, or those of ``SSL_CERT_FILE``, and *ca_file*'s.

    Reading them takes about 25 ms, so this belongs to the start of a program.

    Raises:
        OSError: *ca_file* cannot be read, or holds no certificate.
    """
    known = ssl.get_default_verify_paths()
    # Some builds of Python, macOS's from python.org for one, name no file of authorities that exists.
    no_system = not (known.cafile or known.capath)
    context = ssl.create_default_context(cafile=certifi.where() if no_system else None)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # reading must never have to write
    return context


async def open_wire(origin: Origin, context: ssl.SSLContext | None, seconds: float) -> Wire:
    """Connect to *origin*, by TLS if there is a *context*.

    All addresses of the host are tried, IPv6 and IPv4 in turn, each a quarter of a second after the last
    (RFC 8305, by Trio).

    Raises:
        ConnectTimeoutError: name, connection and handshake took longer than that.
        ConnectFaultError: see its ``fault``.
    """
    try:
        with trio.fail_after(seconds):
            return await _open(origin, context)
    except trio.TooSlowError as error:
        raise ConnectTimeoutError(TransportFault.CONNECT_TIMEOUT) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
        raise ConnectFaultError(connect_fault(error)) from error


async def _open(origin: Origin, context: ssl.SSLContext | None) -> Wire:
    stream = await trio.open_tcp_stream(origin.host, origin.port)  # sets TCP_NODELAY
    tcp = TcpWire(stream.socket)
    if context is None:
        return tcp
    try:
        tls = TlsWire(tcp, context, origin.host)
        await tls.shake_hands()
    except BaseException:
        tcp.close()
        raise
    return tls
