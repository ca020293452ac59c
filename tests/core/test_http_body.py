"""Bodies of responses: which framing is taken, and what the decoders return at every cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.upstream_api.http_framing import (
    FramingError,
    HeadReader,
    IncompleteBodyError,
    ResponseHead,
    frame_body,
)
from trio_gateway.core.upstream_api.http_framing.body import CloseDecoder, LengthDecoder
from trio_gateway.core.upstream_api.http_framing.chunked import ChunkedDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_gateway.core.upstream_api.http_framing import BodyDecoder, Fields

LENGTH, CODING, CONNECTION = b"content-length", b"transfer-encoding", b"connection"


def head(*fields: tuple[bytes, bytes], status: int = 200, minor: int = 1) -> ResponseHead:
    return ResponseHead(status, b"", minor, list(fields))


FRAMED: list[tuple[str, ResponseHead, bytes, type[object], bool, bool]] = [
    # what, head, method, decoder, done at once, kept alive
    ("length", head((LENGTH, b"5")), b"POST", LengthDecoder, False, True),
    ("length of zero", head((LENGTH, b"0")), b"POST", LengthDecoder, True, True),
    ("length with zeros before it", head((LENGTH, b"005")), b"POST", LengthDecoder, False, True),
    ("chunked", head((CODING, b"chunked")), b"POST", ChunkedDecoder, False, True),
    ("chunked in capitals", head((CODING, b"Chunked")), b"POST", ChunkedDecoder, False, True),
    ("neither", head(), b"POST", CloseDecoder, False, False),
    ("HEAD", head((LENGTH, b"5")), b"HEAD", LengthDecoder, True, True),
    ("HEAD, chunked", head((CODING, b"chunked")), b"HEAD", LengthDecoder, True, True),
    ("HEAD, neither", head(), b"HEAD", LengthDecoder, True, True),
    ("204", head(status=204), b"POST", LengthDecoder, True, True),
    ("204 with a length", head((LENGTH, b"5"), status=204), b"POST", LengthDecoder, True, True),
    ("304 with a coding", head((CODING, b"chunked"), status=304), b"GET", LengthDecoder, True, True),
    ("close", head((LENGTH, b"5"), (CONNECTION, b"close")), b"POST", LengthDecoder, False, False),
    (
        "close in a list",
        head((LENGTH, b"5"), (CONNECTION, b"x, Close ")),
        b"POST",
        LengthDecoder,
        False,
        False,
    ),
    (
        "close in a later field",
        head((LENGTH, b"5"), (CONNECTION, b"x"), (CONNECTION, b"close")),
        b"POST",
        LengthDecoder,
        False,
        False,
    ),
    (
        "another option",
        head((LENGTH, b"5"), (CONNECTION, b"keep-alive, closed")),
        b"POST",
        LengthDecoder,
        False,
        True,
    ),
    ("HTTP/1.0", head((LENGTH, b"5"), minor=0), b"POST", LengthDecoder, False, False),
    (
        "HTTP/1.0, keep-alive",
        head((LENGTH, b"5"), (CONNECTION, b"keep-alive"), minor=0),
        b"POST",
        LengthDecoder,
        False,
        False,
    ),
    ("HTTP/1.0, chunked", head((CODING, b"chunked"), minor=0), b"POST", ChunkedDecoder, False, False),
]


@pytest.mark.parametrize(
    ("head", "method", "kind", "done", "kept"), [row[1:] for row in FRAMED], ids=[row[0] for row in FRAMED]
)
def test_framing(head: ResponseHead, method: bytes, kind: type[object], done: bool, kept: bool) -> None:
    framing = frame_body(head, method)
    assert (type(framing.decoder), framing.decoder.done, framing.keep_alive) == (kind, done, kept)


TWICE = "the body is framed twice: by its length and by a transfer coding"
NO_NUMBER = "the length of the body is not one decimal number"
CODED = "the body has another transfer coding than a single `chunked`"
UNFRAMED: list[tuple[str, Fields, str]] = [
    ("both", [(LENGTH, b"5"), (CODING, b"chunked")], TWICE),
    ("two lengths", [(LENGTH, b"5"), (LENGTH, b"6")], NO_NUMBER),
    ("two equal lengths", [(LENGTH, b"5"), (LENGTH, b"5")], NO_NUMBER),
    ("a list of lengths", [(LENGTH, b"5, 5")], NO_NUMBER),
    ("no number", [(LENGTH, b"five")], NO_NUMBER),
    ("empty", [(LENGTH, b"")], NO_NUMBER),
    ("a sign", [(LENGTH, b"+5")], NO_NUMBER),
    ("negative", [(LENGTH, b"-5")], NO_NUMBER),
    ("hexadecimal", [(LENGTH, b"0x5")], NO_NUMBER),
    ("underscore", [(LENGTH, b"1_0")], NO_NUMBER),
    ("twenty digits", [(LENGTH, b"9" * 20)], NO_NUMBER),
    ("gzip", [(CODING, b"gzip")], CODED),
    ("gzip and chunked", [(CODING, b"gzip, chunked")], CODED),
    ("gzip and chunked, apart", [(CODING, b"gzip"), (CODING, b"chunked")], CODED),
    ("chunked twice", [(CODING, b"chunked"), (CODING, b"chunked")], CODED),
    ("chunked twice in a list", [(CODING, b"chunked, chunked")], CODED),
    ("identity", [(CODING, b"identity")], CODED),
    ("nearly chunked", [(CODING, b"xchunked")], CODED),
    ("empty coding", [(CODING, b"")], CODED),
]


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize(
    ("fields", "reason"), [row[1:] for row in UNFRAMED], ids=[row[0] for row in UNFRAMED]
)
def test_refused_framing(fields: Fields, reason: str, status: int) -> None:
    with pytest.raises(FramingError, match=f"^{reason}$"):
        frame_body(head(*fields, status=status), b"POST")


def test_a_length_at_every_cut() -> None:
    for first in range(8):
        decoder = LengthDecoder(5)
        body = decoder.feed(b"hellomore"[:first]) + decoder.feed(b"hellomore"[first:])
        assert (body, decoder.done, decoder.excess, decoder.finish()) == (b"hello", True, True, b"")


def test_a_length_that_is_met_exactly_leaves_no_excess() -> None:
    decoder = LengthDecoder(5)
    assert (decoder.feed(b"hello"), decoder.done, decoder.excess) == (b"hello", True, False)
    assert (decoder.feed(b"x"), decoder.excess) == (b"", True)


def test_a_length_that_is_not_met() -> None:
    decoder = LengthDecoder(5)
    assert decoder.feed(b"hell") == b"hell"
    with pytest.raises(IncompleteBodyError, match=r"^1 bytes of the body are missing$"):
        decoder.finish()


def test_a_body_that_ends_with_its_connection() -> None:
    decoder = CloseDecoder()
    assert (decoder.feed(b"a"), decoder.done, decoder.finish(), decoder.done) == (b"a", False, b"", True)


# --- Whole responses against h11 -----------------------------------------------------------------------


def by_h11(stream: bytes) -> bytes:
    """The body of a whole response that is followed by the connection's end, as h11 reads it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(stream)
    connection.receive_data(b"")
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            body += bytes(event.data)
    return body


def read(chunks: Sequence[bytes]) -> tuple[bytes, BodyDecoder]:
    """The body of a whole response, and its decoder at the end of the connection."""
    reader, waiting = HeadReader(), list(chunks)
    while (found := reader.feed(waiting.pop(0))) is None:
        pass
    decoder = frame_body(found, b"GET").decoder
    body = b"".join(decoder.feed(chunk) for chunk in (reader.rest, *waiting))
    return body + decoder.finish(), decoder


@given(
    body=st.binary(max_size=40),
    framing=st.sampled_from([b"Content-Length: %d\r\n", b"Transfer-Encoding: chunked\r\n", b""]),
    data=st.data(),
)
def test_a_whole_response_is_read_as_h11_reads_it(body: bytes, framing: bytes, data: st.DataObject) -> None:
    coded = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    sent = coded + b"0\r\n\r\n" if b"chunked" in framing else body
    stream = b"HTTP/1.1 200 OK\r\n" + (framing % len(body) if b"%" in framing else framing) + b"\r\n" + sent
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    found, decoder = read([stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])])
    assert (found, decoder.done, decoder.excess) == (body, True, False)
    assert by_h11(stream) == body
