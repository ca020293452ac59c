"""Idle connections: all of a worker's end when it drains, and those that come later too."""

from __future__ import annotations

import trio
import trio.testing
from hypercorn.trio.worker_context import WorkerContext

from trio_gateway.server.transport.idle import idle_connections


class Connection:
    def __init__(self) -> None:
        self.drained = 0

    def drain(self) -> None:
        self.drained += 1


async def test_those_that_are_idle_when_the_worker_drains_end_and_no_others() -> None:
    worker = WorkerContext(None)
    idle = idle_connections(worker)
    stays, leaves, again = Connection(), Connection(), Connection()
    for each in (stays, leaves, again):
        idle.add(each)
    for each in (leaves, again):
        idle.discard(each)
    idle.discard(leaves)
    idle.add(again)
    await trio.testing.wait_all_tasks_blocked()
    assert (stays.drained, leaves.drained, again.drained) == (0, 0, 0)
    await worker.terminated.set()
    await trio.testing.wait_all_tasks_blocked()
    assert (stays.drained, leaves.drained, again.drained) == (1, 0, 1)


async def test_one_that_becomes_idle_later_ends_at_once() -> None:
    worker = WorkerContext(None)
    await worker.terminated.set()
    late = Connection()
    idle_connections(worker).add(late)
    assert late.drained == 1


async def test_each_worker_has_one_list_and_one_task_for_it() -> None:
    first, second = WorkerContext(None), WorkerContext(None)
    before = trio.lowlevel.current_statistics().tasks_living
    assert idle_connections(first) is idle_connections(first)
    assert idle_connections(first) is not idle_connections(second)
    assert trio.lowlevel.current_statistics().tasks_living == before + 2
