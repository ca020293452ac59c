"""Heads of requests: how they look, and that nothing breaks out of its line."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.upstream_api.http_framing import Fields, InvalidRequestError, encode_request_head

HOST = (b"Host", b"example.org")
WRITTEN: list[tuple[str, bytes, bytes, Fields, int, bytes]] = [
    ("GET", b"GET", b"/a?b=c", [HOST], 0, b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    (
        "POST",
        b"POST",
        b"/",
        [HOST, (b"A", b"b c")],
        7,
        b"POST / HTTP/1.1\r\nHost: example.org\r\nA: b c\r\nContent-Length: 7\r\n\r\n",
    ),
    (
        "POST of nothing",
        b"POST",
        b"/",
        [HOST],
        0,
        b"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "DELETE with a body",
        b"DELETE",
        b"/",
        [HOST],
        1,
        b"DELETE / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1\r\n\r\n",
    ),
    ("no field", b"GET", b"/", [], 0, b"GET / HTTP/1.1\r\n\r\n"),
    ("empty value", b"GET", b"/", [(b"A", b"")], 0, b"GET / HTTP/1.1\r\nA: \r\n\r\n"),
]


@pytest.mark.parametrize(
    ("method", "target", "fields", "length", "head"),
    [row[1:] for row in WRITTEN],
    ids=[row[0] for row in WRITTEN],
)
def test_heads(method: bytes, target: bytes, fields: Fields, length: int, head: bytes) -> None:
    assert encode_request_head(method, target, fields, length) == head


INVALID: list[tuple[str, bytes, bytes, Fields]] = [
    ("line break in the method", b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET", b"/", [HOST]),
    ("blank in the method", b"GE T", b"/", [HOST]),
    ("no method", b"", b"/", [HOST]),
    ("blank in the target", b"GET", b"/a b", [HOST]),
    ("line break in the target", b"GET", b"/\r\n", [HOST]),
    ("no ASCII in the target", b"GET", "/é".encode(), [HOST]),
    ("no target", b"GET", b"", [HOST]),
    ("line break in a name", b"GET", b"/", [(b"A: b\r\nC", b"d")]),
    ("colon in a name", b"GET", b"/", [(b"A:", b"b")]),
    ("no name", b"GET", b"/", [(b"", b"b")]),
    ("line break in a value", b"GET", b"/", [(b"A", b"b\r\nC: d")]),
    ("LF in a value", b"GET", b"/", [(b"A", b"b\nc")]),
    ("NUL in a value", b"GET", b"/", [(b"A", b"\x00")]),
    ("an empty line", b"GET", b"/", [(b"A", b"b\r\n\r\nGET / HTTP/1.1")]),
    ("a length", b"GET", b"/", [(b"Content-length", b"5")]),
    ("a coding", b"GET", b"/", [(b"TRANSFER-ENCODING", b"chunked")]),
]


@pytest.mark.parametrize(
    ("method", "target", "fields"), [row[1:] for row in INVALID], ids=[row[0] for row in INVALID]
)
def test_refused(method: bytes, target: bytes, fields: Fields) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        encode_request_head(method, target, fields, 0)
    assert "GET" not in str(raised.value)


@given(
    fields=st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=4),
    length=st.integers(0, 9),
)
def test_what_is_written_reads_back_as_it_was_meant(fields: Fields, length: int) -> None:
    try:
        head = encode_request_head(b"POST", b"/", [HOST, *fields], length)
    except InvalidRequestError:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(head)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    sent = [(name.lower(), value.strip(b" \t")) for name, value in (HOST, *fields)]
    assert list(request.headers) == [*sent, (b"content-length", b"%d" % length)]
