from __future__ import annotations

import tracemalloc
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cutting import cut
from trio_gateway.core.sse import LineTooLongError, SSEDecoder, SSEEvent, cut_lines


def decode(*chunks: bytes, max_line: int = 1_048_576) -> list[SSEEvent]:
    """All events of a stream, the one its end cuts off included."""
    decoder = SSEDecoder(max_line=max_line)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.finish()


def messages(*data: str) -> list[SSEEvent]:
    return [SSEEvent(data=text) for text in data]


def reference(stream: bytes) -> list[SSEEvent]:
    """The rules once more, naively: over the whole text, a character at a time."""
    text = stream.decode(errors="replace").removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n") + "\n\n"
    events, name, data = [], "", ""
    for line in text.split("\n"):
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "" and data:
            events.append(SSEEvent(name or "message", data[:-1]))
        if line == "":
            name, data = "", ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            name = value
        elif field == "error" and value:
            events.append(SSEEvent("error", value))
    return events


STREAMS: list[tuple[str, bytes, list[SSEEvent]]] = [
    ("nothing", b"", []),
    ("one", b"data: x\n\n", messages("x")),
    ("several", b"data: a\n\ndata: b\n\ndata: c\n\n", messages("a", "b", "c")),
    ("lf, cr, crlf", b"data: a\n\ndata: b\r\rdata: c\r\n\r\n", messages("a", "b", "c")),
    ("mixed in one event", b"data: a\rdata: b\ndata: c\r\n\ndata: d\r\n\r", messages("a\nb\nc", "d")),
    ("crlf inside an event", b"data: a\r\ndata: b\r\n\r\n", messages("a\nb")),
    ("cr then an empty line", b"data: a\r\r\ndata: b\r\r", messages("a", "b")),
    ("bom", b"\xef\xbb\xbfdata: x\n\n", messages("x")),
    ("second bom belongs to the name", b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n", messages("y")),
    ("bom later is data", b"data: \xef\xbb\xbfx\n\n", messages("\ufeffx")),
    ("bom and nothing", b"\xef\xbb\xbf", []),
    ("no space", b"data:x\n\n", messages("x")),
    ("two spaces", b"data:  x\n\n", messages(" x")),
    ("tab", b"data:\tx\n\n", messages("\tx")),
    ("space before the colon", b"data : x\n\n", []),
    ("comments", b": ping\n\n:\ndata: x\n:data: y\n\n", messages("x")),
    ("no colon", b"data\n\ndata\ndata\n\n", messages("", "\n")),
    ("empty data", b"data:\n\n", messages("")),
    ("several lines", b"data: a\ndata\ndata:\ndata: b\n\n", messages("a\n\n\nb")),
    ("id, retry, unknown", b"id: 1\nretry: no\nid: \x00\nfoo: bar\nDATA: y\ndata: x\n\n", messages("x")),
    ("named", b"event: ping\ndata: x\n\ndata: y\n\n", [SSEEvent("ping", "x"), SSEEvent("message", "y")]),
    ("named twice", b"event: a\ndata: x\nevent: b\n\n", [SSEEvent("b", "x")]),
    ("name without data", b"event: a\n\ndata: x\n\n", messages("x")),
    ("empty name", b"event:\ndata: x\n\n", messages("x")),
    ("error line", b'error: {"code":1}\n\ndata: x\n\n', [SSEEvent("error", '{"code":1}'), *messages("x")]),
    ("error line between", b"data: x\nerror:y\n\n", [SSEEvent("error", "y"), *messages("x")]),
    ("error without a value", b"error\nerror:\nerror: \n\n", []),
    (
        "separators that are none",
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode(),
        messages("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"),
    ),
    ("several bytes a character", "data: é漢😀\n\n".encode(), messages("é漢😀")),
    ("not utf-8", b"data: a\xffb\xe2\x82\n\n", messages("a\ufffdb\ufffd")),
    ("nul", b"data: a\x00b\n\n", messages("a\x00b")),
    ("no empty line", b"data: x\n\ndata: [DONE]\n", messages("x", "[DONE]")),
    ("no line end", b"data: x\n\ndata: [DONE]", messages("x", "[DONE]")),
    ("cr at the end", b"data: [DONE]\r", messages("[DONE]")),
]
IDS = [name for name, _, _ in STREAMS]


@pytest.mark.parametrize(("stream", "expected"), [row[1:] for row in STREAMS], ids=IDS)
def test_every_two_part_split(stream: bytes, expected: list[SSEEvent]) -> None:
    assert reference(stream) == expected
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    for place in range(len(stream) + 1):
        assert decode(stream[:place], b"", stream[place:]) == expected, place


PIECES = st.sampled_from(
    [
        *(b"data", b"event", b"error", b"id", b":", b": ", b" ", b"\n", b"\r", b"\r\n", b"\n\n"),
        *(b"\xef\xbb\xbf", "é".encode(), "\u2028".encode(), b"\xff", b"\xf0\x9f", b"\x00"),
        *(b"[DONE]", b"data: x\n\n"),
    ]
)


@given(stream=st.lists(PIECES | st.binary(max_size=4), max_size=30).map(b"".join), data=st.data())
def test_any_chunking_equals_the_reference(stream: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    chunks = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    assert decode(*chunks) == reference(stream)


def outcome(chunks: list[bytes], max_line: int) -> tuple[list[SSEEvent], bool]:
    decoder = SSEDecoder(max_line=max_line)
    events: list[SSEEvent] = []
    try:
        for chunk in chunks:
            events += decoder.feed(chunk)
        events += decoder.finish()
    except LineTooLongError:
        return events, True
    return events, False


@given(stream=st.lists(PIECES, max_size=30).map(b"".join), max_line=st.integers(6, 20), data=st.data())
def test_the_cap_falls_at_the_same_event_however_cut(
    stream: bytes, max_line: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    chunks = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    events, failed = outcome(chunks, max_line)
    assert (events, failed) == outcome([stream], max_line)
    assert failed or events == reference(stream)


def test_what_the_end_cuts_off_is_told_apart() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: x\n\ndata: [DONE]\n") == messages("x")
    assert decoder.finish() == messages("[DONE]")
    assert decoder.finish() == []


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 59,
        b"data: " + b"x" * 59 + b"\n\n",
        b":" + b"x" * 64 + b"\n",
        b"event: " + b"x" * 40 + b"\ndata: " + b"x" * 40 + b"\n\n",
        b"data: 1234567890\n" * 6,
        b"data\n" * 63,
        b"\xef\xbb\xbfdata: " + b"x" * 57 + b"\n\n",
    ],
)
def test_too_long(stream: bytes) -> None:
    with pytest.raises(LineTooLongError, match="64 bytes"):
        decode(stream, max_line=64)
    with pytest.raises(LineTooLongError):
        decode(*(stream[i : i + 1] for i in range(len(stream))), max_line=64)


def test_just_not_too_long() -> None:
    assert decode(b"data: " + b"x" * 58 + b"\n\n", max_line=64) == messages("x" * 58)
    assert decode(b"data\n" * 62 + b"\n", max_line=64) == messages("\n" * 61)


def test_events_before_a_line_too_long_are_not_lost() -> None:
    decoder = SSEDecoder(max_line=64)
    assert decoder.feed(b"data: x\n\ndata: " + b"y" * 100) == messages("x")
    with pytest.raises(LineTooLongError):
        decoder.feed(b"")
    with pytest.raises(LineTooLongError):
        decoder.finish()


def test_counts_what_was_not_utf8() -> None:
    decoder = SSEDecoder()
    decoder.feed("data: a\ufffdb\n\n".encode())
    assert decoder.replaced == 0
    decoder.feed(b"data: \xff\xef\xbf\xbd\xfe\n\nevent: \xc3\ndata: x\n\n")
    assert decoder.replaced == 3


@pytest.mark.parametrize(
    "chunk", [b"x" * 4096, b"data: x\n" * 512, b"data\n" * 800, b"event: x\ndata:\n" * 300]
)
def test_memory_is_bounded(chunk: bytes) -> None:
    decoder = SSEDecoder(max_line=65_536)
    tracemalloc.start()
    try:
        with pytest.raises(LineTooLongError):  # noqa: PT012
            while True:
                decoder.feed(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize("flood", [b":\n", b"\n", b": ping\n\n", b"data:\n\n"])
def test_floods_leave_nothing_behind(flood: bytes) -> None:
    decoder = SSEDecoder(max_line=16)
    for _ in range(100):
        assert {event.data for event in decoder.feed(flood * 100)} <= {""}
    assert decoder.finish() == []


def seconds(chunks: list[bytes]) -> float:
    started = process_time()
    decode(*chunks)
    return process_time() - started


def test_one_byte_at_a_time_is_linear() -> None:
    line = b"data: " + b"x" * 20_000
    short = min(seconds([line[i : i + 1] for i in range(len(line))]) for _ in range(3))
    longer = line * 8
    long = min(seconds([longer[i : i + 1] for i in range(len(longer))]) for _ in range(3))
    assert long < 8 * 4 * short


@given(st.binary(max_size=30) | st.text(st.sampled_from("a:\r\n"), max_size=600).map(str.encode))
def test_pieces_of_bounded_work_are_the_same_bytes(data: bytes) -> None:
    pieces = [*cut_lines(data)]
    assert b"".join(pieces) == data
    assert all(pieces)
    assert all(piece.count(b"\n") + piece.count(b"\r") <= 128 for piece in pieces)


@given(
    st.lists(st.sampled_from([0, 1, 100, 5_000, 16_382, 16_383, 16_384, 20_000, 70_000]), max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"", b"rest", b"y" * 17_000]),
)
def test_a_piece_of_more_than_16_kib_is_one_line(sizes: list[int], end: bytes, rest: bytes) -> None:
    data = b"".join(b"x" * size + end for size in sizes) + rest
    pieces = [*cut_lines(data)]
    assert b"".join(pieces) == data
    assert all(pieces)
    assert all(len(piece) <= 16_384 or not {*b"\r\n"} & {*piece[:-1]} for piece in pieces)


@pytest.mark.parametrize("unit", [b":\n", b"\n", b"\r\n", b"data:{}\n\n", b"data: x\r\n\r\n"])
def test_a_read_full_of_lines_is_cut_into_many_pieces(unit: bytes) -> None:
    data = unit * (65536 // len(unit))
    lines = data.count(b"\n") + data.count(b"\r")
    assert len([*cut_lines(data)]) == -(-lines // 128)


def test_comments_are_counted() -> None:
    decoder = SSEDecoder()
    decoder.feed(b": one\n:\r\ndata: x\n\nid: 7\n: unfin")
    assert decoder.comments == 2
    decoder.feed(b"ished\n")
    assert decoder.comments == 3


def test_what_waits_is_known() -> None:
    decoder = SSEDecoder()
    assert decoder.waiting == 0
    decoder.feed(b"event: x\ndata: four\nda")
    assert decoder.waiting == len("x") + len("four") + len("da")
    decoder.feed(b"ta: more\n\n")
    assert decoder.waiting == 0


@given(st.lists(st.integers(0, 120), max_size=6))
def test_large_data_can_be_left_undecoded(places: list[int]) -> None:
    stream = "data: é\n\nevent: x\ndata: éé\ndata: b\n\nerror: ééé\ndata: éé\n\n".encode()
    decoder = SSEDecoder(raw_over=4)
    events = [event for chunk in cut(stream, places) for event in decoder.feed(chunk)]
    assert events == [
        SSEEvent(data="é"),
        SSEEvent("x", raw="éé\nb".encode()),
        SSEEvent("error", raw="ééé".encode()),
        SSEEvent(data="éé"),
    ]


def test_an_event_as_large_as_allowed_is_not_copied_often() -> None:
    decoder = SSEDecoder(raw_over=1024)
    size = 8 * 1024 * 1024
    decoder.feed(b"data: " + b"x" * (size // 2))
    tracemalloc.start()
    decoder.feed(b"x" * (size // 2))
    (event,) = decoder.feed(b"\n\n")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(event.raw) == size
    assert peak < 2 * size
