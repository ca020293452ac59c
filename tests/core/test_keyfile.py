from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config import ConfigError
from trio_gateway.core.config.keyfile import ClientKey, parse_keys

A = hashlib.sha256(b"a").hexdigest()
B = hashlib.sha256(b"b").hexdigest()


def test_every_field() -> None:
    text = f"""
# who may call
alice {A}   # the first
bob.2\t{B.upper()} expires=2030-01-31T12:00:00Z models=qwen3:8b,org/a#1 rpm=60 tpm=1000 concurrent=2 metrics
"""
    assert parse_keys(text, "keys.txt") == (
        ClientKey(id="alice", sha256=bytes.fromhex(A)),
        ClientKey(
            id="bob.2",
            sha256=bytes.fromhex(B),
            expires=datetime(2030, 1, 31, 12, tzinfo=UTC),
            models=("qwen3:8b", "org/a#1"),
            rpm=60,
            tpm=1000,
            concurrent=2,
            metrics=True,
        ),
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# nobody", "   \t# nobody\r\n"])
def test_a_file_without_keys(text: str) -> None:
    assert parse_keys(text, "k") == ()


def test_line_ends_of_windows() -> None:
    assert [key.id for key in parse_keys(f"a {A}\r\nb {B}\r\n", "k")] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("alice", "k:1: sha256", "nothing"),
        ("alice sk-123", "k:1: sha256", "another text"),
        (f"alice {A}0", "k:1: sha256", "another text"),
        (f"\n# x\nal/ice {A}", "k:3: id", "another text"),
        (f"{'a' * 65} {A}", "k:1: id", "another text"),
        (f"a {A}\na {B}", "k:2: id", '"a" again'),
        (f"a {A}\nb {A.upper()}", "k:2: sha256", "that of another key"),
        (f"a {A} rpm=1 rpm=2", "k:1: rpm", "two"),
        (f"a {A} metrics metrics", "k:1: metrics", "two"),
        (f"a {A} rpm=0", "k:1: rpm", "0"),
        (f"a {A} rpm=-5", "k:1: rpm", "-5"),
        (f"a {A} rpm=1.5", "k:1: rpm", "1.5"),
        (f"a {A} tpm=", "k:1: tpm", "nothing"),
        (f"a {A} tpm=1000000000", "k:1: tpm", "1000000000"),
        (f"a {A} concurrent=1_0", "k:1: concurrent", "1_0"),
        # what may be a key is not shown
        (f"a {A} concurrent=1234567890123", "k:1: concurrent", "another text"),
        (f"a {A} rpm=sk-123", "k:1: rpm", "another text"),
        (f"a {A} models=x,,y", "k:1: models", "an empty one"),
        (f"a {A} models", "k:1: models", "an empty one"),
        (f"a {A} expires=2030-01-31", "k:1: expires", "another text"),
        (f"a {A} expires=2030-01-31T12:00:00", "k:1: expires", "another text"),
        (f"a {A} metrics=yes", "k:1: option", "another word"),
        (f"a {A} sk-123", "k:1: option", "another word"),
    ],
)
def test_a_malformed_line(text: str, place: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_keys(text, "k")
    assert str(caught.value).startswith(f"{place}: expected ")
    assert str(caught.value).endswith(f", found {found}")


WORDS = ["a", "b", A, B, "rpm=", "7", "models=", ",", " ", "\n", "#", "metrics", "ß"]


@given(st.lists(st.sampled_from(WORDS)).map("".join))
def test_any_text_gives_keys_or_an_error(text: str) -> None:
    try:
        keys = parse_keys(text, "k")
    except ConfigError:
        return
    assert len({key.sha256 for key in keys}) == len(keys) <= 2
