"""Cancellation: a request that is cancelled at any await leaves nothing behind."""

from __future__ import annotations

import contextlib
import shutil
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest
import trio
import trio.testing

from tests.engine.transport.serving import (
    FIELDS,
    Peer,
    Script,
    answers,
    fetch,
    open_client,
    open_server,
    sockets,
)
from tests.faults.certificates import Certificates, make_certificates
from tests.support import until
from trio_gateway.engine.transport import Http1Client, Origin, make_ssl_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Job: TypeAlias = "Callable[[Http1Client], Awaitable[object]]"

TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
REFUSAL = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = b"x" * 4_000_000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if not shutil.which("openssl"):
        pytest.skip("certificates are made by openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


# --- Each await in turn --------------------------------------------------------------------------------


class CancelAtStep(trio.abc.Instrument):
    """Cancels *scope* when *task*, or a task it has started, runs for the n-th time."""

    def __init__(self, scope: trio.CancelScope, task: trio.lowlevel.Task, step: int) -> None:
        self._scope = scope
        self._task = task
        self.left = step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task or (task.parent_nursery and task.parent_nursery.parent_task is self._task):
            self.left -= 1
            if self.left == 0:
                self._scope.cancel()


async def is_cancelled_at(step: int, job: Callable[[], Awaitable[object]]) -> bool:
    """Run *job* and cancel it at that step; whether it had so many."""
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(scope, trio.lowlevel.current_task(), step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await job()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught


async def early(peer: Peer) -> None:
    """Refuses a large request before it has been read."""
    await peer.stream.receive_some(1000)
    await peer.stream.send_all(REFUSAL)


async def slowly(peer: Peer) -> None:
    """Answers in parts that come one by one."""
    while await peer.read_request():
        for part in (b"HTTP/1.1 100 C\r\n\r\n", CHUNKED, b"1\r\nh\r\n", b"1\r\ni\r\n", b"0\r\n\r\n"):
            await peer.stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked()


async def one_a_connection(peer: Peer) -> None:
    """Lets the second request of a connection go unanswered."""
    await peer.read_request()
    await peer.stream.send_all(TWO)
    await peer.read_request()


async def once(client: Http1Client) -> None:
    assert (await fetch(client))[1] == b"hi"


async def twice(client: Http1Client) -> None:
    await once(client)
    await once(client)


async def large(client: Http1Client) -> None:
    assert (await fetch(client, LARGE))[1] in {b"hi", b"no"}


CASES: list[tuple[str, Script, Job, bool]] = [
    # what, the server, the client, over TLS
    ("small", answers(TWO), once, False),
    ("in parts", slowly, twice, False),
    ("stale", one_a_connection, twice, False),
    ("large", answers(TWO), large, False),
    ("refused early", early, large, False),
    ("TLS", answers(TWO, TWO), twice, True),
    ("TLS, large", answers(TWO), large, True),
]


@pytest.mark.parametrize(
    ("script", "job", "secure"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
async def test_nothing_is_left_wherever_a_request_is_cancelled(
    script: Script, job: Job, secure: bool, certificates: Certificates
) -> None:
    theirs = certificates.context("valid") if secure else None
    ours = make_ssl_context(certificates.trusted) if secure else None
    cancelled = 0
    async with open_server(script, context=theirs) as server:
        before, tasks = sockets(), living_tasks()
        for step in range(1, 1000):
            client = Http1Client(server.origin(secure=secure), ssl_context=ours)
            if not await is_cancelled_at(step, lambda client=client: job(client)):  # type: ignore[misc]
                break
            cancelled += 1
            check_books(client)
            client.close()
        client.close()
        await until(lambda: (server.open, sockets(), living_tasks()) == (0, before, tasks))
    assert cancelled > 1


def living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def check_books(client: Http1Client) -> None:
    """No connection is in use, and none is kept in the middle of an answer."""
    statistics = client.statistics
    assert statistics.active == 0
    assert statistics.idle <= 1


# --- Each await, hanging ---------------------------------------------------------------------------------


@asynccontextmanager
async def full_server() -> AsyncIterator[int]:
    """A port whose queue is full: the kernel drops further SYNs."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def silent(peer: Peer) -> None:
    await peer.wait_for_end()


async def deaf(_: Peer) -> None:
    await trio.sleep_forever()


async def in_the_head(peer: Peer) -> None:
    await peer.read_request()
    await peer.stream.send_all(b"HTTP/1.1 200 O")
    await peer.wait_for_end()


async def in_the_body(peer: Peer) -> None:
    await peer.read_request()
    await peer.stream.send_all(CHUNKED + b"2\r\nhi\r\n1")
    await peer.wait_for_end()


async def hang(client: Http1Client, job: Job = fetch) -> None:
    """Start *job*, wait until it hangs, cancel it."""
    before = living_tasks()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job, client)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert living_tasks() > before
        nursery.cancel_scope.cancel()
    assert client.statistics.active == client.statistics.idle == 0


async def test_a_connect_that_hangs() -> None:
    async with full_server() as port:
        before = sockets()
        await hang(Http1Client(Origin("127.0.0.1", port)))
        assert sockets() == before


@pytest.mark.parametrize(
    ("script", "job", "secure"),
    [
        (silent, fetch, True),
        (deaf, large, False),
        (silent, fetch, False),
        (in_the_head, fetch, False),
        (in_the_body, fetch, False),
    ],
    ids=["handshake", "write", "head", "rest of the head", "body"],
)
async def test_an_await_that_hangs(
    script: Script, job: Job, secure: bool, certificates: Certificates
) -> None:
    async with open_server(script) as server:
        before, tasks = sockets(), living_tasks()
        context = make_ssl_context(certificates.trusted) if secure else None
        await hang(Http1Client(server.origin(secure=secure), ssl_context=context), job)
        theirs = int(script is deaf)  # it does not see that the client is gone
        await until(
            lambda: (server.open, sockets(), living_tasks()) == (theirs, before + theirs, tasks + theirs)
        )


async def test_a_used_connection_that_hangs_is_closed_as_well() -> None:
    async with open_server(answers(TWO, b"")) as server, open_client(server) as client:
        await fetch(client)
        await hang(client)
        await until(lambda: server.open == 0)
        assert await fetch(client) == (200, b"hi")


async def test_leaving_a_response_needs_no_checkpoint() -> None:
    """So a request that is cancelled has closed its socket before any other task runs."""
    async with open_server(in_the_body) as server, open_client(server) as client:
        with trio.CancelScope() as scope:
            async with client.request(b"POST", b"/", FIELDS) as response:
                await response.receive()
                before = sockets()
                scope.cancel()
            assert sockets() == before - 1


async def test_many_that_are_cancelled_at_once() -> None:
    async with open_server(slowly) as server, open_client(server) as client:
        for patience in range(20):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(fetch, client)
                for _ in range(patience):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            assert client.statistics.active == 0
        assert await fetch(client) == (200, b"hi")
