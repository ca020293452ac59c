"""Pool: chooses the right connection; each is idle, in use or closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.engine.transport.pool import Pool, PoolLimits, PoolStatistics

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from trio_gateway.engine.transport.pool import Connection


class FakeWire:
    """A connection to nowhere."""

    def __init__(self) -> None:
        self.quiet = True
        self.closed = False

    def receive(self) -> Awaitable[bytes]:
        raise AssertionError("a pool never reads")

    def send_all(self, data: bytes) -> Awaitable[None]:
        raise AssertionError("a pool never writes")

    def is_quiet(self) -> bool:
        assert not self.closed
        return self.quiet

    def close(self) -> None:
        self.closed = True


def wire(connection: Connection) -> FakeWire:
    assert isinstance(connection.wire, FakeWire)
    return connection.wire


def filled(*, limits: PoolLimits | None = None, count: int = 3) -> tuple[Pool, list[Connection]]:
    """A pool of so many idle connections, in the order in which they were given back."""
    pool = Pool(limits or PoolLimits())
    connections = [pool.add(FakeWire()) for _ in range(count)]
    for connection in connections:
        connection.give_back()
    return pool, connections


async def test_the_connection_used_last_is_used_first() -> None:
    pool, (first, second, third) = filled()
    assert [pool.take(), pool.take(), pool.take(), pool.take()] == [third, second, first, None]
    assert third.reused
    assert pool.statistics == PoolStatistics(opened=3, reused=3, stale=0, active=3, idle=0)


async def test_a_connection_that_is_not_quiet_is_passed_over() -> None:
    pool, (first, second, third) = filled()
    wire(second).quiet = wire(third).quiet = False
    assert pool.take() is first
    assert (wire(second).closed, wire(third).closed, pool.stale, pool.reused) == (True, True, 2, 1)


async def test_the_oldest_goes_where_there_are_too_many() -> None:
    pool, connections = filled(limits=PoolLimits(idle=2))
    assert [wire(each).closed for each in connections] == [True, False, False]
    assert pool.statistics.idle == 2


async def test_none_is_kept_where_none_may_be() -> None:
    pool, connections = filled(limits=PoolLimits(idle=0))
    assert all(wire(each).closed for each in connections)
    assert pool.take() is None


async def test_idle_connections_expire(mock_clock: trio.testing.MockClock) -> None:
    pool, (first, second, _) = filled(limits=PoolLimits(expiry=5))
    mock_clock.jump(4.9)
    third = pool.take()
    assert third is not None
    third.give_back()
    mock_clock.jump(0.2)
    assert (pool.take(), pool.take()) == (third, None)
    assert wire(first).closed
    assert wire(second).closed


async def test_giving_back_or_dropping_twice_has_no_effect() -> None:
    pool, _ = filled(count=0)
    kept, dropped = pool.add(FakeWire()), pool.add(FakeWire())
    kept.give_back()
    kept.give_back()
    dropped.drop()
    dropped.give_back()
    assert pool.statistics == PoolStatistics(opened=2, reused=0, stale=0, active=0, idle=1)


async def test_a_retired_pool_keeps_those_in_use() -> None:
    pool, (idle, _, _) = filled()
    running = pool.take()
    assert running is not None
    pool.retire()
    assert (wire(idle).closed, wire(running).closed) == (True, False)
    running.give_back()
    assert wire(running).closed


async def test_a_closed_pool_has_none() -> None:
    pool, (idle, _, _) = filled()
    running = pool.take()
    assert running is not None
    pool.close()
    assert wire(idle).closed
    assert wire(running).closed
    running.give_back()
    late = FakeWire()
    with pytest.raises(trio.ClosedResourceError):
        pool.add(late)
    with pytest.raises(trio.ClosedResourceError):
        pool.take()
    assert late.closed
    assert (pool.statistics.active, pool.statistics.idle) == (0, 0)


STEPS = st.sampled_from(["add", "take", "give back", "drop", "die", "wait", "expire", "retire"])


class Players:
    """A pool, all connections it has had, and those that are held by requests."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self.clock = clock
        self.pool = Pool(PoolLimits(idle=3, expiry=2))
        self.every: list[Connection] = []
        self.held: list[Connection] = []

    def play(self, step: str, number: int) -> None:
        match step:
            case "add":
                self.every.append(self.pool.add(FakeWire()))
                self.held.append(self.every[-1])
            case "take" if (taken := self.pool.take()) is not None:
                assert taken not in self.held
                self.held.append(taken)
            case "give back" if self.held:
                self.held.pop(number % len(self.held)).give_back()
            case "drop" if self.held:
                self.held.pop(number % len(self.held)).drop()
            case "die" if self.every:
                wire(self.every[number % len(self.every)]).quiet = False
            case "wait":
                self.clock.jump(number / 4)
            case "expire":
                self.pool.expire()
            case "retire":
                self.pool.retire()

    def check(self) -> None:
        statistics = self.pool.statistics
        still_open = [each for each in self.every if not wire(each).closed]
        assert set(self.held) <= set(still_open)
        assert (statistics.active, statistics.opened) == (len(self.held), len(self.every))
        assert statistics.active + statistics.idle == len(still_open)
        assert statistics.idle <= 3


@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 9)), max_size=40))
def test_every_connection_is_idle_or_in_use_or_closed(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        players = Players(clock)
        for step, number in steps:
            players.play(step, number)
            players.check()

    clock = trio.testing.MockClock()
    trio.run(run, clock=clock)
