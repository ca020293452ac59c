"""Which web pages may speak to the gateway: a browser says in ``Origin`` where the page came from.

A page of anywhere can make its reader's browser open a WebSocket to any address, one on loopback included,
and no rule of the browser's keeps it from reading the answer. So the server has to look. Programs other
than browsers send no ``Origin``, and are not kept out by this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["may_speak"]

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
    if origin is None:
        return True
    origin = origin.lower()
    if origin in {each.lower().removesuffix("/") for each in allowed}:
        return True
    scheme, _, place = origin.partition("://")
    usual = _USUAL_PORT.get(scheme)
    return usual is not None and bool(host) and _bare(place, usual) == _bare(str(host).lower(), usual)


def _bare(place: str, usual: str) -> str:
    """*place* without the port, where that is the usual one."""
    return place.removesuffix(usual)
