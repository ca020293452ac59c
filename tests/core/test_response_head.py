"""Heads of responses: what is read, what is refused, and that no cutting changes either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.response_head import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_INTERIM,
    HeadError,
    HeadReader,
    ResponseHead,
)

from .cutting import CUTS, cut

OK = b"HTTP/1.1 200 OK\r\n"
INTERIM = b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n"


def read(*chunks: bytes) -> tuple[ResponseHead | None, bytes]:
    """The final head in *chunks*, and what follows it in the same chunk."""
    reader = HeadReader()
    for chunk in chunks:
        if (head := reader.feed(chunk)) is not None:
            return head, reader.rest
    return None, b""


@pytest.mark.parametrize(
    ("raw", "status", "chunked", "length"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, False, None),
        (b"HTTP/1.0 200\r\n\r\n", 200, False, None),
        (b"HTTP/1.1 200 \r\n\r\n", 200, False, None),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\n", 404, False, 7),
        (b"HTTP/1.1 200 OK\ncontent-length:7\n\n", 200, False, 7),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \t 7\t \r\n\r\n", 200, False, 7),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, True, None),
        (b"HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", 204, False, 0),
        (b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n", 304, False, 0),
    ],
)
def test_the_framing_of_the_body(raw: bytes, status: int, chunked: bool, length: int | None) -> None:
    head, rest = read(raw + b"body")
    assert head is not None
    assert (head.status, head.chunked, head.length) == (status, chunked, length)
    assert (head.raw, rest) == (raw, b"body")


def test_fields_keep_their_order_and_their_bytes() -> None:
    head, _ = read(OK + b"Set-Cookie: a\r\nX-Y:\xe4 b\r\nset-cookie: c\r\nEmpty:\r\n\r\n")
    assert head is not None
    assert head.fields == ((b"set-cookie", b"a"), (b"x-y", b"\xe4 b"), (b"set-cookie", b"c"), (b"empty", b""))
    assert (head.field(b"set-cookie"), head.field(b"empty"), head.field(b"x")) == (b"a, c", b"", None)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length: \xb2",
        b"Content-Length:",
        b"Content-Length: 1234567890123456",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b" X: a",
        b"X : a",
        b"X",
        b": a",
        b"X: a\rb",
        b"X: a\0b",
        b"X\xe4: a",
    ],
)
def test_fields_that_are_refused(lines: bytes) -> None:
    for head in (OK + lines + b"\r\n\r\n", b"HTTP/1.1 103 Early\r\n" + lines + b"\r\n\r\n" + OK + b"\r\n"):
        with pytest.raises(HeadError):
            read(head)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/2 200",
        b"220 mail.example ESMTP",
        b"\0\0\x12\4",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused_as_soon_as_it_shows(start: bytes) -> None:
    with pytest.raises(HeadError):
        read(start)


def test_sixteen_interim_answers_pass_and_the_next_does_not() -> None:
    head, rest = read(INTERIM * MAX_INTERIM + OK + b"\r\nrest")
    assert head is not None
    assert (head.status, rest) == (200, b"rest")
    with pytest.raises(HeadError, match="without end"):
        read(INTERIM * (MAX_INTERIM + 1))


def test_heads_as_large_as_allowed() -> None:
    fields = OK + b"X: a\r\n" * MAX_FIELDS + b"\r\n"
    assert read(fields)[0] is not None
    with pytest.raises(HeadError, match="1000 fields"):
        read(OK + b"X: a\r\n" * (MAX_FIELDS + 1) + b"\r\n")
    long = OK + b"X: " + b"a" * (MAX_HEAD - len(OK) - 7) + b"\r\n\r\n"
    assert len(long) == MAX_HEAD
    assert read(long)[0] is not None
    with pytest.raises(HeadError, match="longer than"):
        read(long.replace(b"X: ", b"X: a"))


@pytest.mark.parametrize("part", [b"a", b"X-A: b\r\n", b"\r", b"X: a\r\n\r"])
def test_a_head_without_end_is_refused_when_it_is_too_large(part: bytes) -> None:
    with pytest.raises(HeadError):
        read(OK, *[part] * (MAX_HEAD // len(part) + 1))


HEADS = st.builds(
    lambda interim, fields, end: INTERIM * interim + OK + b"".join(fields) + end,
    st.integers(0, 3),
    st.lists(
        st.sampled_from([b"X: a\r\n", b"Content-Length: 3\r\n", b"Y: b\n", b" fold\r\n", b"no\r\n"]),
        max_size=3,
    ),
    st.sampled_from([b"\r\n", b"\n", b""]),
)


@given(HEADS, st.binary(max_size=5), CUTS)
def test_any_cutting_gives_the_same_head_or_refusal(raw: bytes, body: bytes, places: list[int]) -> None:
    whole = raw + body
    chunks = cut(whole, places)
    at_once = HeadReader()
    try:
        wanted = at_once.feed(whole)
    except HeadError:
        with pytest.raises(HeadError):
            read(*chunks)
    else:
        head, rest = read(*chunks)
        assert head == wanted
        assert whole.endswith(rest)
