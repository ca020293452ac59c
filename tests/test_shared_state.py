"""Two gateways over one Redis, or without it: what their clients get and what the upstream sees."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.redis import NEEDS_REDIS, RedisServer, running_redis
from tests.support import (
    Client,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_mock,
    open_upstream,
    settings,
    text_answer,
    until,
    upstream_toml,
)
from trio_gateway.core.breaker import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from trio_gateway.core.breaker import CircuitBreaker

pytestmark = [pytest.mark.system, NEEDS_REDIS]

_NUMBERS = count()
BUSY = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LIMITED = b"HTTP/1.1 429 Too Many\r\nRetry-After: 9\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LONGER = "[upstreams.a.breaker]\nconsecutive = 2\nopen_base = 9.0\n"
SHORT = "[upstreams.a.breaker]\nconsecutive = 2\nopen_base = 1.5\njitter = 0.0\n"


@asynccontextmanager
async def two_gateways(
    redis: RedisServer, toml: str = "", *, keys: str | None = None, **environ: str
) -> AsyncIterator[tuple[Client, Client]]:
    """Two gateways of one configuration that have joined."""
    await redis.started()
    async with AsyncExitStack() as stack:
        config = settings(toml, keys=keys, REDIS_URL=redis.url, **environ)
        one, other = [await stack.enter_async_context(open_gateway(config)) for _ in range(2)]
        for client in (one, other):
            await until(lambda client=client: joined(client))  # type: ignore[misc]
        yield one, other


def joined(client: Client) -> bool:
    shared = client.app.gateway.shared
    return shared is not None and shared.member.joined


def holds_nothing(client: Client) -> bool:
    """Whether all units that are not used have been given back."""
    shared = client.app.gateway.shared
    return shared is not None and not shared.member._shares


async def traded(*clients: Client) -> None:
    """Wait until each has reported and learned what there was."""
    with trio.fail_after(5):
        for client in clients:
            shared = client.app.gateway.shared
            assert shared is not None
            for _ in range(2):  # the first may have been under way
                await shared._traded.wait()


def breaker(client: Client) -> CircuitBreaker:
    return client.app.gateway.backends["a"].breaker


def is_open(client: Client) -> bool:
    return breaker(client).snapshot(trio.current_time()).state is State.OPEN


async def ask(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """One whole answer in the format of OpenAI; each request is unlike the others, or they would count once."""
    body = {**chat(f"Number {next(_NUMBERS)}?"), "stream": False}
    return await client.post("/openai/v1/chat/completions", json=body, headers=headers)


async def redis_up(client: Client) -> str:
    """The metric's value; empty: there is none."""
    text = (await client.get("/metrics", headers=bearer("m"))).text
    return "".join(line.split()[-1] for line in text.splitlines() if line.startswith("gateway_redis_up "))


async def test_a_key_has_its_limit_once() -> None:
    keys = key_line("k", "rpm=50")
    codes: list[int] = []

    async def ask_some(client: Client, many: int) -> None:
        codes.extend([(await ask(client, **bearer("k"))).status_code for _ in range(many)])

    with running_redis() as redis:
        async with open_mock() as url, two_gateways(redis, keys=keys, UPSTREAM_URL=url) as gateways:
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for client in gateways:
                    for _ in range(4):
                        nursery.start_soon(ask_some, client, 10)
            while codes.count(200) < 50:
                await traded(*gateways)  # what one gateway held without using it is back
                for client in gateways:
                    await ask_some(client, 4)
            took = trio.current_time() - began
    assert set(codes) == {200, 429}
    assert 50 <= codes.count(200) <= 52 + took * 50 / 60


async def test_one_gateway_alone_can_use_the_whole_limit() -> None:
    keys = key_line("k", "rpm=20")
    with running_redis() as redis:
        async with open_mock() as url, two_gateways(redis, keys=keys, UPSTREAM_URL=url) as (one, other):
            assert (await ask(other, **bearer("k"))).status_code == 200
            await until(lambda: holds_nothing(other))  # it had a share for its next request
            codes = [(await ask(one, **bearer("k"))).status_code for _ in range(19)]
            last = await ask(other, **bearer("k"))
    assert codes == [200] * 19
    assert last.status_code in {200, 429}  # as it may go before its share is there


async def test_an_opening_for_http_errors_refuses_at_the_other_within_a_second() -> None:
    async def script(stream: trio.SocketStream, number: int) -> None:
        if number == 2:  # the probe
            await probed.wait()
        await stream.send_all(BUSY if number < 2 else text_answer("fine"))

    probed = trio.Event()
    with running_redis() as redis:
        async with open_upstream(script) as upstream:
            toml = upstream_toml(upstream.url, upstream="max_attempts = 1\n" + SHORT)
            async with two_gateways(redis, toml) as (one, other):
                for _ in range(2):
                    assert (await ask(one)).status_code >= 500
                await until(lambda: is_open(other), 1.0)
                refused = await ask(other)
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
                assert len(upstream.requests) == 2
                await until(
                    lambda: all(breaker(each).can_admit(trio.current_time()) for each in (one, other))
                )
                codes: list[int] = []

                async def probe(client: Client) -> None:
                    codes.append((await ask(client)).status_code)

                async with trio.open_nursery() as nursery:
                    for client in (one, other, other, one):
                        nursery.start_soon(probe, client)
                    await until(lambda: len(codes) == 3 <= len(upstream.requests))
                    assert len(upstream.requests) == 3
                    probed.set()
                assert sorted(codes) == [200, 503, 503, 503]
                await until(lambda: not (is_open(one) or is_open(other)), 1.0)
                for client in (one, other):
                    assert (await ask(client)).status_code == 200


async def test_a_rate_limit_at_one_pauses_the_model_at_the_other() -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await stream.send_all(LIMITED)

    with running_redis() as redis:
        async with (
            open_upstream(script) as upstream,
            two_gateways(redis, upstream_toml(upstream.url)) as both,
        ):
            assert (await ask(both[0])).status_code == 429
            await traded(both[1])
            refused = await ask(both[1])
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert len(upstream.requests) == 1


class Resolver(trio.abc.HostnameResolver):
    """A resolver that can fail."""

    failing = False

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        if self.failing:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise AssertionError("no address is asked for its name")


async def test_a_resolver_that_fails_at_one_leaves_the_other_serving() -> None:
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    with running_redis() as redis:
        async with open_mock() as url:
            toml = upstream_toml(
                url.replace("127.0.0.1", "localhost"), upstream="max_attempts = 1\n" + LONGER
            )
            config = settings(toml, REDIS_URL=redis.url)
            await redis.started()
            async with open_gateway(config) as other:
                assert (await ask(other)).status_code == 200
                resolver.failing = True
                async with open_gateway(config) as one:
                    await until(lambda: joined(one) and joined(other))
                    for _ in range(2):
                        assert (await ask(one)).json()["error"]["code"] == "upstream_unreachable"
                    resolver.failing = False
                    await traded(one, other)
                    assert (await ask(one)).json()["error"]["code"] == "circuit_open"
                    assert (await ask(other)).status_code == 200


async def test_redis_may_go_and_come_back_under_load(capsys: pytest.CaptureFixture[str]) -> None:
    keys = key_line("k", "rpm=100000") + key_line("m", "metrics")
    codes: list[int] = []
    stopped = trio.Event()

    async def load(client: Client) -> None:
        while not stopped.is_set():
            codes.append((await ask(client, **bearer("k"))).status_code)

    with running_redis() as redis:
        async with open_mock() as url, two_gateways(redis, keys=keys, UPSTREAM_URL=url) as gateways:
            async with trio.open_nursery() as nursery:
                for client in gateways:
                    nursery.start_soon(load, client)
                await until(lambda: len(codes) > 10)
                assert [await redis_up(client) for client in gateways] == ["1.0", "1.0"]
                redis.kill()
                before = len(codes)
                await until(lambda: not any(joined(client) for client in gateways))
                await until(lambda: len(codes) > before + 30)
                assert [await redis_up(client) for client in gateways] == ["0.0", "0.0"]
                redis.start()
                await redis.started()
                await until(lambda: all(joined(client) for client in gateways))
                before = len(codes)
                await until(lambda: len(codes) > before + 10)
                stopped.set()
            assert [await redis_up(client) for client in gateways] == ["1.0", "1.0"]
    assert set(codes) == {200}
    log = capsys.readouterr().out
    assert log.count("shared_state_lost") == 2
    assert log.count("shared_state_joined") == 4


async def test_a_gateway_starts_without_its_redis() -> None:
    redis = RedisServer()
    keys = key_line("k", "rpm=2") + key_line("m", "metrics")
    async with (
        open_mock() as url,
        open_gateway(settings(keys=keys, UPSTREAM_URL=url, REDIS_URL=redis.url)) as client,
    ):
        codes = [(await ask(client, **bearer("k"))).status_code for _ in range(3)]
        assert await redis_up(client) == "0.0"
    assert codes == [200, 200, 429]


async def test_without_redis_there_is_no_metric() -> None:
    keys = key_line("m", "metrics")
    async with open_gateway(settings(keys=keys)) as client:
        assert client.app.gateway.shared is None
        assert await redis_up(client) == ""


async def test_the_breakers_of_an_upstream_with_another_key_stay_apart() -> None:
    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(BUSY if number < 2 else text_answer("fine"))

    with running_redis() as redis:
        await redis.started()
        async with open_upstream(script) as upstream, AsyncExitStack() as stack:
            toml = upstream_toml(upstream.url, upstream='api_key_env = "K"\nmax_attempts = 1\n' + SHORT)
            one, other = [
                await stack.enter_async_context(open_gateway(settings(toml, REDIS_URL=redis.url, K=key)))
                for key in ("one", "other")
            ]
            for _ in range(2):
                await ask(one)
            await until(lambda: is_open(one))
            await traded(one, other)
            assert (await ask(other)).status_code == 200


async def test_a_reload_keeps_a_shared_breaker_and_drops_one_that_left() -> None:
    with running_redis() as redis:
        async with open_mock() as url, two_gateways(redis, upstream_toml(url, url)) as (one, _):
            gateway = one.app.gateway
            circuits = [backend.traffic.circuit for backend in gateway.backends.values()]
            await one.app.reload(settings(upstream_toml(url), REDIS_URL=redis.url))
            (kept,) = [backend.traffic.circuit for backend in gateway.backends.values()]
            assert kept is circuits[0]
            with_key = upstream_toml(url, upstream='api_key_env = "K"')
            await one.app.reload(settings(with_key, REDIS_URL=redis.url, K="another-key"))
            (renamed,) = [backend.traffic.circuit for backend in gateway.backends.values()]
            assert renamed is not None
            assert renamed.name != circuits[0].name  # type: ignore[union-attr]
            assert (await ask(one)).status_code == 200


async def test_a_server_that_hangs_counts_as_lost() -> None:
    async def hang(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, hang, [listener])
        port = listener.socket.getsockname()[1]
        keys = key_line("k", "rpm=5") + key_line("m", "metrics")
        config = settings(keys=keys, REDIS_URL=f"redis://127.0.0.1:{port}")
        async with open_gateway(config) as client:
            with trio.fail_after(8):
                while await redis_up(client) != "0.0":  # noqa: ASYNC110  (a metric has no event)
                    await trio.sleep(0.1)
            assert (await client.get("/v1/models", headers=bearer("k"))).status_code == 200
        nursery.cancel_scope.cancel()
