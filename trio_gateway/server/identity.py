"""Identity of a request: which client sends it, and what it sends, as digests."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from ..core.client_api.request import RequestIdentity

if TYPE_CHECKING:
    from ..engine.clients import Client

__all__ = ["identify"]

_DIGEST_SIZE: Final = 16


def identify(client: Client, peer: str | None, digest: bytes, authorization: str | None) -> RequestIdentity:
    """What the failure of a request is attributed to.

    *peer*: its address, which stands for the client where no keys are asked for; None: it has none. *digest*:
    of the body. *authorization*: the client's own header value.
    """
    return RequestIdentity(client.key.id or peer or "", digest, _hashed(authorization))


def _hashed(authorization: str | None) -> bytes:
    if authorization is None:
        return b""
    # Header values may hold surrogates, in place of bytes that are not UTF-8.
    return blake2b(authorization.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_SIZE).digest()
