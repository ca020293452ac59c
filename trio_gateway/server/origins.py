"""Names that a browser tells of: where a page came from (``Origin``), and what it calls us (``Host``).

A page of anywhere can make its reader's browser open a WebSocket to any address, one on loopback included,
and no rule of the browser's keeps it from reading the answer. So the server has to look. Programs other
than browsers send no ``Origin``, and are not kept out by this.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["is_listed", "is_own_name", "may_speak"]

# Domains that nobody can have a name under which all the world resolves: RFC 6761, RFC 6762, and ICANN's
# resolution of July 2024.
_PRIVATE = {"localhost", "local", "internal"}
_USUAL_PORT = {"http": ":80", "https": ":443"}


def may_speak(origin: str | None, *, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a request of that *origin* is served.

    It is where there is none, where it is one of *allowed*, and where the page came from this gateway
    itself, by the name in *host* (the request's own header). The scheme of an own page does not count: a
    proxy may speak TLS for the gateway.

    >>> may_speak("https://chat.example", host="chat.example", allowed=())
    True
    >>> may_speak("https://evil.example", host="chat.example", allowed=("https://app.example",))
    False
    """
    if origin is None or is_listed(origin, allowed):
        return True
    scheme, _, place = origin.lower().partition("://")
    usual = _USUAL_PORT.get(scheme)
    return usual is not None and bool(host) and _bare(place, usual) == _bare(str(host).lower(), usual)


def is_listed(origin: str, allowed: Collection[str]) -> bool:
    """Whether *origin* is one of *allowed*, which may be written with a slash at the end."""
    return origin.lower() in {each.lower().removesuffix("/") for each in allowed}


def is_own_name(host: str, *, own: str, allowed: Collection[str]) -> bool:
    """Whether *host* (the header's value, with or without a port) is a name of a gateway on loopback.

    It is if it names this machine, if nobody can own it on the Internet (a name without a dot, or under a
    domain that is reserved), if it is the gateway's *own* address in the configuration, and if a page of it
    may speak to the gateway, as one of *allowed*: a proxy's name, say.

    >>> hosts = ("127.0.0.1:8080", "gateway", "host.docker.internal:8080", "evil.example")
    >>> [is_own_name(host, own="127.0.0.1", allowed=()) for host in hosts]
    [True, True, True, False]
    """
    name = _name(f"//{host}")
    if name is None:
        return False
    if name == own.lower() or name in {_name(origin) for origin in allowed}:
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return "." not in name or name.rpartition(".")[2] in _PRIVATE


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _bare(place: str, usual: str) -> str:
    """*place* without the port, where that is the usual one."""
    return place.removesuffix(usual)
