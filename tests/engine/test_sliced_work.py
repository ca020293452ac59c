from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_gateway.engine.sliced_work import in_slices

if TYPE_CHECKING:
    from collections.abc import Generator


def counting(seen: list[int], count: int) -> Generator[None, None, str]:
    for number in range(count):
        seen.append(number)
        yield
    return "done"


async def test_other_tasks_run_between_two_slices() -> None:
    seen: list[int] = []

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        seen.append(-1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        assert await in_slices(counting(seen, 100)) == "done"
    assert -1 in seen[:-1]


async def test_work_that_nobody_waits_for_is_given_up() -> None:
    seen: list[int] = []
    until = trio.Event()
    assert await in_slices(counting(seen, 2), until=until) == "done"
    until.set()
    assert await in_slices(counting(seen, 2), until=until) is None
    assert seen == [0, 1]
