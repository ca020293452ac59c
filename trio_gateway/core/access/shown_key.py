"""Client keys: finds the one a client shows, and whose it is."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from ..config.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from ..config.keyfile import ClientKey

__all__ = ["body_owner", "find_key", "key_protocols", "secrets_of", "shown_key"]

_KEY_PROTOCOL: Final = "key."


def key_protocols(offered: Iterable[str]) -> list[str]:
    """Those of the WebSocket subprotocols *offered* that show a key: a browser cannot set headers there."""
    return [each for each in offered if each.startswith(_KEY_PROTOCOL)]


def shown_key(authorizations: Sequence[str], subprotocols: Sequence[str] = ()) -> str | None:
    """The one key in the values of ``Authorization`` and the subprotocols offered; None: none, or several.

    Who shows two keys is not served by either: what stands in front of the gateway may have looked at the
    other one.

    >>> shown_key(["Bearer abc"]), shown_key([], ["chat", "key.abc"]), shown_key(["Basic YTpi"])
    ('abc', 'abc', None)
    """
    offered = key_protocols(subprotocols)
    if len(authorizations) + len(offered) != 1:
        return None
    if offered:
        return offered[0].removeprefix(_KEY_PROTOCOL)
    scheme, _, key = authorizations[0].strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def secrets_of(authorization: str | None) -> tuple[str, ...]:
    """The secrets in the value of an ``Authorization`` header: all of it, and it without its scheme.

    >>> secrets_of("Bearer abc"), secrets_of("abc"), secrets_of(None)
    (('Bearer abc', 'abc'), ('abc',), ())
    """
    value = (authorization or "").strip()
    _, _, credentials = value.partition(" ")
    return tuple(filter(None, (value, credentials.strip())))


def find_key(keys: Iterable[ClientKey], shown: str, now: datetime) -> ClientKey | None:
    """Which of *keys* was *shown*; ``None``: none of them, or one that has expired by *now*.

    The time this takes tells nothing: digests are compared, each in constant time, and always all of them.
    """
    digest = sha256(shown.encode("utf-8", "surrogateescape")).digest()
    found = None
    for key in keys:
        if compare_digest(key.sha256, digest):
            found = key
    return None if found is None or found.is_expired(now) else found


def body_owner(key_id: str, peer: str | None) -> str | None:
    """Whose a request body is: the holder's of a key, else that of the *peer*'s address.

    None where that says nothing: on this machine, or without an address, everybody has the same one.

    >>> body_owner("ci", "192.0.2.1"), body_owner("", "192.0.2.1"), body_owner("", "127.0.0.1")
    ('key ci', 'peer 192.0.2.1', None)
    """
    if key_id:
        return f"key {key_id}"
    if peer is None or is_loopback(peer.removeprefix("::ffff:")):
        return None
    return f"peer {peer}"
