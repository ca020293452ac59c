"""Who a request's failure is attributed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config.keyfile import ClientKey
from trio_gateway.engine.clients import Client
from trio_gateway.server.identity import identify, peer_address

if TYPE_CHECKING:
    from trio_gateway.core.breaker import RequestIdentity

LONG = "ä" * 700_000


def identity(body: bytes | str, *, key: str = "", authorization: str | None = None) -> RequestIdentity:
    async def main() -> RequestIdentity:
        client = Client(ClientKey(id=key, sha256=b"", metrics=False))
        return await identify(client, "192.0.2.1", body, authorization)

    return trio.run(main)


def test_the_client_is_its_key_or_else_its_address() -> None:
    assert identity(b"{}").client == "192.0.2.1"
    assert identity(b"{}", key="alice").client == "alice"
    assert (peer_address(("192.0.2.1", 4711)), peer_address(None)) == ("192.0.2.1", "")


@given(body=st.text() | st.just(LONG), other=st.text())
def test_equal_bodies_have_one_digest_over_http_and_websocket(body: str, other: str) -> None:
    assert identity(body).digest == identity(body.encode()).digest
    assert (identity(body).digest == identity(other).digest) is (body == other)


@pytest.mark.parametrize("authorization", ["Bearer a", "Bearer b", "Bearer \udcff", ""])
def test_a_credential_is_kept_as_a_digest(authorization: str) -> None:
    digest = identity(b"{}", authorization=authorization).credential
    assert len(digest) == 16
    assert digest != identity(b"{}", authorization="Bearer c").credential
    assert identity(b"{}").credential == b""


async def test_others_run_while_a_long_body_is_hashed() -> None:
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    client = Client(ClientKey(id="", sha256=b"", metrics=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await identify(client, "", b"x" * 32 * 1024 * 1024, None)
        nursery.cancel_scope.cancel()
    assert steps >= 100
