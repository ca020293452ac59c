"""Circuit name: identifies an upstream's breaker in the shared state, by URL and key."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..config import UpstreamConfig

__all__ = ["circuit_name"]

# Hexadecimal digits: two of a thousand upstreams have the same with a chance of one in 10**13.
_DIGITS: Final = 16


def circuit_name(config: UpstreamConfig, key: str | None) -> str | None:
    """The name, which shows neither URL nor *key*; None: its breaker must stay this gateway's own.

    An HTTP proxy reads what goes through it in the clear, and may answer in the upstream's place: then an
    answer does not show that the upstream fails.
    """
    if config.proxy and config.url.startswith("http:"):
        return None
    return sha256(f"{config.url}\0{key or ''}".encode("utf-8", "replace")).hexdigest()[:_DIGITS]
