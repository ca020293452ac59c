"""Which web pages may speak to the gateway."""

from __future__ import annotations

import pytest

from trio_gateway.server.origins import may_speak

ALLOWED = ("https://app.example", "http://localhost:3000/")


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        (None, "gateway:8080", True),
        (None, None, True),
        ("https://app.example", "gateway:8080", True),
        ("HTTPS://App.Example", "gateway:8080", True),
        ("http://localhost:3000", "gateway:8080", True),
        ("http://localhost:3001", "gateway:8080", False),
        ("https://app.example:444", "gateway:8080", False),
        ("https://app.example.evil", "gateway:8080", False),
        ("http://app.example", "gateway:8080", False),
        # its own pages
        ("http://gateway:8080", "gateway:8080", True),
        ("https://gateway:8080", "gateway:8080", True),
        ("http://GATEWAY:8080", "gateway:8080", True),
        ("http://gateway:8081", "gateway:8080", False),
        ("http://gateway", "gateway:8080", False),
        ("https://gateway", "gateway", True),
        ("https://gateway", "gateway:443", True),
        ("http://gateway", "gateway:80", True),
        ("http://gateway:80", "gateway", True),
        ("http://gateway", "gateway:443", False),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://evil/gateway:8080", "gateway:8080", False),
        # what is no origin of a page
        ("null", "null", False),
        ("", "", False),
        ("gateway:8080", "gateway:8080", False),
        ("file://gateway", "gateway", False),
        ("*", "gateway", False),
        ("http://", "", False),
        ("http://gateway", None, False),
    ],
)
def test_who_may(origin: str | None, host: str | None, may: bool) -> None:
    assert may_speak(origin, host=host, allowed=ALLOWED) is may
