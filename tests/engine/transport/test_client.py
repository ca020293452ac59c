"""The client against raw bytes on loopback: bodies, faults, and which connections are used again."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from trio.testing import assert_checkpoints

from tests.engine.transport.serving import FIELDS, Peer, Script, answers, fetch, open_client, open_server
from tests.support import until
from trio_gateway.core.upstream_api.http_framing import InvalidRequestError
from trio_gateway.engine.transport import (
    ConnectFaultError,
    Http1Client,
    Origin,
    PeerProtocolError,
    ReadFaultError,
    TransportFault,
    TransportFaultError,
    WriteFaultError,
)
from trio_gateway.engine.transport.connect import open_wire

if TYPE_CHECKING:
    from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\n"
TWO = OK + b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSING = OK + b"Connection: close\r\n"

# --- What comes back, and whether the connection is used again -------------------------------------------

BODIES: list[tuple[str, bytes, int, bytes, bool]] = [
    # what, the answer, status, body, kept
    ("length", TWO, 200, b"hi", True),
    ("no length but zero", OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    ("chunked", CHUNKED + b"1\r\nh\r\n1;x=y\r\ni\r\n0\r\nA: b\r\n\r\n", 200, b"hi", True),
    ("chunked and empty", CHUNKED + b"0\r\n\r\n", 200, b"", True),
    ("204", b"HTTP/1.1 204 No\r\n\r\n", 204, b"", True),
    ("304", b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n", 304, b"", True),
    ("an error", b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nhi", 500, b"hi", True),
    (
        "a redirect",
        b"HTTP/1.1 302 No\r\nLocation: http://x/\r\nContent-Length: 2\r\n\r\nhi",
        302,
        b"hi",
        True,
    ),
    ("1xx first", b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" + TWO, 200, b"hi", True),
    ("close, length", CLOSING + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", False),
    (
        "close, chunked",
        CLOSING + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        200,
        b"hi",
        False,
    ),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    ("garbage behind a length", TWO + b"HTTP/1.1 200", 200, b"hi", False),
    ("garbage behind chunks", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n\r\n", 200, b"hi", False),
    ("garbage behind nothing", b"HTTP/1.1 204 No\r\n\r\nxyz", 204, b"", False),
]


def in_two(answer: bytes) -> list[Script]:
    """The answer in one piece, and cut in the middle; the second part comes when the first has been read."""

    def cut(at: int) -> Script:
        async def script(peer: Peer) -> None:
            while await peer.read_request():
                await peer.stream.send_all(answer[:at])
                await trio.testing.wait_all_tasks_blocked()
                await peer.stream.send_all(answer[at:])

        return script

    return [cut(len(answer)), cut(len(answer) // 2), cut(len(answer) - 1)]


@pytest.mark.parametrize(
    ("answer", "status", "body", "kept"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
async def test_bodies(answer: bytes, status: int, body: bytes, kept: bool) -> None:
    for script in in_two(answer):
        async with open_server(script) as server, open_client(server) as client:
            for _ in range(3):
                assert await fetch(client) == (status, body)
            assert (server.accepted, client.statistics.idle) == ((1, 1) if kept else (3, 0))
            assert client.statistics.reused == (2 if kept else 0)


async def test_a_body_that_ends_with_its_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(CLOSING + b"\r\nhi")

    async with open_server(script) as server, open_client(server) as client:
        assert await fetch(client) == await fetch(client) == (200, b"hi")
    assert server.accepted == 2


@pytest.mark.parametrize("framing", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_the_response_to_head_has_no_body(framing: bytes) -> None:
    async with open_server(answers(OK + framing + b"\r\n", TWO)) as server, open_client(server) as client:
        assert await fetch(client, b"", b"HEAD") == (200, b"")
        assert await fetch(client) == (200, b"hi")
    assert server.accepted == 1


async def test_one_read_is_one_piece_however_many_chunks_it_holds() -> None:
    chunks = b"1\r\nx\r\n" * 1000
    async with (
        open_server(answers(CHUNKED + chunks + b"0\r\n\r\n")) as server,
        open_client(server) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        assert await response.receive() == b"x" * 1000
        # Head, body and its end came in one read: the connection is free before the end is asked for.
        assert (response.ended, client.statistics.idle) == (True, 1)
        assert await response.receive() == await response.receive() == b""


@pytest.mark.parametrize("excess", [b"", b"HTTP/1.1 200 OK\r\n\r\n" * 500], ids=["alone", "and more"])
async def test_a_read_of_thousands_of_chunks_is_decoded_in_pieces(excess: bytes) -> None:
    """Other tasks run in between; what follows the body in the same read still costs the connection."""
    raw = b"1\r\na\r\n" * 9_000 + b"0\r\n\r\n" + excess
    async with open_server(answers(CHUNKED, CHUNKED)) as server, open_client(server) as client:
        async with client.request(b"POST", b"/", FIELDS) as response:
            response._ahead = raw  # as if one read had given it
            pieces = [await response.receive()]
            while pieces[-1]:
                if response._resumes:
                    with assert_checkpoints():
                        pieces.append(await response.receive())
                else:
                    pieces.append(await response.receive())
        assert client.statistics.idle == (0 if excess else 1)
    assert b"".join(pieces) == b"a" * 9_000
    assert len(pieces) > 8


async def test_a_piece_that_is_waited_for_can_be_cancelled_and_asked_for_again() -> None:
    async with (
        open_server(answers(CHUNKED)) as server,
        open_client(server) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        response._ahead = b"1\r\na\r\n" * 9_000 + b"0\r\n\r\n"
        received = await response.receive()
        with trio.CancelScope() as scope:
            scope.cancel()
            await response.receive()
        assert scope.cancelled_caught
        while piece := await response.receive():
            received += piece
    assert received == b"a" * 9_000


async def test_what_the_head_of_a_response_holds() -> None:
    raw = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX: 1\r\nX: 2\r\nContent-Length: 0\r\n\r\n"
    async with (
        open_server(answers(raw)) as server,
        open_client(server) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        assert (response.status, response.head.reason, response.retried) == (429, b"Slow Down", False)
        assert response.head.find(b"retry-after") == b"7"
        assert list(response.fields)[1:3] == [(b"x", b"1"), (b"x", b"2")]


async def test_what_is_written() -> None:
    async with open_server(answers(TWO, TWO)) as server, open_client(server) as client:
        await fetch(client, b'{"a": 1}')
        async with client.request(b"GET", b"/x?y=z", [(b"host", b"elsewhere")]) as response:
            await response.receive()
    host = b"Host: 127.0.0.1:%d\r\n" % server.port
    assert server.requests == [
        b"POST / HTTP/1.1\r\n" + host + b'Accept: */*\r\nContent-Length: 8\r\n\r\n{"a": 1}',
        b"GET /x?y=z HTTP/1.1\r\nhost: elsewhere\r\n\r\n",
    ]


async def test_a_request_that_cannot_be_written_touches_no_connection() -> None:
    client = Http1Client(Origin("127.0.0.1", 1))
    with pytest.raises(InvalidRequestError):
        client.request(b"GET", b"/", [(b"A", b"b\r\nC: d")])
    assert client.statistics.opened == 0


# --- Faults --------------------------------------------------------------------------------------------


async def receive_into(received: bytearray, client: Http1Client) -> None:
    """One request, whose body is kept even where it ends in a fault."""
    async with client.request(b"POST", b"/", FIELDS, b"{}") as response:
        while chunk := await response.receive():
            received += chunk


MANY = b"".join(b"X-%d: y\r\n" % number for number in range(1001))
FAULTS: list[tuple[str, bytes, bytes, TransportFault, type[httpx.TransportError]]] = [
    # what, the answer before the connection ends, what of the body is received, fault, kind
    ("nothing", b"", b"", TransportFault.DISCONNECTED, PeerProtocolError),
    ("half a head", OK + b"Content-Le", b"", TransportFault.DISCONNECTED, PeerProtocolError),
    ("1xx alone", b"HTTP/1.1 100 C\r\n\r\n", b"", TransportFault.DISCONNECTED, PeerProtocolError),
    (
        "too little for the length",
        OK + b"Content-Length: 3\r\n\r\nhi",
        b"hi",
        TransportFault.INCOMPLETE,
        PeerProtocolError,
    ),
    (
        "nothing of the length",
        OK + b"Content-Length: 3\r\n\r\n",
        b"",
        TransportFault.INCOMPLETE,
        PeerProtocolError,
    ),
    ("no last chunk", CHUNKED + b"2\r\nhi\r\n", b"hi", TransportFault.INCOMPLETE, PeerProtocolError),
    ("half a chunk", CHUNKED + b"9\r\nhi", b"hi", TransportFault.INCOMPLETE, PeerProtocolError),
    ("half a size", CHUNKED + b"2\r\nhi\r\n2", b"hi", TransportFault.INCOMPLETE, PeerProtocolError),
    ("a size that is none", CHUNKED + b"xyz\r\n", b"", TransportFault.VIOLATION, PeerProtocolError),
    (
        "a size that is none, later",
        CHUNKED + b"2\r\nhi\r\nxyz\r\n",
        b"hi",
        TransportFault.VIOLATION,
        PeerProtocolError,
    ),
    ("an endless extension", CHUNKED + b"2;" + b"x" * 5000, b"", TransportFault.VIOLATION, PeerProtocolError),
    ("no HTTP", b"SSH-2.0-OpenSSH\r\n", b"", TransportFault.VIOLATION, PeerProtocolError),
    ("101", b"HTTP/1.1 101 S\r\n\r\n", b"", TransportFault.VIOLATION, PeerProtocolError),
    ("too many 1xx", b"HTTP/1.1 100 C\r\n\r\n" * 17 + TWO, b"", TransportFault.VIOLATION, PeerProtocolError),
    (
        "length and coding",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"",
        TransportFault.VIOLATION,
        PeerProtocolError,
    ),
    (
        "two lengths",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        b"",
        TransportFault.VIOLATION,
        PeerProtocolError,
    ),
    (
        "a folded field",
        OK + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
        b"",
        TransportFault.VIOLATION,
        PeerProtocolError,
    ),
    (
        "bare LF",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        b"",
        TransportFault.VIOLATION,
        PeerProtocolError,
    ),
    (
        "a long head",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"",
        TransportFault.VIOLATION,
        PeerProtocolError,
    ),
    ("many fields", OK + MANY + b"\r\n", b"", TransportFault.VIOLATION, PeerProtocolError),
]


@pytest.mark.parametrize(
    ("answer", "body", "fault", "kind"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
async def test_a_fault(
    answer: bytes, body: bytes, fault: TransportFault, kind: type[httpx.TransportError]
) -> None:
    """Everything before the fault is received; then the connection is closed, and there was only one."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(answer)

    received = bytearray()
    async with open_server(script) as server, open_client(server) as client:
        with pytest.raises(kind) as raised:
            await receive_into(received, client)
        assert isinstance(raised.value, TransportFaultError)
        assert (raised.value.fault, bytes(received)) == (fault, body)
        assert str(raised.value).startswith(fault.value)
        assert client.statistics.active == client.statistics.idle == 0
        await until(lambda: server.open == 0)
    assert (server.accepted, client.statistics.stale) == (1, 0)


async def test_a_violation_closes_the_connection_at_once_and_is_raised_from_then_on() -> None:
    async with (
        open_server(answers(CHUNKED + b"2\r\nhi\r\nxyz\r\n")) as server,
        open_client(server) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        assert await response.receive() == b"hi"
        await until(lambda: server.open == 0)
        for _ in range(2):
            with pytest.raises(PeerProtocolError, match="malformed"):
                await response.receive()


RESET = socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("before", "body", "fault"),
    [
        (b"", b"", TransportFault.RESET),
        (OK + b"Content-", b"", TransportFault.RESET),
        (OK + b"Content-Length: 9\r\n\r\nhi", b"hi", TransportFault.RESET),
    ],
    ids=["before the head", "in the head", "in the body"],
)
async def test_a_reset(before: bytes, body: bytes, fault: TransportFault) -> None:
    received = bytearray()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(before)
        if body:  # a reset takes with it what has not been read
            await until(lambda: received == body)
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(*RESET)

    async with open_server(script) as server, open_client(server) as client:
        with pytest.raises(ReadFaultError) as raised:
            await receive_into(received, client)
        assert isinstance(raised.value, httpx.ReadError)
        assert (raised.value.fault, bytes(received)) == (fault, body)


async def test_a_response_left_early_closes_its_connection() -> None:
    async with open_server(answers(CHUNKED + b"2\r\nhi\r\n")) as server, open_client(server) as client:
        async with client.request(b"POST", b"/", FIELDS) as response:
            assert await response.receive() == b"hi"
        assert (client.statistics.active, client.statistics.idle) == (0, 0)
        await until(lambda: server.open == 0)
        with pytest.raises(trio.ClosedResourceError):
            await response.receive()
        response.close()  # harmless


async def test_a_read_that_is_cancelled_can_be_made_again() -> None:
    go_on = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(CHUNKED + b"2\r\nhi\r\n")
        await go_on.wait()
        await peer.stream.send_all(b"2\r\nho\r\n0\r\n\r\n")
        await peer.wait_for_end()

    async with (
        open_server(script) as server,
        open_client(server) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        assert await response.receive() == b"hi"
        with trio.move_on_after(0.01) as scope:
            await response.receive()
        assert scope.cancelled_caught
        go_on.set()
        assert await response.receive() == b"ho"
        assert await response.receive() == b""
        assert client.statistics.idle == 1


# --- Connections that were closed while they lay idle ----------------------------------------------------


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(TWO)

    async with open_server(script) as server, open_client(server) as client:
        await fetch(client)
        await until(lambda: server.open == 0)
        assert await fetch(client) == (200, b"hi")
    assert (server.accepted, client.statistics.stale, client.statistics.reused) == (2, 1, 0)


async def test_bytes_nobody_asked_for_cost_an_idle_connection() -> None:
    late = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(TWO)
        await late.wait()
        await peer.stream.send_all(b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_for_end()

    async with open_server(script) as server, open_client(server) as client:
        await fetch(client)
        late.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (await fetch(client))[0] == 200
    assert (server.accepted, client.statistics.stale) == (2, 1)


def dies_at_the_second_request(die: Callable[[Peer], None], answer: bytes = b"") -> Script:
    """A script that answers once a connection, and ends with the next request; the second connection lives."""

    async def script(peer: Peer) -> None:
        while await peer.read_request():
            if len(peer.server.requests) == 2:
                await peer.stream.send_all(answer)
                die(peer)
                return
            await peer.stream.send_all(TWO)

    return script


def reset(peer: Peer) -> None:
    assert isinstance(peer.stream, trio.SocketStream)
    peer.stream.setsockopt(*RESET)


@pytest.mark.parametrize("size", [2, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("die", [reset, lambda _: None], ids=["reset", "end"])
async def test_a_connection_that_dies_with_the_request_is_replaced_once(
    die: Callable[[Peer], None], size: int
) -> None:
    body = b"x" * size
    async with open_server(dies_at_the_second_request(die)) as server, open_client(server) as client:
        assert await fetch(client, body) == (200, b"hi")
        async with client.request(b"POST", b"/", FIELDS, body) as response:
            assert await response.receive() == b"hi"
            assert response.retried
        async with client.request(b"POST", b"/", FIELDS, body) as response:
            assert await response.receive() == b"hi"
            assert not response.retried
    statistics = client.statistics
    assert (server.accepted, statistics.opened, statistics.stale, statistics.reused) == (2, 2, 1, 2)
    assert [len(request) > size for request in server.requests] == [True] * 4


@pytest.mark.parametrize("answer", [b"H", b"HTTP/1.1 100 C\r\n\r\n"])
async def test_a_connection_that_dies_after_a_byte_of_a_response_is_a_fault(answer: bytes) -> None:
    script = dies_at_the_second_request(lambda _: None, answer)
    async with open_server(script) as server, open_client(server) as client:
        await fetch(client)
        with pytest.raises(PeerProtocolError, match=r"^Server disconnected"):
            await fetch(client)
    assert (server.accepted, client.statistics.stale) == (1, 0)


async def test_the_new_connection_is_not_replaced() -> None:
    """A stale connection is replaced; that its replacement is closed without an answer is a fault."""

    async def script(peer: Peer) -> None:
        if peer.number == 0:
            await peer.read_request()
            await peer.stream.send_all(TWO)
        await peer.read_request()

    async with open_server(script) as server, open_client(server) as client:
        await fetch(client)
        with pytest.raises(PeerProtocolError, match=r"^Server disconnected"):
            await fetch(client)
    assert (server.accepted, client.statistics.opened, client.statistics.stale) == (2, 2, 1)


async def test_an_answer_on_a_used_connection_that_breaks_the_rules_is_a_fault() -> None:
    async with open_server(answers(TWO, b"nonsense")) as server, open_client(server) as client:
        await fetch(client)
        with pytest.raises(PeerProtocolError, match="status line"):
            await fetch(client)
    assert server.accepted == 1


# --- Large requests ------------------------------------------------------------------------------------

LARGE = b"x" * 8_000_000


async def test_a_large_request_is_written_whole() -> None:
    async with open_server(answers(TWO, TWO)) as server, open_client(server) as client:
        assert await fetch(client, LARGE) == await fetch(client, LARGE) == (200, b"hi")
    assert [len(request) > len(LARGE) for request in server.requests] == [True, True]
    assert server.accepted == 1


@pytest.mark.parametrize("closes", [False, True])
async def test_an_early_refusal_is_read_while_the_request_is_still_being_sent(closes: bool) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"

    refused = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1000)
        await peer.stream.send_all(refusal)
        if not closes:
            await refused.wait()

    async with open_server(script) as server, open_client(server) as client:
        for accepted in (1, 2):
            with trio.fail_after(2):
                assert await fetch(client, LARGE) == (413, b"no")
            # Not kept, as the server may still wait for the rest of that request.
            assert (server.accepted, client.statistics.idle) == (accepted, 0)
        refused.set()


async def test_an_early_acceptance_does_not_cut_the_request() -> None:
    async def script(peer: Peer) -> None:
        got = len(await peer.stream.receive_some(1000))
        await peer.stream.send_all(CHUNKED)
        while got < len(LARGE):
            got += len(await peer.stream.receive_some(65536))
        await peer.stream.send_all(b"2\r\nhi\r\n0\r\n\r\n")
        await peer.wait_for_end()

    async with open_server(script) as server, open_client(server) as client:
        with trio.fail_after(5):
            assert await fetch(client, LARGE) == (200, b"hi")
        assert client.statistics.idle == 1


async def test_a_server_that_closes_in_the_middle_of_a_request() -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1000)
        reset(peer)

    async with open_server(script) as server, open_client(server) as client:
        with pytest.raises(WriteFaultError) as raised:
            await fetch(client, LARGE)
    assert raised.value.fault is TransportFault.WRITE
    assert isinstance(raised.value, httpx.WriteError)


async def test_a_server_that_ends_its_side_in_the_middle_of_a_request() -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1000)
        assert isinstance(peer.stream, trio.SocketStream)
        await peer.stream.send_eof()
        await trio.sleep_forever()

    async with open_server(script) as server:
        client = Http1Client(server.origin())
        with pytest.raises(WriteFaultError), trio.fail_after(2):
            await fetch(client, LARGE)
        assert client.statistics.active == 0


# --- The client's own end ------------------------------------------------------------------------------


async def test_a_retired_client_keeps_no_connection_but_serves() -> None:
    async with open_server(answers(TWO, TWO)) as server, open_client(server) as client:
        await fetch(client)
        async with client.request(b"POST", b"/", FIELDS) as running:
            client.retire()
            assert await running.receive() == b"hi"
        await until(lambda: server.open == 0)
        assert await fetch(client) == (200, b"hi")
        await until(lambda: server.open == 0)
    assert (server.accepted, client.statistics.idle) == (2, 0)


async def test_closing_a_client_ends_what_runs() -> None:
    async with open_server(answers(TWO, b"")) as server, open_client(server) as client:
        await fetch(client)  # the next one waits on a used connection, and must not take a new one
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(ReadFaultError):
                    await fetch(client)

            nursery.start_soon(ask)
            await until(lambda: len(server.requests) == 2)
            client.close()
        with pytest.raises(trio.ClosedResourceError):
            await fetch(client)
    assert server.accepted == 1


async def test_closing_a_client_while_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_server(answers(TWO)) as server, open_client(server) as client:
        connected = open_wire

        async def open_slowly(*args: Any) -> object:
            wire = await connected(*args)
            client.close()
            return wire

        monkeypatch.setattr("trio_gateway.engine.transport.client.open_wire", open_slowly)
        with pytest.raises(trio.ClosedResourceError):
            await fetch(client)


async def test_expired_connections_are_closed_when_asked(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 1.0
    async with open_server(answers(TWO)) as server, open_client(server) as client:
        await fetch(client)
        client.expire()
        assert client.statistics.idle == 1
        mock_clock.jump(5)
        client.expire()
        assert client.statistics.idle == 0


async def test_a_refused_connection() -> None:
    async with open_server(answers()) as server:
        port = server.port
    client = Http1Client(Origin("127.0.0.1", port))
    with pytest.raises(ConnectFaultError) as raised:
        await fetch(client)
    assert raised.value.fault is TransportFault.REFUSED
    assert client.statistics.opened == client.statistics.active == 0
