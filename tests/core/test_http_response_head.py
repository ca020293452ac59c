"""Heads of responses: accepted and refused alike, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.upstream_api.http_framing import FramingError, HeadReader, ResponseHead
from trio_gateway.core.upstream_api.http_framing.response_head import MAX_FIELDS, MAX_HEAD, MAX_INFORMATIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable

OK = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"
A_OK = ResponseHead(200, b"OK", 1, [(b"a", b"b")])


def read(chunks: Iterable[bytes]) -> tuple[ResponseHead, bytes]:
    """The head, and every byte that came behind it."""
    reader, head, behind = HeadReader(), None, b""
    for chunk in chunks:
        if head is None:
            head = reader.feed(chunk)
        else:
            behind += chunk
    assert head is not None
    return head, reader.rest + behind


def verdict(chunks: Iterable[bytes]) -> tuple[ResponseHead, bytes] | str:
    try:
        return read(chunks)
    except FramingError as error:
        return str(error)


ACCEPTED: list[tuple[str, bytes, ResponseHead]] = [
    ("one field", OK + b"A: b\r\n\r\n", A_OK),
    ("no field", OK + b"\r\n", ResponseHead(200, b"OK", 1, [])),
    ("no reason", b"HTTP/1.1 200 \r\n\r\n", ResponseHead(200, b"", 1, [])),
    ("no reason and no blank", b"HTTP/1.1 200\r\n\r\n", ResponseHead(200, b"", 1, [])),
    ("reason of several words", b"HTTP/1.1 404 Not \xe9\t\r\n\r\n", ResponseHead(404, b"Not \xe9\t", 1, [])),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n", ResponseHead(200, b"OK", 0, [])),
    ("unknown status", b"HTTP/1.1 999 \r\n\r\n", ResponseHead(999, b"", 1, [])),
    ("names in any case", OK + b"aB-C: D\r\n\r\n", ResponseHead(200, b"OK", 1, [(b"ab-c", b"D")])),
    ("blanks around a value", OK + b"a: \t b c \t\r\n\r\n", ResponseHead(200, b"OK", 1, [(b"a", b"b c")])),
    ("no blank", OK + b"a:b\r\n\r\n", A_OK),
    ("empty values", OK + b"a:\r\nb: \t\r\n\r\n", ResponseHead(200, b"OK", 1, [(b"a", b""), (b"b", b"")])),
    ("colons", OK + b"a: b:c:\r\n\r\n", ResponseHead(200, b"OK", 1, [(b"a", b"b:c:")])),
    ("a name twice", OK + b"a: b\r\nA: c\r\n\r\n", ResponseHead(200, b"OK", 1, [(b"a", b"b"), (b"a", b"c")])),
    (
        "bytes that are no ASCII",
        OK + b"a: \xff\x01\r\n\r\n",
        ResponseHead(200, b"OK", 1, [(b"a", b"\xff\x01")]),
    ),
    ("100 before it", CONTINUE + OK + b"A: b\r\n\r\n", A_OK),
    ("102 and 103", b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + OK + b"A: b\r\n\r\n", A_OK),
    ("as many 1xx as may be", CONTINUE * MAX_INFORMATIONAL + OK + b"A: b\r\n\r\n", A_OK),
]

NO_FIELD = "a line of the head is not a field: a name, a colon and a value"
FOLDED = "a field of the head is folded over several lines"
BARE_LF = "a line of the head ends with a bare LF"
NO_STATUS = "the response does not begin with a status line of HTTP/1.0 or HTTP/1.1"
REFUSED: list[tuple[str, bytes, str]] = [
    ("another protocol", b"SSH-2.0-OpenSSH\r\n\r\n", NO_STATUS),
    ("TLS where none is spoken", b"\x15\x03\x01\x00\x02\x02\x46", NO_STATUS),
    ("HTTP/2", b"HTTP/2 200 OK\r\n\r\n", NO_STATUS),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n", NO_STATUS),
    ("lower case", b"http/1.1 200 OK\r\n\r\n", NO_STATUS),
    ("an empty line first", b"\r\nHTTP/1.1 200 OK\r\n\r\n", NO_STATUS),
    ("two blanks", b"HTTP/1.1  200 OK\r\n\r\n", NO_STATUS),
    ("status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", NO_STATUS),
    ("status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", NO_STATUS),
    ("status below 100", b"HTTP/1.1 099 OK\r\n\r\n", NO_STATUS),
    ("NUL in the reason", b"HTTP/1.1 200 O\x00K\r\n\r\n", NO_STATUS),
    ("bare CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n", NO_STATUS),
    ("a fold", OK + b"a: b\r\n c\r\n\r\n", FOLDED),
    ("a fold by a tab", OK + b"a: b\r\n\tc: d\r\n\r\n", FOLDED),
    ("a fold first", OK + b" a: b\r\n\r\n", FOLDED),
    ("bare LF", OK + b"a: b\nc: d\r\n\r\n", BARE_LF),
    ("bare LF everywhere", b"HTTP/1.1 200 OK\na: b\n\n", BARE_LF),
    ("bare LF at the end", OK + b"a: b\n\r\n\r\n", BARE_LF),
    ("bare CR", OK + b"a: b\rc: d\r\n\r\n", NO_FIELD),
    ("NUL", OK + b"a: b\x00\r\n\r\n", NO_FIELD),
    ("no colon", OK + b"a: b\r\nc\r\n\r\n", NO_FIELD),
    ("no name", OK + b": b\r\n\r\n", NO_FIELD),
    ("blank before the colon", OK + b"a : b\r\n\r\n", NO_FIELD),
    ("blank in a name", OK + b"a b: c\r\n\r\n", NO_FIELD),
    ("101", b"HTTP/1.1 101 Switching\r\n\r\n", "the response switches protocols, which was not asked for"),
    ("one 1xx too many", CONTINUE * (MAX_INFORMATIONAL + 1), "more than 16 informational responses"),
    ("a malformed 1xx", b"HTTP/1.1 100 C\r\na\r\n\r\n" + OK + b"\r\n", NO_FIELD),
]


@pytest.mark.parametrize(("stream", "head"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted_at_every_split(stream: bytes, head: ResponseHead) -> None:
    stream += b"rest\r\n\r\n"
    assert read(stream[i : i + 1] for i in range(len(stream))) == (head, b"rest\r\n\r\n")
    for cut in range(len(stream) + 1):
        assert read([stream[:cut], b"", stream[cut:]]) == (head, b"rest\r\n\r\n"), cut


@pytest.mark.parametrize(("stream", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_at_every_split(stream: bytes, reason: str) -> None:
    assert verdict([stream]) == reason
    for cut in range(len(stream) + 1):
        assert isinstance(verdict([stream[:cut], stream[cut:]]), str), cut
    assert isinstance(verdict(stream[i : i + 1] for i in range(len(stream))), str)


@pytest.mark.parametrize("size", [MAX_HEAD, MAX_HEAD + 1])
def test_the_longest_head(size: int) -> None:
    start, end = OK + b"a: ", b"\r\n\r\n"
    stream = start + b"x" * (size - len(start) - len(end)) + end
    assert len(stream) == size
    for step in (1000, MAX_HEAD - 1, MAX_HEAD, size):
        found = verdict(stream[at : at + step] for at in range(0, size, step))
        assert isinstance(found, str) == (size > MAX_HEAD), step


@pytest.mark.parametrize("fields", [MAX_FIELDS, MAX_FIELDS + 1])
def test_the_most_fields(fields: int) -> None:
    found = verdict([OK + b"a: b\r\n" * fields + b"\r\n"])
    assert (
        found == "the head has more than 1000 fields" if fields > MAX_FIELDS else not isinstance(found, str)
    )


def test_no_part_of_a_refused_head_is_quoted() -> None:
    assert "secret" not in str(verdict([OK + b"secret\r\n\r\n"]))


def test_an_unfinished_head_is_known_to_have_begun() -> None:
    reader = HeadReader()
    assert not reader.started
    assert reader.feed(b"H") is None
    assert reader.started


def test_fields_are_found_by_name() -> None:
    head = ResponseHead(200, b"OK", 1, [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert (head.find(b"a"), head.find(b"c"), head.find_all(b"a"), head.find_all(b"c")) == (
        b"1",
        None,
        [b"1", b"3"],
        [],
    )


# --- Against h11 ---------------------------------------------------------------------------------------


def by_h11(chunks: Iterable[bytes]) -> tuple[int, bytes, list[tuple[bytes, bytes]]] | None:
    """What h11 makes of a head; None where it refuses or waits for more."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * MAX_HEAD)
    connection.send(h11.Request(method="HEAD", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    try:
        for chunk in chunks:
            connection.receive_data(chunk)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    return event.status_code, bytes(event.reason), list(event.headers)
                if not isinstance(event, h11.InformationalResponse):
                    return None
    except h11.RemoteProtocolError:
        pass
    return None


TOKENS = st.text("aZ-_0!~", min_size=1, max_size=6).map(str.encode)
TEXTS = st.text("a Z\t:,;=\xff", max_size=12).map(lambda text: text.encode("latin-1").strip(b" \t"))
FIELDS = st.lists(st.tuples(TOKENS, st.sampled_from([b"", b" ", b"\t "]), TEXTS), max_size=5)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Well-formed heads, informational ones before the final one."""
    statuses = [*draw(st.lists(st.sampled_from([100, 102, 103]), max_size=3)), draw(st.integers(200, 599))]
    stream = b""
    for status in statuses:
        fields = b"".join(name + b":" + gap + value + b"\r\n" for name, gap, value in draw(FIELDS))
        reason = draw(TEXTS | st.none())
        line = b"HTTP/1.1 %d" % status + (b"" if reason is None else b" " + reason)
        stream += line + b"\r\n" + fields + b"\r\n"
    return stream


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    return [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]


@given(stream=heads(), data=st.data())
def test_a_well_formed_head_is_read_as_h11_reads_it(stream: bytes, data: st.DataObject) -> None:
    head, rest = read(cut(stream, data))
    assert (head.status, head.reason, list(head.fields)) == by_h11([stream])
    assert rest == b""


ODDITIES = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\x00", b"\x0b", b"HTTP/1.1 ", b"1", b"\xff"]
)


@given(stream=heads(), data=st.data())
def test_no_head_is_accepted_that_h11_refuses(stream: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stream)))
        stream = (
            stream[:at] + data.draw(ODDITIES | st.just(b"")) + stream[at + data.draw(st.integers(0, 2)) :]
        )
    reader = HeadReader()
    try:
        head = reader.feed(stream)
    except FramingError:
        return
    if head is not None:
        assert (head.status, head.reason, list(head.fields)) == by_h11([stream])
