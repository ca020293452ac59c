"""What workers trade through their parent: its answers, and the store that a worker has."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
import trio.testing

from tests.support import settings
from tests.workers.ends import connected
from trio_gateway.core.sharing import BucketReport, CircuitNews, CircuitOpening, Grant, Report, Wish
from trio_gateway.core.sharing import ExchangeReply as SharedReply
from trio_gateway.engine.shared_state import SharedStateError
from trio_gateway.server.workers.channel_messages import Acknowledged, Ask, Failed, Tell, Trade, Traded
from trio_gateway.server.workers.parent import Parent
from trio_gateway.server.workers.sharing import Arbitration, ParentStore

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_gateway.server.workers.channel_messages import Question, Reply


async def trade(store: ParentStore, report: Report) -> SharedReply:
    async with store.connect() as connection:
        return await connection.exchange(report)


def bucket(take: int, want: int) -> BucketReport:
    return BucketReport("k", 20, take, want, 0, known=True)


# Who reports at which second, what, and the answer: grants and circuits (name, state, prober).
STEPS = [
    (0, 0.0, Report("a", buckets=(bucket(0, 15),)), [("k", 15, 5.0)], []),
    (1, 0.0, Report("b", buckets=(bucket(0, 15),)), [("k", 5, 0.0)], []),
    (0, 0.0, Report("a", buckets=(bucket(-3, 0),)), [("k", 0, 3.0)], []),
    (1, 0.0, Report("b", buckets=(bucket(0, 5),)), [("k", 3, 0.0)], []),
    (1, 3.0, Report("b", buckets=(bucket(0, 5),)), [("k", 1, 0.0)], []),
    (0, 3.0, Report("a", opened=(CircuitOpening("u", 2.0, "status 500"),)), [], [("u", "open", "")]),
    (1, 3.0, Report("b"), [], [("u", "open", "")]),
    (1, 5.0, Report("b", wishes=(Wish("u", 60.0),)), [], [("u", "open", "b")]),
    (0, 5.0, Report("a", wishes=(Wish("u", 60.0),)), [], [("u", "open", "b")]),
    (1, 5.0, Report("b", closed=("u",)), [], [("u", "closed", "")]),
]


async def test_the_parent_trades_between_its_workers(autojump_clock: MockClock) -> None:
    with socket.socket() as listener:
        parent = Parent(settings(), listener, "", None, 2)
        epoch = ""
        async with AsyncExitStack() as stack:
            stores = []
            for number in range(2):
                ends = connected(partial(parent._answer, number))
                stores.append(ParentStore((await stack.enter_async_context(ends))[0]))
            for number, at, report, grants, circuits in STEPS:
                await trio.sleep(at - trio.current_time())
                # Each knows the epoch, and asks for all circuits.
                reply = await trade(stores[number], msgspec.structs.replace(report, epoch=epoch))
                epoch = reply.epoch
                assert [(each.bucket, each.share, round(each.level, 6)) for each in reply.grants] == grants
                assert [(each.circuit, each.state, each.prober) for each in reply.circuits] == circuits


def test_a_worker_that_ended_leaves_its_probe_to_the_others_and_what_it_held_is_spent() -> None:
    arbitration = Arbitration()
    arbitration.exchange(
        0, Report("a", opened=(CircuitOpening("u", 1.0, ""),), buckets=(bucket(0, 20),)), 0.0
    )
    held = arbitration.exchange(0, Report("a", wishes=(Wish("u", 60.0),)), 1.0)
    assert held.circuits[0].prober == "a"
    assert arbitration.exchange(1, Report("b", wishes=(Wish("u", 60.0),)), 1.0).circuits[0].prober == "a"
    arbitration.forget(0)
    arbitration.forget(0)
    assert arbitration.exchange(2, Report("c", wishes=(Wish("u", 60.0),)), 1.0).circuits[0].prober == "c"
    again = Report("c", held.epoch, buckets=(bucket(0, 20),))
    assert arbitration.exchange(2, again, 3.0).grants == (Grant("k", 1, 0.0),)


async def test_two_parents_never_have_the_same_epoch() -> None:
    epochs = {Arbitration().exchange(0, Report("a"), 0.0).epoch for _ in range(20)}
    assert len(epochs) == 20


@pytest.mark.parametrize("reply", [Failed("busy"), Acknowledged()])
async def test_an_answer_that_is_none_is_a_shared_state_error(reply: Reply) -> None:
    async def answer(_: Question) -> Reply:
        return reply

    async with connected(answer) as (worker, _):
        with pytest.raises(SharedStateError, match="the parent does not answer: "):
            await trade(ParentStore(worker), Report("a"))


async def test_without_a_parent_there_is_no_connection() -> None:
    async def answer(_: Question) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    async with connected(answer) as (worker, parent):
        store = ParentStore(worker)
        async with store.connect() as connection, trio.open_nursery() as nursery:
            nursery.start_soon(trio.aclose_forcefully, parent._stream)
            with pytest.raises(SharedStateError, match="the channel is closed"):
                await connection.exchange(Report("a"))
        with pytest.raises(SharedStateError, match="the parent has ended"):
            await trade(store, Report("a"))


def test_what_is_traded_arrives_as_it_was() -> None:
    report = Report("a", "e", 3, (bucket(1, 2),), (CircuitOpening("u\nm", 1.5, "w", "rate"),), ("x",), ("y",))
    reply = SharedReply("e", 4, (Grant("k", 1, -0.5),), (CircuitNews("u", 4, "open", -1.0, "w"),))
    for message in (Ask(1, Trade(report)), Tell(1, Traded(reply))):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Ask | Tell) == message
