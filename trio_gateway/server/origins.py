"""Names that a browser sends: the page's own in ``Origin``, and the gateway's in ``Host``.

A page of anywhere can make its reader's browser open a WebSocket to any address, one on loopback included,
and no rule of the browser's keeps it from reading the answer. So the server has to look. Programs other
than browsers send no ``Origin``, and are not kept out by this.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["is_listed", "is_own_name", "may_speak"]

# Docker and Podman give these names to the address by which a container reaches its host.
_LOCAL_NAMES = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})
# A name or an address in brackets, and a port (RFC 9110, section 7.2).
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^\s\[\]:/?#@\\]{1,255})(?::[0-9]{0,5})?")
_USUAL_PORT = {"http": ":80", "https": ":443"}


def may_speak(origin: str | None, *, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a request of that *origin* is served.

    It is where there is none, where it is one of *allowed*, and where the page came from this gateway
    itself, by the name in *host* (the request's own header). The scheme of an own page does not count: a
    proxy may end TLS before the gateway.

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


def is_own_name(host: str, *, own: str, hosts: Collection[str], origins: Collection[str]) -> bool:
    """Whether *host* (the header's value, with or without a port) is a name of a gateway on loopback.

    Such names are ``localhost``, each loopback address, the two names by which containers reach their host's
    loopback, the gateway's *own* address in the configuration, those of *hosts* (``allowed_hosts``), and the
    hosts of *origins* (``cors_origins``): their pages may use the gateway, so a proxy may bear their name.
    Nothing else is one by itself: in a local network any host may answer to a name without a dot, or to one
    under ``.local``.

    >>> sent = ("127.0.0.1:8080", "host.docker.internal:8080", "gateway", "gateway.lan", "evil.example")
    >>> [is_own_name(each, own="127.0.0.1", hosts=["gateway.lan"], origins=()) for each in sent]
    [True, True, False, True, False]
    """
    name = _name_sent(host)
    if name is None:
        return False
    listed = {*map(_plain, (own, *hosts)), *map(_name_of_origin, origins)}
    return name in _LOCAL_NAMES or name in listed or _is_loopback_address(name)


def _name_sent(host: str) -> str | None:
    """The name in a ``Host`` header, without its port; None where the header is not well formed."""
    found = _HOST.fullmatch(host)
    return _plain(found[1]) if found else None


def _plain(name: str) -> str:
    return name.lower().removeprefix("[").removesuffix("]")


def _name_of_origin(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _is_loopback_address(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _bare(place: str, usual: str) -> str:
    """*place* without the port, where that is the usual one."""
    return place.removesuffix(usual)
