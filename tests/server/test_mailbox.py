"""Mailbox of a socket: a bound in bytes, and nothing kept when it is closed."""

from __future__ import annotations

import trio
import trio.testing

from trio_gateway.core.budgets.body_ledger import BodyBudget
from trio_gateway.server.websocket.mailbox import ClientMessage, Mailbox

KIB = 1024


def message(size: int) -> ClientMessage:
    return ClientMessage(b"x" * size)


async def put_all(mailbox: Mailbox, *sizes: int) -> None:
    for size in sizes:
        await mailbox.put(message(size))


async def test_messages_come_out_as_they_went_in() -> None:
    mailbox = Mailbox()
    await put_all(mailbox, 1, 2, 3)
    taken = [await mailbox.get() for _ in range(3)]
    assert [len(each.take()) for each in taken if each] == [1, 2, 3]
    assert [len(each.data) for each in taken if each] == [0, 0, 0]


async def test_no_more_than_1_mib_waits(autojump_clock: trio.testing.MockClock) -> None:
    mailbox = Mailbox()
    with trio.move_on_after(1) as patience:
        await put_all(mailbox, *[60 * KIB] * 100)
    assert patience.cancelled_caught
    assert len(mailbox._waiting) == 16
    empty = Mailbox()
    with trio.move_on_after(1) as patience:
        await put_all(empty, *[0] * 10_000)
    assert patience.cancelled_caught
    assert len(empty._waiting) == 4096


async def test_a_larger_one_waits_alone(autojump_clock: trio.testing.MockClock) -> None:
    mailbox = Mailbox()
    await put_all(mailbox, 10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, mailbox, 5000 * KIB, 20)
        await trio.testing.wait_all_tasks_blocked()
        sizes = []
        for _ in range(3):
            assert len(mailbox._waiting) == 1
            taken = await mailbox.get()
            assert taken is not None
            sizes.append(len(taken.data))
            await trio.testing.wait_all_tasks_blocked()
    assert sizes == [10, 5000 * KIB, 20]


async def test_it_waits_for_the_next_one() -> None:
    mailbox = Mailbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, mailbox, 7)
        taken = await mailbox.get()
    assert taken is not None
    assert len(taken.data) == 7


async def test_when_it_is_closed_all_is_given_back_and_nobody_waits() -> None:
    budget = BodyBudget(100)
    mailbox = Mailbox()
    holds = [budget.hold(None) for _ in range(2)]
    for hold in holds:
        hold.add(10)
    await mailbox.put(ClientMessage(b"x" * 10, hold=holds[0]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, mailbox, 2000 * KIB)
        await trio.testing.wait_all_tasks_blocked()
        mailbox.close()
    assert await mailbox.get() is None
    await mailbox.put(ClientMessage(b"x" * 10, hold=holds[1]))
    assert budget.taken == 0
    assert await mailbox.get() is None


async def test_a_large_message_is_kept_only_where_nothing_is_before_it() -> None:
    mailbox = Mailbox()
    kept = [mailbox.keeps_large]
    mailbox.is_busy = True
    kept.append(mailbox.keeps_large)
    mailbox.is_busy = False
    await mailbox.put(message(1))
    kept.append(mailbox.keeps_large)
    await mailbox.get()
    kept.append(mailbox.keeps_large)
    mailbox.close()
    assert [*kept, mailbox.keeps_large] == [True, False, False, True, False]
