"""Connecting: finds an address that answers and agrees on TLS, within one timeout."""

from __future__ import annotations

import socket
import ssl
from ipaddress import ip_address
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


def _family_of(host: str) -> socket.AddressFamily | None:
    """The family of an address; None: it is a name."""
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET6 if version == 6 else socket.AF_INET


async def _connect(family: socket.AddressFamily, address: tuple[str, int]) -> trio.socket.SocketType:
    """Connect to one address. What Trio does to race several costs 0.2 ms."""
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _open(origin: Origin, context: ssl.SSLContext | None) -> Wire:
    family = _family_of(origin.host)
    if family is None:
        tcp = TcpWire((await trio.open_tcp_stream(origin.host, origin.port)).socket)  # sets TCP_NODELAY
    else:
        tcp = TcpWire(await _connect(family, (origin.host, origin.port)))
    if context is None:
        return tcp
    try:
        tls = TlsWire(tcp, context, origin.host)
        await tls.shake_hands()
    except BaseException:
        tcp.close()
        raise
    return tls
