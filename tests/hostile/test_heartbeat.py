"""The harness itself: what it counts, and that it turns red."""

from __future__ import annotations

import time

import pytest
import trio

from tests.hostile.heartbeat import HELD, PLAYS, Row, answer_through_gateway, check, heartbeat, slowness


async def _work(seconds: float, slices: int) -> None:
    for _ in range(slices):
        since = time.thread_time()
        while time.thread_time() - since < seconds:
            pass
        await trio.lowlevel.checkpoint()


def _played(seconds: float, slices: int) -> Row:
    async def gateways_task() -> None:
        await _work(seconds, slices)

    gateways_task.__module__ = "trio_gateway.example"
    gateways_task.__qualname__ = "Example.run"

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateways_task)
            await trio.lowlevel.checkpoint()

    return Row("example", play, task="Example.run", slices=5)


async def test_short_slices_pass() -> None:
    await check(_played(0.001, 5))


async def test_a_long_step_is_red() -> None:
    with pytest.raises(
        AssertionError, match=r"example: \d+ ms in one step of trio_gateway.example.Example.run"
    ):
        await check(_played(4 * HELD * slowness(), 5))


async def test_too_few_slices_are_red() -> None:
    with pytest.raises(AssertionError, match=r"example: 4 steps of Example\.run"):
        await check(_played(0.0, 3))


async def test_the_tests_own_tasks_do_not_count() -> None:
    with heartbeat() as beat:
        await _work(2 * HELD, 1)
    assert beat.longest < HELD
    assert not beat.steps_of("_work")


async def test_an_answer_through_the_gateway() -> None:
    assert PLAYS > 1
    await check(Row("plain", answer_through_gateway(), task="Failover.run", slices=2))
