"""The arbiter in Lua on a real server: it answers as the one in Python does."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import coredis
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.redis import NEEDS_REDIS, RedisServer, running_redis
from trio_gateway.core.sharing import Arbiter, BucketReport, CircuitOpening, Report, Wish
from trio_gateway.core.sharing.exchange_messages import MAX_CIRCUITS
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.redis_state import PREFIX, RedisStore
from trio_gateway.engine.shared_state import CONNECT_TIMEOUT, EXCHANGE_TIMEOUT, SharedState, SharedStateError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from trio_gateway.core.sharing import ExchangeReply

pytestmark = [pytest.mark.system, NEEDS_REDIS]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


async def flush(server: RedisServer) -> None:
    await server.started()
    async with coredis.Redis.from_url(server.url) as client:
        await client.flushall()


CIRCUITS = st.sampled_from(["c", "d", "d\nmodel"])
SECONDS = st.sampled_from([0.0, 0.5, 2.0, 30.0, 1e6])
BUCKETS = st.builds(
    BucketReport,
    bucket=st.sampled_from(["k:requests", "k:tokens", 'q"\\\u00e9']),
    limit=st.sampled_from([1, 7, 60, 100_000]),
    take=st.integers(-20, 20),
    want=st.integers(0, 20),
    missing=st.integers(0, 100),
    known=st.booleans(),
)
STEPS = st.builds(
    lambda report, same, seen, pause: (report, same, seen, pause),
    st.builds(
        Report,
        member=st.sampled_from("ab"),
        buckets=st.lists(BUCKETS, max_size=2, unique_by=lambda each: each.bucket).map(tuple),
        opened=st.lists(
            st.builds(CircuitOpening, CIRCUITS, SECONDS, st.text(max_size=5), st.sampled_from(["", "rate"])),
            max_size=2,
        ).map(tuple),
        closed=st.lists(CIRCUITS, max_size=2).map(tuple),
        released=st.lists(CIRCUITS, max_size=2).map(tuple),
        wishes=st.lists(st.builds(Wish, CIRCUITS, SECONDS), max_size=2).map(tuple),
    ),
    st.booleans(),
    st.integers(0, 10),
    st.sampled_from([0.0, 0.25, 1.0, 17.0, 301.0]),
)


def same(one: ExchangeReply, other: ExchangeReply) -> bool:
    """Whether two replies say the same, but for the order of news and the last digits."""
    shown = [
        (
            reply.epoch,
            reply.serial,
            [(each.bucket, each.share, pytest.approx(each.level, abs=1e-4)) for each in reply.grants],
            sorted(
                (each.serial, each.circuit, each.state, each.why, each.cause, each.prober)
                for each in reply.circuits
            ),
            [
                (each.circuit, pytest.approx(each.left, abs=1e-4), pytest.approx(each.probe_left, abs=1e-4))
                for each in sorted(reply.circuits, key=lambda each: (each.serial, each.circuit))
            ],
        )
        for reply in (one, other)
    ]
    return shown[0] == shown[1]


@given(st.lists(STEPS, max_size=12))
async def test_both_arbiters_answer_the_same(
    redis: RedisServer, steps: list[tuple[Report, bool, int, float]]
) -> None:
    await flush(redis)
    now, arbiter, epoch = 1_800_000_000.0, None, ""
    async with RedisStore(redis.url).connect() as connection:
        began = trio.current_time()
        for report, same_epoch, seen, pause in steps:
            now += pause
            sent = Report(
                report.member,
                epoch if same_epoch else "other",
                seen,
                report.buckets,
                report.opened,
                report.closed,
                report.released,
                report.wishes,
            )
            reply = await connection.exchange(sent, now=repr(now))
            if trio.current_time() - began >= 1.0:
                return  # by its own clock, which goes on, the server may drop buckets a second later
            arbiter = arbiter or Arbiter(reply.epoch)
            epoch = reply.epoch
            assert same(reply, arbiter.exchange(sent, now)), (reply, sent)


async def test_both_arbiters_are_bounded_alike(redis: RedisServer) -> None:
    await flush(redis)
    openings = tuple(CircuitOpening(f"c{n}", 10.0 + n % 7, "") for n in range(MAX_CIRCUITS + 3))
    async with RedisStore(redis.url).connect() as connection:
        reply = await connection.exchange(Report("a", opened=openings), now="5.0")
    assert same(reply, Arbiter(reply.epoch).exchange(Report("a", opened=openings), 5.0))
    assert len(reply.circuits) == MAX_CIRCUITS


async def test_by_the_servers_clock_everything_expires(redis: RedisServer) -> None:
    await flush(redis)
    bucket = BucketReport("k", 60, take=0, want=1, missing=0, known=False)
    async with RedisStore(redis.url).connect() as connection:
        reply = await connection.exchange(
            Report("a", buckets=(bucket,), opened=(CircuitOpening("c", 3.0, "w"),))
        )
        assert reply.grants[0].share == 1
        assert 2.9 < reply.circuits[0].left <= 3.0
    async with coredis.Redis.from_url(redis.url, decode_responses=True) as client:
        keys = await client.keys("*")
        assert {*keys} == {f"{PREFIX}state", f"{PREFIX}circuits", f"{PREFIX}limit:k"}
        assert 1000 < await client.pttl(f"{PREFIX}limit:k") <= 2001
        for key in keys:
            assert await client.pttl(key) > 0


async def test_a_server_that_is_not_there_is_a_shared_state_error() -> None:
    server = RedisServer()
    with pytest.raises(SharedStateError, match="connection"):
        async with RedisStore(server.url).connect() as connection:
            await connection.exchange(Report("a"))


async def test_no_message_holds_the_password() -> None:
    with running_redis() as server:
        await server.started()
        url = server.url.replace("//", "//user:sec%2Fret-word@")
        with pytest.raises(SharedStateError) as caught:
            async with RedisStore(url).connect() as connection:
                await connection.exchange(Report("a"))
    assert "sec" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_connection_that_is_lost_is_a_shared_state_error() -> None:
    with running_redis() as server:
        await server.started()

        async def use() -> None:
            async with RedisStore(server.url).connect() as connection:
                await connection.exchange(Report("a"))
                server.kill()
                await connection.exchange(Report("a"))

        with pytest.raises(SharedStateError):
            await use()


async def test_what_is_no_redis_is_a_shared_state_error() -> None:
    """An HTTP server, as the message says."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(SharedStateError, match="like an HTTP server: check host"), trio.fail_after(5):
            async with RedisStore(f"redis://127.0.0.1:{port}").connect() as connection:
                await connection.exchange(Report("a"))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("redis://", "redis://:hunter2hunter2@"), "does not accept the user and the password in REDIS_URL"),
        (("", ""), "asks for a password, and REDIS_URL has none"),
        (("redis://", "redis://:in-the-way@"), None),
        (("/0", "/99"), "did not accept the connection: DB index is out of range; check REDIS_URL"),
    ],
)
async def test_a_server_that_refuses_is_named_with_what_it_refused(
    change: tuple[str, str], words: str | None
) -> None:
    with running_redis() as server:
        await server.started()
        if words is None or "password" in words:
            async with coredis.Redis.from_url(server.url) as client:
                await client.config_set({"requirepass": "in-the-way"})
        store = RedisStore(server.url.replace(*change))
        with trio.fail_after(5):
            if words is None:
                async with store.connect() as connection:
                    await connection.exchange(Report("a"))
                return
            with pytest.raises(SharedStateError, match=words) as caught:
                async with store.connect():
                    pass
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@asynccontextmanager
async def at_a_distance(
    server: RedisServer, seconds: float
) -> AsyncGenerator[tuple[str, list[bytes | bytearray]]]:
    """The URL under which each reply of *server* takes so long, and those that have come."""
    replies: list[bytes | bytearray] = []

    async def serve(near: trio.SocketStream) -> None:
        async with (
            await trio.open_tcp_stream("127.0.0.1", server.port) as far,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                async for data in far:
                    await trio.sleep(seconds)
                    replies.append(data)
                    await near.send_all(data)

            nursery.start_soon(answer)
            async for data in near:
                await far.send_all(data)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield f"redis://127.0.0.1:{listener.socket.getsockname()[1]}", replies
        nursery.cancel_scope.cancel()


async def test_a_server_at_a_distance_is_joined_as_each_exchange_is_one_reply() -> None:
    """Greeting and script have the longer time of a connection."""
    with running_redis() as server:
        await server.started()
        async with at_a_distance(server, EXCHANGE_TIMEOUT * 0.75) as (url, replies):
            with trio.fail_after(CONNECT_TIMEOUT) as connecting:
                async with RedisStore(url).connect() as connection:
                    connecting.deadline = math.inf
                    for _ in range(2):
                        # One at that distance is in time, two are not.
                        before = len(replies)
                        await connection.exchange(Report("a"))
                        assert len(replies) == before + 1


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("redis", "no connection and greeting in 2 s: check whether the server of REDIS_URL hangs"),
        ("rediss", "if the server speaks no TLS, REDIS_URL must"),
    ],
)
async def test_a_server_that_says_nothing_is_lost_for_that_reason(
    scheme: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a server without TLS does to one who greets it in TLS."""

    async def serve(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    lost = trio.Event()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        store = RedisStore(f"{scheme}://127.0.0.1:{listener.socket.getsockname()[1]}")
        nursery.start_soon(SharedState(store, Metrics(dict), lost.set).run)
        with trio.fail_after(5):
            await lost.wait()
        nursery.cancel_scope.cancel()
    assert words in capsys.readouterr().out
