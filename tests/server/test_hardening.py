"""The hardened server: over real sockets, in this process and under the bare command."""

from __future__ import annotations

import select
import shutil
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.trio import run as worker_module
from hypercorn.trio.tcp_server import TCPServer

from tests.server.hostile_openings import OPENINGS
from tests.server.hypercorn_harness import APP, HEAD, Client, EchoApp, bare_hypercorn, serving, status
from tests.support import until, within
from trio_gateway.server.transport.connection import ClientConnection
from trio_gateway.server.transport.hardening import Hardening, Limits

if TYPE_CHECKING:
    from pathlib import Path

GET = b"GET /ok " + HEAD
CLOSE = b"Connection: close\r\n\r\n"


async def open_hostile(port: int, parts: tuple[bytes, ...]) -> bytes:
    """Send *parts*, whatever the server makes of them, and return its answer up to the end."""
    async with Client(port) as client:
        for part in parts:
            try:
                await client.send(part)
            except trio.BrokenResourceError:
                break  # it has closed already, as it should
            await trio.sleep(0.02)
        return await client.rest(2.0)


async def alive(port: int) -> bool:
    async with Client(port) as client:
        await client.send(GET + CLOSE)
        return (await client.rest()).endswith(b"\r\n\r\nok")


SAID = {431: b"at most 16,384 bytes together. Look for a long path, cookies", 505: b"use HTTP/1.1"}


@pytest.mark.parametrize("name", OPENINGS)
async def test_a_hostile_opening_ends_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    wanted, parts = OPENINGS[name]
    async with serving(EchoApp()) as (port, _), Client(port) as bystander:
        await bystander.send(GET + b"\r\n")
        await bystander.until(b"ok")
        answer = await open_hostile(port, parts)
        assert status(answer) == wanted
        assert answer.count(b"HTTP/1.1 ") <= 1
        if wanted in SAID and answer.partition(b"\r\n\r\n")[2]:
            assert SAID[wanted] in answer
        await bystander.send(GET + b"\r\n")
        await bystander.until(b"ok")
        assert await alive(port)
    assert not [record for record in caplog.records if record.exc_info]


async def test_under_the_bare_command_too(tmp_path: Path, unused_tcp_port: int) -> None:
    port = unused_tcp_port
    log = tmp_path / "log"
    async with bare_hypercorn(APP, "-k", "trio", "-b", f"127.0.0.1:{port}", stderr=log) as process:
        await started(port)
        for name, (wanted, parts) in OPENINGS.items():
            assert (name, status(await open_hostile(port, parts))) == (name, wanted)
            assert await alive(port), name
        async with Client(port) as idle:
            await idle.send(GET + b"\r\n")
            assert b"\r\nserver:" not in (await idle.until(b"ok")).lower()
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(2):
                assert await process.wait() == 0
    assert "Traceback" not in log.read_text()


async def started(port: int) -> None:
    with trio.fail_after(10):
        while True:
            try:
                async with Client(port):
                    return
            except OSError:
                await trio.sleep(0.05)


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("reads", [True, False])
async def test_no_client_holds_up_the_end(reads: bool) -> None:
    app = EchoApp(Limits(write_timeout=0.5))
    with trio.fail_after(3):
        async with serving(app, graceful_timeout=0.2) as (port, stop), Client(port) as client:
            await client.send(b"GET /flood " + HEAD + b"\r\n")
            await app.begun.wait()
            await trio.sleep(0.2)
            stop.set()
            if reads:
                assert await client.rest(1.0)
            await app.ended.wait()


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_leaving_is_seen_behind_a_pipelined_request(leave: str) -> None:
    app = EchoApp()
    async with serving(app) as (port, _), Client(port) as client:
        await client.send(b"GET /silent " + HEAD + b"\r\n" + GET + b"\r\n")
        await app.begun.wait()
        await trio.sleep(0.05)
        await client.send(GET + b"\r\n")
        client.reset() if leave == "reset" else client.stream.socket.close()
        await until(app.ended.is_set, 0.5)


async def test_pipelined_requests_are_all_answered() -> None:
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send((GET + b"\r\n") * 50 + GET + CLOSE)
        assert (await client.rest()).count(b"HTTP/1.1 200") == 51


async def test_an_answer_is_not_lost_with_what_the_client_still_sends() -> None:
    async with serving(EchoApp()) as (port, _), Client(port) as client:
        await client.send(b"POST /deaf " + HEAD + b"Content-Length: 50000\r\n\r\n")
        answer = await client.until(b"\r\n\r\nok")
        await client.send(b"x" * 1000)  # a reset would have thrown the answer away
        await trio.sleep(0.1)
        await client.send(b"x" * 1000)
        assert status(answer) == 200
        assert await client.rest(2.0) == b""


async def test_the_application_learns_of_the_drain() -> None:
    app = EchoApp(Limits(graceful_timeout=1.0))
    async with serving(app) as (port, stop), Client(port) as client:
        assert not app.hardening.is_draining()
        await client.send(b"GET /silent " + HEAD + b"\r\n")
        await app.begun.wait()
        assert not app.hardening.is_draining()
        stop.set()
        async with within(0.1):
            await app.hardening.drain()
        assert app.hardening.is_draining()
        assert app.seen == []
    assert app.seen == ["silent ended"]  # the grace that Limits gives


async def test_drain_may_be_waited_for_before_there_is_a_connection() -> None:
    app = EchoApp()
    async with serving(app) as (port, stop), trio.open_nursery() as nursery:
        nursery.start_soon(app.hardening.drain)
        await trio.testing.wait_all_tasks_blocked()
        assert await alive(port)
        stop.set()
        await until(lambda: not nursery.child_tasks, 0.5)


def test_of_hypercorns_settings_only_defaults_are_changed() -> None:
    hardening = Hardening(Limits(graceful_timeout=7.0))
    hardening.install()
    hardening.install()
    assert vars(worker_module)["TCPServer"] is not TCPServer
    config = Config.from_mapping({"graceful_timeout": 3.0, "include_server_header": True})
    assert (config.graceful_timeout, config.include_server_header) == (3.0, True)
    config = Config()
    assert (config.graceful_timeout, config.include_server_header) == (7.0, False)
    assert config.alpn_protocols == ["http/1.1"]
    assert config.h11_max_incomplete_size == 16 * 1024
    hardening.uninstall()
    assert vars(worker_module)["TCPServer"] is TCPServer
    assert Config().graceful_timeout == 3.0


def test_the_later_of_two_workers_stays_hardened() -> None:
    first, second = Hardening(Limits(graceful_timeout=7.0)), Hardening(Limits(graceful_timeout=8.0))
    first.install()
    second.install()
    first.uninstall()
    assert Config().graceful_timeout == 8.0
    second.uninstall()
    assert vars(worker_module)["TCPServer"] is TCPServer


async def test_the_kernel_watches_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[trio.SocketStream] = []

    async def remember(self: ClientConnection) -> None:
        served.append(self.stream)  # type: ignore[arg-type]
        await original(self)

    original = ClientConnection._read_data
    monkeypatch.setattr(ClientConnection, "_read_data", remember)
    async with serving(EchoApp(Limits(write_timeout=12.5))) as (port, _):
        assert await alive(port)
        async with Client(port) as client:
            await client.send(GET + b"\r\n")
            await client.until(b"ok")
            assert served[1].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 12_500
            assert served[1].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 128 * 1024


async def certified(folder: Path) -> dict[str, str]:
    """Settings of a server with a certificate of its own making."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    request = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {key} -out {certificate}"
    )
    await trio.run_process(request.split(), capture_stderr=True)
    return {"keyfile": str(key), "certfile": str(certificate)}


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl to make a certificate"
)


@needs_openssl
async def test_over_tls_http1_alone_is_offered(tmp_path: Path) -> None:
    files = await certified(tmp_path)
    context = ssl.create_default_context(cafile=files["certfile"])
    context.check_hostname = False
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(EchoApp(), **files) as (port, _):
        stream = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", port, ssl_context=context, https_compatible=True
        )
        async with stream:
            await stream.send_all(GET + CLOSE)
            with trio.fail_after(5):
                answer = b"".join([data async for data in stream])
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert answer.endswith(b"\r\n\r\nok")


async def test_many_who_come_at_once_are_all_let_in() -> None:
    """Nothing runs here between their coming and the look at them, so it is the kernel that keeps them."""
    async with serving(EchoApp()) as (port, _):
        clients = [socket.socket() for _ in range(400)]
        try:
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
            assert len(select.select([], clients, [], 0.5)[1]) == len(clients)
        finally:
            for client in clients:
                client.close()


@needs_openssl
async def test_one_that_never_speaks_tls_does_not_hold_up_the_end(tmp_path: Path) -> None:
    files = await certified(tmp_path)
    with trio.fail_after(5):
        async with serving(EchoApp(), **files) as (port, stop), Client(port) as silent:
            await trio.testing.wait_all_tasks_blocked(0.05)
            stop.set()
            assert await silent.rest(1.0) == b""
