"""Admission of clients: checks key, host and origin before routing.

A request for a path that is not public needs a key, whatever the path: also one where there is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from quart import Response

from ..core.access.shown_key import shown_key
from ..core.config.addresses import is_loopback
from ..core.errors import RequestError, clean_text, error_for
from ..core.json.strict import dumps
from .origins import is_listed, is_own_name

if TYPE_CHECKING:
    from quart.wrappers import Request, Websocket
    from werkzeug.datastructures import Headers

    from ..core.config import ServerConfig
    from ..engine.clients import Client
    from ..engine.gateway import Gateway

__all__ = ["METRICS", "PUBLIC", "admit_client", "answer_preflight", "share"]

METRICS: Final = "/metrics"
PUBLIC: Final = frozenset({"/", "/docs", "/openapi.json", "/health", "/health/live", "/health/ready"})
"""Paths that need no key: the pages, and what a load balancer asks."""

# What scripts of another origin may read besides the body.
_EXPOSED: Final = (
    "Retry-After, Server-Timing, X-Gateway-Attempts, X-Request-Id, X-Stream-Format, "
    + ", ".join(
        f"x-ratelimit-{what}-{unit}"
        for unit in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    )
)
# Seconds a browser remembers that it may ask.
_PREFLIGHT_AGE: Final = "600"
# Characters of a refused Host that its error shows.
_SHOWN_HOST: Final = 100


def admit_client(gateway: Gateway, request: Request | Websocket) -> Client | None:
    """Who sends *request*; None: any client, as the path is public.

    Raises:
        RequestError: 401 (no key, not a good one, or more than one), or 403 (a name that is not ours, or a
            key that does not open this path).
    """
    _check_name(gateway.config.server, request)
    if request.path in PUBLIC:
        return None
    subprotocols = getattr(request, "requested_subprotocols", ())  # of a WebSocket alone
    client = gateway.clients.identify(shown_key(request.headers.getlist("Authorization"), subprotocols))
    if request.path == METRICS and not client.key.metrics:
        raise RequestError(error_for("forbidden", "This key does not open /metrics."))
    return client


def _check_name(server: ServerConfig, request: Request | Websocket) -> None:
    """Refuse a name that is not ours where only this machine may come in.

    A page of anywhere can give its own name the address 127.0.0.1, and is then taken by the browser for a
    page of whatever listens there (DNS rebinding). Its name still stands in ``Host``.
    """
    host = request.headers.get("Host")
    local = (request.scope.get("server") or ("",))[0]
    if host is None or not (is_loopback(server.host) and is_loopback(local)):
        return
    if not is_own_name(host, own=server.host, hosts=server.allowed_hosts, origins=server.cors_origins):
        raise RequestError(error_for("forbidden", _unknown_name(host)))


def _unknown_name(host: str) -> str:
    shown = dumps(clean_text(host, _SHOWN_HOST))
    return (
        f"The gateway listens on loopback and does not serve the Host name {shown}: if the name"
        " is yours, add it to allowed_hosts in [server] of the configuration file,"
        " or to the environment variable ALLOWED_HOSTS."
    )


def answer_preflight(server: ServerConfig, request: Request) -> Response | None:
    """The answer to a browser's question whether a page of a listed origin may ask; None: it is none."""
    method = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or method is None or not _sharing(server, request.headers):
        return None
    response = Response(b"", status=204)  # not None, which Quart would hand to a thread of asyncio's
    response.headers.clear()  # there is no body to describe
    response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    # Any: clients send many of their own, and it is the body and the key that are looked at.
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    response.headers["Access-Control-Allow-Headers"] = wanted
    response.headers["Access-Control-Max-Age"] = _PREFLIGHT_AGE
    return response


def share(server: ServerConfig, asked: Headers, answered: Headers) -> None:
    """Let a page of a listed origin read the answer. Cookies are not spoken of: there are none."""
    if server.cors_origins:
        answered.add("Vary", "Origin")
    if _sharing(server, asked):
        answered["Access-Control-Allow-Origin"] = asked["Origin"]
        answered["Access-Control-Expose-Headers"] = _EXPOSED


def _sharing(server: ServerConfig, headers: Headers) -> bool:
    origin = headers.get("Origin")
    return origin is not None and is_listed(origin, server.cors_origins)
