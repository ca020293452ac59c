"""Incoming bodies: how much is taken, for how long, and when nothing more is wanted."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from werkzeug.exceptions import RequestEntityTooLarge

from trio_gateway.core.budgets.body_ledger import BodyBudget
from trio_gateway.core.errors import RequestError
from trio_gateway.server.transport.incoming import IncomingBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_gateway.core.budgets.body_ledger import BodyHold

KIB = 1024
MIB = 1024 * KIB


def incoming(
    announced: int | None = None,
    limit: int | None = 32 * MIB,
    invite: Callable[[], Awaitable[None]] | None = None,
) -> IncomingBody:
    body = IncomingBody()
    body.expect(announced=announced, limit=limit, invite=invite)
    return body


async def send(
    body: IncomingBody, steps: Sequence[float | int], *, size: int = KIB, end: bool = True
) -> None:
    """Feed *body*, a part of *size* bytes after each of these pauses."""
    for pause in steps:
        await trio.sleep(pause)
        await body.wait_for_room()
        body.feed(b"x" * size)
    if end:
        body.end()


async def taken(
    body: IncomingBody, hold: BodyHold, steps: Sequence[float], *, size: int = KIB, end: bool = True
) -> bytes:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: send(body, steps, size=size, end=end))
        data = await body.read(hold)
        nursery.cancel_scope.cancel()
    return bytes(data)


async def refused(
    body: IncomingBody, hold: BodyHold, steps: Sequence[float], *, size: int = KIB, end: bool = True
) -> tuple[int, int]:
    """The status that it is refused with, and the second."""
    began = trio.current_time()
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: send(body, steps, size=size, end=end))
        try:
            await body.read(hold)
        except (RequestError, RequestEntityTooLarge) as caught:
            error = caught
        nursery.cancel_scope.cancel()
    when = round(trio.current_time() - began)
    match error:
        case RequestError():
            return error.error.status, when
        case RequestEntityTooLarge():
            return 413, when
        case _:
            raise AssertionError("it was not refused")


async def test_it_is_taken_whole_and_counted() -> None:
    budget = BodyBudget(100 * MIB)
    hold = budget.hold("a")
    assert await taken(incoming(), hold, [0.0] * 5) == b"x" * 5 * KIB
    assert budget.taken == 5 * KIB
    hold.release()
    assert budget.taken == 0


async def test_one_part_is_taken_before_it_is_wanted(autojump_clock: trio.testing.MockClock) -> None:
    body = incoming()
    with trio.move_on_after(60) as patience:
        await send(body, [0.0, 0.0])
    assert patience.cancelled_caught
    assert await body.next() == b"x" * KIB
    assert body.has_room
    assert not body.is_over


async def test_a_body_without_bytes_keeps_nobody_waiting() -> None:
    body = incoming()
    body.feed(b"")
    body.end()
    assert await body.read(BodyBudget(1).hold(None)) == b""


async def test_what_is_not_wanted_any_more_is_thrown_away() -> None:
    body = incoming()
    body.close()
    await send(body, [0.0] * 3)
    assert await body.next() is None


# How fast


async def test_for_ten_seconds_any_pace_will_do(autojump_clock: trio.testing.MockClock) -> None:
    hold = BodyBudget(100 * MIB).hold(None)
    assert await taken(incoming(), hold, [9.9], size=1) == b"x"
    for steps in ([], [0.5] * 100, [9.9, 9.9]):
        hold = BodyBudget(100 * MIB).hold(None)
        assert await refused(incoming(), hold, steps, size=1, end=False) == (
            408,
            10,
        )


async def test_then_16_kib_a_second_on_average_however_large_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hold = BodyBudget(100 * MIB).hold(None)
    data = await taken(incoming(), hold, [1.0] * 600, size=20 * KIB)
    assert len(data) == 600 * 20 * KIB
    slow = BodyBudget(100 * MIB).hold(None)
    assert await refused(incoming(), slow, [1.0] * 600, size=15 * KIB) == (408, 10)


async def test_what_came_early_counts(autojump_clock: trio.testing.MockClock) -> None:
    hold = BodyBudget(100 * MIB).hold(None)
    body = incoming(announced=32 * MIB)
    assert await refused(body, hold, [0.0] * 10, size=64 * KIB, end=False) == (
        408,
        40,
    )


async def test_while_the_room_is_scarce_it_has_to_be_faster(autojump_clock: trio.testing.MockClock) -> None:
    budget = BodyBudget(100 * MIB)
    budget.hold(None).add(51 * MIB)
    hold = budget.hold(None)
    assert await refused(incoming(), hold, [1.0] * 60, size=63 * KIB) == (408, 10)
    hold.release()
    assert len(await taken(incoming(), budget.hold(None), [1.0] * 60, size=80 * KIB)) == 60 * 80 * KIB


async def test_one_that_has_stopped_is_cut_off_soon_after_the_room_became_scarce(
    autojump_clock: trio.testing.MockClock,
) -> None:
    budget = BodyBudget(100 * MIB)

    async def crowd() -> None:
        await trio.sleep(20.0)
        budget.hold(None).add(51 * MIB)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd)
        status, when = await refused(incoming(), budget.hold(None), [0.0] * 10, size=64 * KIB, end=False)
        nursery.cancel_scope.cancel()
    assert status == 408
    assert when in {20, 21}


# How much


@pytest.mark.parametrize("announced", [None, 10 * KIB])
async def test_a_body_over_the_limit(announced: int | None) -> None:
    hold = BodyBudget(100 * MIB).hold(None)
    status, _ = await refused(incoming(announced, limit=5 * KIB), hold, [0.0] * 100)
    assert status == 413
    assert hold.held == 0


@pytest.mark.parametrize("announced", [0, 10 * KIB])
async def test_a_body_for_which_there_is_no_room(announced: int) -> None:
    budget = BodyBudget(20 * KIB)
    budget.hold("b").add(8 * KIB)
    hold = budget.hold("b", announced)
    status, _ = await refused(incoming(announced), hold, [0.0] * 100)
    assert status == 503
    assert hold.held == 0


async def test_one_that_is_refused_makes_room_for_the_next_at_once() -> None:
    budget = BodyBudget(4 * MIB)
    outcomes: list[int] = []

    async def upload() -> None:
        body, hold = incoming(), budget.hold(None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: send(body, [0.0] * 4, size=300 * KIB))
            try:
                outcomes.append(len(await body.read(hold)))
            except RequestError as error:
                outcomes.append(error.error.status)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(upload)
    assert sorted(outcomes) == [503, 503, 1200 * KIB, 1200 * KIB]


async def test_after_a_refusal_the_rest_is_thrown_away() -> None:
    body = incoming(limit=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: send(body, [0.0] * 50))
        with pytest.raises(RequestEntityTooLarge):
            await body.read(BodyBudget(100).hold(None))


async def test_quart_may_await_it() -> None:
    body = incoming(limit=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: send(body, [0.0] * 3))
        assert await body == b"x" * 3 * KIB
    body.disconnect()
    assert body.limit == inf


async def test_a_client_that_waits_is_invited_unless_its_body_is_refused() -> None:
    invited: list[None] = []

    async def invite() -> None:
        await trio.lowlevel.checkpoint()
        invited.append(None)

    for limit, budget in ((1, 100), (100, 4)):
        body = incoming(5, limit, invite)
        with pytest.raises((RequestEntityTooLarge, RequestError)):
            await body.read(BodyBudget(budget).hold(None, 5))
    assert invited == []
    body = incoming(5, 100, invite)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: send(body, [0.0], size=5))
        assert await body.read(BodyBudget(100).hold(None, 5)) == b"xxxxx"
    assert invited == [None]
