"""TLS: which certificates are trusted, how failures are named, what one read returns."""

from __future__ import annotations

import re
import shutil
import ssl
from contextlib import contextmanager
from subprocess import PIPE, STDOUT, Popen
from typing import IO, TYPE_CHECKING, Any, cast

import httpx
import pytest
import trio
import trio.testing

from tests.engine.transport.serving import FIELDS, Peer, Script, answers, fetch, open_client, open_server
from tests.faults.certificates import Certificates, make_certificates
from tests.support import until
from trio_gateway.engine.transport import (
    ConnectFaultError,
    ConnectTimeoutError,
    Http1Client,
    Origin,
    PeerProtocolError,
    ReadFaultError,
    TransportFault,
    make_ssl_context,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="certificates are made by openssl")

TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return make_ssl_context(certificates.trusted)


async def test_requests_over_one_session(certificates: Certificates, trusting: ssl.SSLContext) -> None:
    script = answers(TWO, CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", TWO)
    async with (
        open_server(script, context=certificates.context("valid")) as server,
        open_client(server, context=trusting) as client,
    ):
        for _ in range(3):
            assert await fetch(client) == (200, b"hi")
    assert (server.accepted, client.statistics.reused) == (1, 2)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_bodies_of_any_size_both_ways(
    certificates: Certificates, trusting: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    trusting.minimum_version = trusting.maximum_version = version
    body = b"x" * 500_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + body
    async with (
        open_server(answers(answer, answer), context=certificates.context("valid")) as server,
        open_client(server, context=trusting) as client,
    ):
        assert await fetch(client, body) == await fetch(client, b"{}") == (200, body)
    assert server.requests[0].endswith(b"\r\n\r\n" + body)
    assert server.accepted == 1


async def test_all_records_of_one_read_are_one_piece(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(CHUNKED)
        # A hundred records in one write, which is made by hand: an SSLStream writes each by itself.
        tls = cast("trio.SSLStream[trio.SocketStream]", peer.stream)
        for _ in range(100):
            tls._ssl_object.write(b"1\r\nx\r\n")
        await tls.transport_stream.send_all(tls._outgoing.read())
        await peer.wait_for_end()

    async with (
        open_server(script, context=certificates.context("valid")) as server,
        open_client(server, context=trusting) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        assert await response.receive() == b"x" * 100


# --- Who is trusted --------------------------------------------------------------------------------------


async def test_authorities_named_by_the_environment(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    context = make_ssl_context()
    async with (
        open_server(answers(TWO), context=certificates.context("valid")) as server,
        open_client(server, context=context) as client,
    ):
        assert await fetch(client) == (200, b"hi")


async def test_a_private_authority_comes_on_top_of_the_systems(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    ours = make_ssl_context(certificates.trusted).cert_store_stats()["x509"]
    assert ours == make_ssl_context().cert_store_stats()["x509"] + 3


def test_a_file_of_authorities_that_holds_none(certificates: Certificates) -> None:
    with pytest.raises(OSError, match="no certificate"):
        make_ssl_context(certificates.folder / "valid.key")
    with pytest.raises(FileNotFoundError):
        make_ssl_context(certificates.folder / "none.pem")


async def test_only_http_1_is_offered_and_the_host_is_named(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    served = certificates.context("valid")
    served.set_alpn_protocols(["h2", "http/1.1"])
    names: list[str | None] = []
    protocols: list[str | None] = []
    served.sni_callback = lambda _session, name, _context: names.append(name)

    async def script(peer: Peer) -> None:
        await peer.read_request()
        protocols.append(cast("Any", peer.stream).selected_alpn_protocol())
        await peer.stream.send_all(TWO)

    async with open_server(script, context=served) as server:
        client = Http1Client(server.origin(secure=True), ssl_context=trusting)
        await fetch(client)
        with pytest.raises(ConnectFaultError) as raised:  # the certificate is for the address alone
            await fetch(Http1Client(server.origin(secure=True, host="localhost"), ssl_context=trusting))
        client.close()
    assert raised.value.fault is TransportFault.TLS_WRONG_HOST
    assert (protocols, names) == (["http/1.1"], [None, "localhost"])


# --- Faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("expired", TransportFault.TLS_EXPIRED),
        ("elsewhere", TransportFault.TLS_WRONG_HOST),
        ("unknown", TransportFault.TLS_UNTRUSTED),
    ],
)
async def test_certificates_that_are_refused(
    certificates: Certificates, name: str, fault: TransportFault
) -> None:
    trusted = "valid" if name == "unknown" else name
    async with (
        open_server(answers(TWO), context=certificates.context(name)) as server,
        open_client(server, context=make_ssl_context(certificates.folder / f"{trusted}.pem")) as client,
    ):
        await check_tls_fault(client, fault)
        await until(lambda: server.open == 0)
        assert (client.statistics.opened, client.statistics.active) == (0, 0)
    assert server.requests == []


async def check_tls_fault(client: Http1Client, fault: TransportFault) -> None:
    with pytest.raises(ConnectFaultError) as raised:
        await fetch(client)
    assert isinstance(raised.value, httpx.ConnectError)
    assert isinstance(raised.value.__cause__, ssl.SSLError)
    assert raised.value.fault is fault
    assert str(raised.value) == fault.value  # nothing of the certificate


def sends(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1)
        await peer.stream.send_all(answer)
        await peer.wait_for_end()

    return script


HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", TransportFault.TLS_NOT_SPOKEN),
        (b"SSH-2.0-OpenSSH\r\n", TransportFault.TLS_NOT_SPOKEN),
        (HANDSHAKE_FAILURE, TransportFault.TLS_FAILED),
        (b"\x16\x03\x03\x00\x04nope", TransportFault.TLS_FAILED),
    ],
    ids=["plain HTTP", "another protocol", "an alert", "garbage in a record"],
)
async def test_servers_that_do_not_shake_hands(
    trusting: ssl.SSLContext, answer: bytes, fault: TransportFault
) -> None:
    async with open_server(sends(answer)) as server, open_client(server, context=trusting) as client:
        await check_tls_fault(client, fault)


async def test_a_server_that_leaves_in_the_handshake(trusting: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(65536)

    async with open_server(script) as server, open_client(server, context=trusting) as client:
        await check_tls_fault(client, TransportFault.TLS_FAILED)


async def test_a_reset_in_the_handshake(trusting: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1)  # closing with bytes unread resets

    async with open_server(script) as server, open_client(server, context=trusting) as client:
        with pytest.raises(ConnectFaultError) as raised:
            await fetch(client)
    assert raised.value.fault is TransportFault.UNREACHABLE


async def test_a_server_that_is_silent_in_the_handshake(
    trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    async def script(peer: Peer) -> None:
        await peer.wait_for_end()

    async with open_server(script) as server:
        client = Http1Client(server.origin(secure=True), ssl_context=trusting, connect_timeout=3)
        with pytest.raises(ConnectTimeoutError):
            await fetch(client)
        assert client.statistics.active == 0
        await until(lambda: server.open == 0)


async def test_a_certificate_of_the_client_that_is_missing(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    """In TLS 1.3 the server's alert comes behind the handshake, in place of the response."""
    served = certificates.context("valid")
    served.verify_mode = ssl.CERT_REQUIRED

    async def script(peer: Peer) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await peer.read_request()
        tls = cast("trio.SSLStream[trio.SocketStream]", peer.stream)
        await tls.transport_stream.send_all(tls._outgoing.read())  # an SSLStream sends no alerts

    async with (
        open_server(script, context=served) as server,
        open_client(server, context=trusting) as client,
    ):
        await check_tls_fault(client, TransportFault.TLS_FAILED)


async def test_plain_bytes_in_the_middle_of_a_session(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    """The text of the records before them is received; the rest is not taken for text."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(CHUNKED + b"2\r\nhi\r\n")
        await cast("trio.SSLStream[trio.SocketStream]", peer.stream).transport_stream.send_all(
            b"2\r\nho\r\n" * 9
        )
        await trio.sleep_forever()

    async with open_server(script, context=certificates.context("valid")) as server:
        client = Http1Client(server.origin(secure=True), ssl_context=trusting)
        async with client.request(b"POST", b"/", FIELDS) as response:
            assert await response.receive() == b"hi"
            with pytest.raises(ReadFaultError):
                await response.receive()


@pytest.mark.parametrize("farewell", [False, True], ids=["an end", "close_notify"])
async def test_a_session_that_ends_before_the_body(
    certificates: Certificates, trusting: ssl.SSLContext, farewell: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(CHUNKED + b"2\r\nhi\r\n")
        if farewell:  # and the TCP connection stays open
            tls = cast("trio.SSLStream[trio.SocketStream]", peer.stream)
            with pytest.raises(ssl.SSLWantReadError):
                tls._ssl_object.unwrap()
            await tls.transport_stream.send_all(tls._outgoing.read())
            await tls.transport_stream.receive_some()

    async with (
        open_server(script, context=certificates.context("valid")) as server,
        open_client(server, context=trusting) as client,
        client.request(b"POST", b"/", FIELDS) as response,
    ):
        assert await response.receive() == b"hi"
        with pytest.raises(PeerProtocolError) as raised:
            await response.receive()
    assert raised.value.fault is TransportFault.INCOMPLETE


async def test_a_body_that_ends_with_its_session(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nhi")

    async with (
        open_server(script, context=certificates.context("valid")) as server,
        open_client(server, context=trusting) as client,
    ):
        assert await fetch(client) == (200, b"hi")


# --- Keys that change --------------------------------------------------------------------------------------


class SServer:
    """OpenSSL's own server: sends what is typed in, and changes keys at a K."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._typed, self._printed = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        self.port = int(self._line(rb"ACCEPT .*:(\d+)")[1])

    def type_in(self, text: bytes) -> None:
        self._typed.write(text)
        self._typed.flush()

    async def printed(self, pattern: bytes) -> None:
        await trio.to_thread.run_sync(self._line, pattern)

    def _line(self, pattern: bytes) -> re.Match[bytes]:
        return next(found for line in self._printed if (found := re.match(pattern, line)))


@contextmanager
def open_s_server(certificates: Certificates) -> Iterator[SServer]:
    shown = f"-cert {certificates.folder}/valid.pem -key {certificates.folder}/valid.key"
    command = f"openssl s_server -accept 127.0.0.1:0 {shown} -crlf -msg"
    with Popen(command.split(), stdin=PIPE, stdout=PIPE, stderr=STDOUT) as process:
        try:
            yield SServer(process)
        finally:
            process.kill()


async def test_a_server_that_changes_its_keys_and_asks_for_ours(
    certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    async def answer() -> None:
        await server.printed(rb"first")
        server.type_in(b"HTTP/1.1 200 OK\nContent-Length: 8\n\nhi\n")

    async def change_keys() -> None:
        server.type_in(b"K\n")
        await server.printed(rb">>> .*KeyUpdate")
        server.type_in(b"ho\n")

    async def answer_again() -> None:
        await server.printed(rb"<<< .*KeyUpdate")  # it came with the second request
        await server.printed(rb"second")
        server.type_in(b"HTTP/1.1 204 OK\n\n")

    with open_s_server(certificates) as server:
        client = Http1Client(Origin("127.0.0.1", server.port, secure=True), ssl_context=trusting)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            response = await client.open(client.prepare(b"POST", b"/", FIELDS, (b"first\n",)))
            assert await response.receive() == b"hi\r\n"
            nursery.start_soon(change_keys)
            assert await response.receive() == b"ho\r\n"
            nursery.start_soon(answer_again)
            assert await fetch(client, b"second\n") == (204, b"")
        assert client.statistics.reused == 1
        client.close()
