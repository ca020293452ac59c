from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from trio_gateway.core.access.shown_key import (
    body_owner,
    find_key,
    secrets_of,
    shown_key,
)
from trio_gateway.core.config.addresses import is_loopback
from trio_gateway.core.config.keyfile import ClientKey

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def key_of(text: str, **more: object) -> ClientKey:
    return ClientKey(id=text, sha256=sha256(text.encode()).digest(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("authorizations", "subprotocols", "key"),
    [
        ([], [], None),
        (["Bearer abc"], [], "abc"),
        (["bearer abc"], [], "abc"),
        (["  BEARER   abc "], [], "abc"),
        (["Bearer a b"], [], "a b"),
        (["Bearer"], [], ""),
        (["abc"], [], None),
        (["Basic YTpi"], [], None),
        (["Bearer abc", "Bearer abc"], [], None),
        ([], ["key.abc"], "abc"),
        ([], ["chat", "key.abc", "superchat"], "abc"),
        ([], ["chat"], None),
        ([], ["KEY.abc"], None),
        ([], ["key."], ""),
        ([], ["key.abc", "key.abc"], None),
        (["Bearer abc"], ["key.abc"], None),
        (["Basic YTpi"], ["key.abc"], None),
    ],
)
def test_the_key_that_is_shown(authorizations: list[str], subprotocols: list[str], key: str | None) -> None:
    assert shown_key(authorizations, subprotocols) == key


@pytest.mark.parametrize(
    ("authorization", "secrets"),
    [
        (None, ()),
        ("", ()),
        ("Bearer abc", ("Bearer abc", "abc")),
        (" Bearer   abc ", ("Bearer   abc", "abc")),
        ("abc", ("abc",)),
        ("Bearer a b", ("Bearer a b", "a b")),
    ],
)
def test_what_must_not_be_shown(authorization: str | None, secrets: tuple[str, ...]) -> None:
    assert secrets_of(authorization) == secrets


def test_whose_key_it_is() -> None:
    keys = [key_of("a"), key_of("b"), key_of("ü")]
    for key in keys:
        assert find_key(keys, key.id, NOW) is key
    for wrong in ("", "c", "A", "a ", "\udcff", sha256(b"a").hexdigest()):
        assert find_key(keys, wrong, NOW) is None
    assert find_key([], "a", NOW) is None


@pytest.mark.parametrize(("left", "good"), [(1, True), (0, False), (-1, False)])
def test_a_key_ends_at_its_instant(left: int, good: bool) -> None:
    key = key_of("a", expires=NOW + timedelta(microseconds=left))
    assert (find_key([key], "a", NOW) is not None) is good


def test_the_models_of_a_key() -> None:
    assert key_of("a").allows("any")
    assert key_of("a", models=("one", "two")).allows("two")
    assert not key_of("a", models=("one", "two")).allows("three")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"])
def test_only_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com"])
def test_others_too(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("key_id", "peer", "owner"),
    [
        ("ci", "192.0.2.1", "key ci"),
        ("ci", "127.0.0.1", "key ci"),
        ("ci", None, "key ci"),
        ("", "192.0.2.1", "peer 192.0.2.1"),
        ("", "2001:db8::1", "peer 2001:db8::1"),
        ("", "::ffff:192.0.2.1", "peer ::ffff:192.0.2.1"),
        ("", "127.0.0.1", None),
        ("", "::1", None),
        ("", "::ffff:127.0.0.1", None),
        ("", None, None),
    ],
)
def test_body_owner(key_id: str, peer: str | None, owner: str | None) -> None:
    assert body_owner(key_id, peer) == owner
