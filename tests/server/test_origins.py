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
        ("localhost:", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:8080", True),
        ("127.1.2.3", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        # containers reach the loopback of their host by these, and by these alone
        ("host.docker.internal:8080", True),
        ("host.containers.internal", True),
        ("Host.Docker.Internal", True),
        ("other.host.docker.internal", False),
        ("host.docker.internal.evil.example", False),
        ("gateway.docker.internal", False),
        ("gateway.internal", False),
        # its own address, a listed name, and the host of an origin that may use it
        ("gateway.lan:8080", True),
        ("listed", True),
        ("LISTED:1", True),
        ("[fe80::7]:80", True),
        ("app.example", True),
        ("app.example:8443", True),
        # nobody knows whose these are
        ("gateway:8080", False),
        ("laptop.local", False),
        ("local", False),
        ("chat.localhost:8080", False),
        ("listed.evil.example", False),
        ("my.listed", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("local.evil.example", False),
        ("evil.example:127", False),
        ("0.0.0.0:8080", False),
        ("192.168.0.7", False),
        ("[::]:8080", False),
        # what no browser sends
        ("localhost@evil.example", False),
        ("evil.example@localhost", False),
        ("localhost/evil.example", False),
        ("localhost?evil.example", False),
        ("localhost:80:80", False),
        ("localhost:http", False),
        ("localhost ", False),
        ("local\x00host", False),
        ("[::1", False),
        ("::1", False),
        ("[localhost]", False),
        ("", False),
        ("a" * 100_000, False),
    ],
)
def test_own_names(host: str, own: bool) -> None:
    hosts, origins = ("Listed", "fe80::7"), (*ALLOWED, "http://[::1")
    assert is_own_name(host, own="Gateway.lan", hosts=hosts, origins=origins) is own


@pytest.mark.parametrize(
    "name", ["one", "a.local", "x.internal", "chat.localhost", "10.0.0.1", "gateway.lan"]
)
def test_any_name_may_be_allowed_and_only_that_one(name: str) -> None:
    for hosts in ((), (name,)):
        assert is_own_name(f"{name}:80", own="127.0.0.1", hosts=hosts, origins=()) is bool(hosts)
        assert not is_own_name(f"x.{name}", own="127.0.0.1", hosts=hosts, origins=())
