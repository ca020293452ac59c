"""HTTP/1.1 client on Trio: pooled connections to model servers, with every fault named.

Two faces. :class:`Http1Client` talks to one origin and hands over bytes; it is the fast one, as no object of
httpx is made per request. :class:`TrioTransport` is the same behind httpx's interface::

    httpx.AsyncClient(transport=TrioTransport(ssl_context=make_ssl_context()))

What it leaves out: HTTP/2, proxies (an upstream behind one uses ``httpx.AsyncHTTPTransport``), redirects,
cookies, content encodings (httpx's client does these above a transport), timeouts other than the one for
connecting (they belong to the caller's cancel scopes), and a limit on connections in use (the caller counts).
"""

from .client import Http1Client
from .connect import make_ssl_context
from .failures import (
    ConnectFaultError,
    ConnectTimeoutError,
    PeerProtocolError,
    ReadFaultError,
    TransportFault,
    TransportFaultError,
    WriteFaultError,
)
from .httpx_transport import TrioTransport
from .origin import Origin
from .pool import PoolLimits, PoolStatistics
from .response import Response

__all__ = [
    "ConnectFaultError",
    "ConnectTimeoutError",
    "Http1Client",
    "Origin",
    "PeerProtocolError",
    "PoolLimits",
    "PoolStatistics",
    "ReadFaultError",
    "Response",
    "TransportFault",
    "TransportFaultError",
    "TrioTransport",
    "WriteFaultError",
    "make_ssl_context",
]
