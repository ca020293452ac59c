"""Bodies of responses: the same data however they are framed and cut, with bounds on everything around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.response_body import BodyError, BodyReader
from trio_gateway.core.response_head import MAX_FIELDS, MAX_HEAD, HeadReader

from .cutting import CUTS, cut


def reader(*fields: bytes) -> BodyReader:
    head = HeadReader().feed(b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"", b""]))
    assert head is not None
    return BodyReader(head)


def chunked() -> BodyReader:
    return reader(b"Transfer-Encoding: chunked")


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def drain(body: BodyReader, *pieces: bytes) -> bytes:
    data = b""
    for piece in pieces:
        data += body.feed(piece)
        while body.unfinished:
            data += body.feed(b"")
    return data


def test_a_body_without_a_length_never_ends_by_itself() -> None:
    body = reader()
    assert drain(body, b"one", b"", b"two") == b"onetwo"
    assert not body.done
    assert not body.surplus


@pytest.mark.parametrize(("sent", "data", "done", "surplus"), [
    ((b"ab", b""), b"ab", False, False),
    ((b"ab", b"cde"), b"abcde", True, False),
    ((b"abcdefg",), b"abcde", True, True),
])  # fmt: skip
def test_a_body_with_a_length(sent: tuple[bytes, ...], data: bytes, done: bool, surplus: bool) -> None:
    body = reader(b"Content-Length: 5")
    assert drain(body, *sent) == data
    assert (body.done, body.surplus) == (done, surplus)


def test_no_body() -> None:
    body = reader(b"Content-Length: 0")
    assert body.done
    assert not body.surplus
    assert body.feed(b"junk") == b""
    assert body.surplus


def test_extensions_and_trailers_are_dropped() -> None:
    body = chunked()
    assert (
        drain(body, b'5 ;a="b";c\r\nhello\r\n00;x\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\nmore') == b"hello"
    )
    assert body.done
    assert body.surplus


@pytest.mark.parametrize(
    "raw",
    [
        b"zz\r\n",
        b"\r\n",
        b" 5\r\nhello\r\n",
        b"-5\r\n",
        b"5 5\r\nhello\r\n",
        b"5\nhello\r\n" + b"x" * 5000,
        b"1234567890abcdef\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n5\r\n",
        b"5;" + b"x" * 5000,
        b"0\r\nX: " + b"a" * (MAX_HEAD + 1),
        b"0\r\n" + b"X: a\r\n" * (MAX_FIELDS + 1),
        b"0\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 70,
    ],
)
def test_broken_framing_is_refused(raw: bytes) -> None:
    with pytest.raises(BodyError):
        drain(chunked(), raw)


def test_as_many_trailers_as_allowed() -> None:
    body = chunked()
    drain(body, b"0\r\n" + b"X: a\r\n" * (MAX_FIELDS - 1) + b"\r\n")
    assert body.done


def test_chunks_of_one_byte_are_taken_so_many_at_a_time() -> None:
    body = chunked()
    raw = chunks(*[b":"] * 10_000)
    data = [body.feed(raw)]
    while body.unfinished:
        data.append(body.feed(b""))
    assert b"".join(data) == b":" * 10_000
    assert max(map(len, data)) <= 300
    assert not body.done


PARTS = st.lists(st.binary(min_size=1, max_size=6), max_size=5)


@given(PARTS, st.sampled_from([b"0\r\n\r\n", b"0;a\r\nX: 1\r\n\r\n", b""]), CUTS)
def test_any_cutting_of_chunks_gives_the_same(parts: list[bytes], end: bytes, places: list[int]) -> None:
    body = chunked()
    assert drain(body, *cut(chunks(*parts) + end, places)) == b"".join(parts)
    assert body.done == bool(end)
    assert not body.surplus
