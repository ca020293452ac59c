"""Limits of tests: what holds the event loop counts, and what a busy machine takes does not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from tests.support import until, within

if TYPE_CHECKING:
    from collections.abc import Callable


def hold() -> None:
    """Work for a while without giving another task its turn."""
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass


def stand_still() -> None:
    """As where the machine gives its time to other processes."""
    time.sleep(0.2)


PAUSES = pytest.mark.parametrize(
    ("pause", "in_time"), [(hold, False), (stand_still, True)], ids=["held", "stopped"]
)


@PAUSES
async def test_until(pause: Callable[[], None], in_time: bool) -> None:
    looks = 0

    def seen_after_a_pause() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            pause()
        return looks > 3

    if in_time:
        await until(seen_after_a_pause, 0.1)
    else:
        with pytest.raises(trio.TooSlowError):
            await until(seen_after_a_pause, 0.1)


@PAUSES
async def test_within(pause: Callable[[], None], in_time: bool) -> None:
    late = False
    try:
        async with within(0.1):
            await trio.sleep(0.01)
            pause()
            for _ in range(3):
                await trio.sleep(0.001)
    except trio.TooSlowError:
        late = True
    assert late is not in_time


async def test_what_never_comes_ends_them() -> None:
    with pytest.raises(trio.TooSlowError):
        await until(lambda: False, 0.02)
    with pytest.raises(trio.TooSlowError):
        async with within(0.02):
            await trio.sleep_forever()
