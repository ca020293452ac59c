"""The task that exchanges, over a fake store in virtual time: when it does, and what a failure means."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import pytest
import trio

from tests.support import chat
from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.config.keyfile import ClientKey
from trio_gateway.core.errors import RequestError
from trio_gateway.core.json.strict import dumps
from trio_gateway.core.sharing import Arbiter, ExchangeReply, Report
from trio_gateway.core.sharing.share import INTERVAL
from trio_gateway.engine.charge import Charge
from trio_gateway.engine.clients import Clients
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.shared_state import EXCHANGE_TIMEOUT, SharedState, SharedStateError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from trio.testing import MockClock


class FakeStore:
    """An arbiter that is some seconds away, and may be unreachable."""

    def __init__(self, between: Literal["gateways", "workers"] = "gateways") -> None:
        self.between = between
        self.arbiter = Arbiter("e")
        self.delay = 0.001
        self.connect_delay = 0.0
        self.error: Exception | None = None
        self.failures = 0
        """So many exchanges fail."""
        self.at: list[float] = []
        """When it was asked."""

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[FakeStore]:
        await trio.sleep(self.connect_delay)
        yield self

    async def exchange(self, report: Report) -> ExchangeReply:
        self.at.append(trio.current_time())
        await trio.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise SharedStateError("a pause")
        if self.error is not None:
            raise self.error
        return self.arbiter.exchange(report, trio.current_time())


class Gateway:
    """The part of a gateway that has to do with one client's limits."""

    def __init__(self, store: FakeStore, rpm: int = 50) -> None:
        self.metrics = Metrics(dict)
        self.settled = 0
        self.shared = SharedState(store, self.metrics, self._settle)
        self.clients = Clients([ClientKey(id="k", sha256=b"", rpm=rpm, tpm=10**6)], self.shared)
        (self.client,) = self.clients._clients.values()

    def _settle(self) -> None:
        self.settled += 1

    @property
    def up(self) -> float | None:
        return self.metrics.registry.get_sample_value("gateway_redis_up")

    async def ask(self) -> bool:
        """Whether a request is let in."""
        charge = Charge(self.client)
        await charge.approach()
        try:
            charge.arrive()
        except RequestError:
            return False
        return True


@asynccontextmanager
async def running(*gateways: Gateway) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for gateway in gateways:
            nursery.start_soon(gateway.shared.run)
        await trio.sleep(0.1)
        yield
        nursery.cancel_scope.cancel()


async def test_idle_gateways_exchange_twice_a_second(autojump_clock: MockClock) -> None:
    store = FakeStore()
    gateway = Gateway(store)
    async with running(gateway):
        await trio.sleep(10)
    assert 18 <= len(store.at) <= 20
    assert max(late - early for early, late in zip(store.at, store.at[1:], strict=False)) < 1.0
    assert gateway.up == 1.0
    assert gateway.settled == len(store.at)


@pytest.mark.parametrize("delay", [0.0, 0.05, EXCHANGE_TIMEOUT - 0.01])
async def test_a_burst_gets_the_whole_limit_at_once(delay: float, autojump_clock: MockClock) -> None:
    store = FakeStore()
    store.delay = delay
    one, other = Gateway(store), Gateway(store)
    async with running(one, other):
        await trio.sleep(1)
        codes: list[bool] = []

        async def ask(gateway: Gateway) -> None:
            codes.append(await gateway.ask())

        async with trio.open_nursery() as nursery:
            for gateway in [one] * 40 + [other] * 40:
                nursery.start_soon(ask, gateway)
    assert 50 <= sum(codes) <= 52


async def test_many_requests_share_one_exchange(autojump_clock: MockClock) -> None:
    store = FakeStore()
    gateway = Gateway(store, rpm=100_000)
    async with running(gateway):
        before, began = len(store.at), trio.current_time()
        for _ in range(500):
            assert await gateway.ask()
            await trio.sleep(0.001)
        assert len(store.at) - before <= (trio.current_time() - began) / 0.02 + 1


@pytest.mark.parametrize(
    ("error", "logged"),
    [(SharedStateError("no route"), "no route"), (ValueError("a bug"), "ValueError: a bug")],
)
async def test_a_failed_exchange_lets_waiting_requests_decide_alone(
    error: Exception, logged: str, capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    store = FakeStore()
    gateway = Gateway(store)
    async with running(gateway):
        store.error = error
        assert [await gateway.ask() for _ in range(51)] == [True] * 50 + [False]
        assert gateway.up == 0.0
        await trio.sleep(10)
        store.error = None
        await trio.sleep(2 * INTERVAL)
        assert gateway.up == 1.0
    log = capsys.readouterr().out
    assert log.count("shared_state_lost") == 1
    assert logged in log
    assert log.count("shared_state_joined") == 2


async def test_workers_show_nothing_of_redis(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    store = FakeStore("workers")
    gateway = Gateway(store)
    async with running(gateway):
        assert capsys.readouterr().out == ""
        store.error = SharedStateError("the parent has ended")
        await trio.sleep(2 * INTERVAL)
        lost = capsys.readouterr().out
        store.error = None
        await trio.sleep(2 * INTERVAL)
        assert "shared_state_joined" in capsys.readouterr().out
    assert "each worker decides alone" in lost
    assert "the parent has ended" in lost
    assert gateway.up is None


async def test_one_that_joins_before_it_serves_lets_in_what_the_others_left(
    autojump_clock: MockClock,
) -> None:
    store = FakeStore()
    store.delay = 0.05
    one, late = Gateway(store), Gateway(store)
    async with running(one), trio.open_nursery() as nursery:
        assert [await one.ask() for _ in range(50)] == [True] * 50
        nursery.start_soon(late.shared.run)
        await late.shared.join()
        assert [await late.ask() for _ in range(3)] == [True, False, False]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("delay", [0.0, 99.0])
async def test_a_store_that_is_away_holds_up_no_start_for_long(
    delay: float, autojump_clock: MockClock
) -> None:
    store = FakeStore()
    store.connect_delay, store.error = delay, SharedStateError("no route")
    gateway = Gateway(store)
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(gateway.shared.run)
        await gateway.shared.join()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began <= 1.5


async def test_one_exchange_that_fails_gives_nobody_a_limit_anew(autojump_clock: MockClock) -> None:
    store = FakeStore()
    one, other = Gateway(store), Gateway(store)
    async with running(one, other):
        assert [await one.ask() for _ in range(50)] == [True] * 50
        assert not await one.ask()
        assert await other.ask()
        store.failures = 1
        let_in = 0
        for _ in range(20):
            let_in += await one.ask() + await other.ask()
            await trio.sleep(0.01)
        assert store.failures == 0
        assert let_in <= 1


@pytest.mark.parametrize(
    ("between", "advice"),
    [("gateways", "check whether the server of REDIS_URL hangs"), ("workers", "the parent hangs")],
)
async def test_a_store_that_hangs_is_lost_and_nobody_waits_for_long(
    between: Literal["gateways", "workers"],
    advice: str,
    capsys: pytest.CaptureFixture[str],
    autojump_clock: MockClock,
) -> None:
    store = FakeStore(between)
    gateway = Gateway(store)
    async with running(gateway):
        store.delay = 99.0
        capsys.readouterr()
        await gateway.ask()
        began = trio.current_time()
        assert await gateway.ask()
        assert trio.current_time() - began <= 1.5
        assert gateway.up == (0.0 if between == "gateways" else None)
        assert f"no answer to an exchange in 0.4 s: {advice}" in capsys.readouterr().out
        store.connect_delay = 99.0
        await trio.sleep(10)
        assert gateway.up == (0.0 if between == "gateways" else None)


async def test_tokens_that_another_gateway_holds_are_waited_for(autojump_clock: MockClock) -> None:
    store = FakeStore()
    gateway = Gateway(store)
    request = parse_chat_request(dumps(chat("x" * 8000)).encode())
    async with running(gateway):
        for _ in range(3):
            charge = Charge(gateway.client)
            await charge.approach()
            charge.arrive()
            await charge.weigh(request)
            charge.check("default")
            charge.begin()
        assert int(gateway.client.limits()["x-ratelimit-remaining-tokens"]) < 10**6 - 5000
