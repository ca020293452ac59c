"""Wakeup: all that wait are woken by the next change, and those that come later by a later one."""

from __future__ import annotations

import trio
import trio.testing

from trio_gateway.engine.wakeup import Wakeup


async def test_each_change_wakes_those_that_wait_then() -> None:
    wakeup, woken = Wakeup(), list[str]()

    async def wait(name: str) -> None:
        await wakeup.wait()
        woken.append(name)

    wakeup.wake()  # nobody waits: it is not kept
    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(wait, name)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == []
        wakeup.wake()
        nursery.start_soon(wait, "c")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(woken) == ["a", "b"]
        wakeup.wake()
    assert sorted(woken) == ["a", "b", "c"]
