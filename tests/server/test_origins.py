"""Which web pages may speak to the gateway."""

from __future__ import annotations

import pytest

from trio_gateway.server.origins import is_own_name, may_speak

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


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("LOCALHOST:8080", True),
        ("chat.localhost:8080", True),
        ("gateway:8080", True),
        ("laptop.local", True),
        ("host.docker.internal:8080", True),
        ("local.evil.example", False),
        ("127.0.0.1:8080", True),
        ("127.1.2.3", True),
        ("[::1]:8080", True),
        ("gateway.lan:8080", True),
        ("app.example", True),
        ("app.example:8443", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:127", False),
        ("localhost@evil.example", False),
        ("0.0.0.0:8080", False),
        ("192.168.0.7", False),
        ("[::]:8080", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_own_names(host: str, own: bool) -> None:
    assert is_own_name(host, own="Gateway.lan", allowed=ALLOWED) is own
