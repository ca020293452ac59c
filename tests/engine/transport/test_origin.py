"""Origins: how they stand in the field ``Host``."""

from __future__ import annotations

import pytest

from trio_gateway.engine.transport import Origin


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("example.org", 80), b"example.org"),
        (Origin("example.org", 443), b"example.org:443"),
        (Origin("example.org", 443, secure=True), b"example.org"),
        (Origin("example.org", 80, secure=True), b"example.org:80"),
        (Origin("127.0.0.1", 8000), b"127.0.0.1:8000"),
        (Origin("::1", 80), b"[::1]"),
        (Origin("::1", 8000), b"[::1]:8000"),
    ],
)
def test_authority(origin: Origin, authority: bytes) -> None:
    assert origin.authority == authority
