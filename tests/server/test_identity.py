"""Who a request's failure is attributed to."""

from __future__ import annotations

import pytest
import trio

from trio_gateway.core.client_api.request import RequestIdentity
from trio_gateway.core.config.keyfile import ClientKey
from trio_gateway.engine.clients import Client
from trio_gateway.server.identity import identify


def identity(peer: str | None, *, key: str = "", authorization: str | None = None) -> RequestIdentity:
    async def main() -> RequestIdentity:
        client = Client(ClientKey(id=key, sha256=b"", metrics=False))
        return identify(client, peer, b"digest", authorization)

    return trio.run(main)


def test_the_client_is_its_key_or_else_its_address() -> None:
    assert identity("192.0.2.1") == RequestIdentity("192.0.2.1", b"digest")
    assert identity("192.0.2.1", key="alice").client == "alice"
    assert identity(None).client == ""


@pytest.mark.parametrize("authorization", ["Bearer a", "Bearer b", "Bearer \udcff", ""])
def test_a_credential_is_kept_as_a_digest(authorization: str) -> None:
    digest = identity(None, authorization=authorization).credential
    assert len(digest) == 16
    assert digest != identity(None, authorization="Bearer c").credential
    assert identity(None).credential == b""
