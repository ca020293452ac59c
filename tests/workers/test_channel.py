"""The channel between the parent and a worker, and rounds of work that several ask for."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.support import key_line, settings, until
from tests.workers.ends import connected, never
from trio_gateway.server.workers import channel as channel_module
from trio_gateway.server.workers.channel import MAX_FRAME, ChannelError, ControlChannel
from trio_gateway.server.workers.channel_messages import (
    Acknowledged,
    Adopt,
    Ask,
    Banner,
    Failed,
    HealthBody,
    Lines,
    MetricsText,
    OwnHealth,
    Tell,
    WholeMetrics,
)
from trio_gateway.server.workers.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.workers.ends import Answer
    from trio_gateway.core.config.settings import Settings
    from trio_gateway.server.workers.channel_messages import Question, Reply


async def echo(question: Question) -> Reply:
    assert isinstance(question, Banner)
    return Lines([question.url])


@asynccontextmanager
async def facing(answer: Answer) -> AsyncIterator[tuple[ControlChannel, trio.testing.MemorySendStream]]:
    """One end, and what writes to it."""
    ours, theirs = trio.testing.memory_stream_pair()
    channel = ControlChannel(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.run, answer)
        yield channel, theirs.send_stream
        nursery.cancel_scope.cancel()


async def test_many_questions_at_once_both_ways_each_get_their_own_answer() -> None:
    got: list[str] = []

    async def ask(channel: ControlChannel, text: str) -> None:
        assert (await channel.ask(Banner(text), Lines)).lines == [text]
        got.append(text)

    async with connected(echo, echo) as (first, second), trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(ask, first, f"first {number}")
            nursery.start_soon(ask, second, f"second {number}")
    assert len(set(got)) == 60


async def test_settings_arrive_as_they_were() -> None:
    seen: list[Settings] = []

    async def adopt(question: Question) -> Reply:
        assert isinstance(question, Adopt)
        seen.append(question.settings)
        return Acknowledged()

    toml = """
[server]
api_keys_file = "keys.txt"
[upstreams.a]
url = "http://a.example/v1?x=1"
breaker = {window_calls = 70}
[models.default]
markers = [["<t>", "</t>"]]
[models."qwen/x"]
match = "qwen.*"
upstreams = ["a"]
[summary]
prompt = "model"
upstream = "a"
model = "small"
"""
    keys = key_line("anna", "expires=2999-01-01T00:00:00Z", "models=a,b", "rpm=3") + key_line(
        "bob", "metrics"
    )
    sent = settings(toml, keys=keys, LOG_LEVEL="debug", REDIS_URL="redis://:secret@localhost")
    async with connected(adopt) as (first, _):
        await first.ask(Adopt(0, sent), Acknowledged)
    assert seen == [sent]


async def test_an_answer_that_is_late_is_not_taken_for_another_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(question: Question) -> Reply:
        await trio.sleep(1.0)
        return await echo(question)

    async with connected(slow) as (first, _):
        with pytest.raises(ChannelError, match=r"no answer within 0\.5 s"):
            await first.ask(Banner("a"), Lines, within=0.5)
        assert (await first.ask(Banner("b"), Lines, within=2.0)).lines == ["b"]


async def test_one_that_stops_waiting_leaves_no_half_frame() -> None:
    long = "x" * 1_000_000  # which takes several writes
    async with connected(echo) as (first, _):
        with trio.move_on_after(0) as scope:
            await first.ask(Banner(long), Lines)
        assert scope.cancelled_caught
        for text in ("a", long, "b"):
            assert (await first.ask(Banner(text), Lines)).lines == [text]


@pytest.mark.parametrize("before", [True, False])
async def test_who_asks_when_the_other_end_goes_gets_an_error(before: bool) -> None:
    async with connected(never) as (first, second), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(ChannelError, match="closed"):
                await first.ask(Banner("a"), Lines)

        if not before:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(second._stream)
        await first.closed.wait()
        if before:
            await ask()


async def test_a_mistake_in_an_answer_is_logged_and_ends_nothing() -> None:
    async def fails(question: Question) -> Reply:
        if isinstance(question, OwnHealth):
            raise ValueError("secret")
        if isinstance(question, WholeMetrics):
            raise ChannelError("the others are silent")
        return await echo(question)

    with capture_logs() as logs:
        async with connected(fails) as (first, _):
            with pytest.raises(ChannelError, match="see its log"):
                await first.ask(OwnHealth(), HealthBody)
            with pytest.raises(ChannelError, match="the others are silent"):
                await first.ask(WholeMetrics(), MetricsText)
            with pytest.raises(ChannelError, match="another kind"):
                await first.ask(Banner("a"), MetricsText)
            assert (await first.ask(Banner("a"), Lines)).lines == ["a"]
    assert [each["event"] for each in logs] == ["question_failed"]


def frame(body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">I", len(body) if length is None else length) + body


@pytest.mark.parametrize(
    "sent",
    [
        frame(b"", MAX_FRAME + 1),
        frame(b""),
        frame(b"\xc1"),
        frame(msgspec.msgpack.encode({"type": "Ask", "number": 1, "question": {"type": "Unknown"}})),
        frame(msgspec.msgpack.encode([1, 2])),
    ],
)
async def test_what_is_no_message_closes_the_channel(sent: bytes) -> None:
    with capture_logs() as logs:
        async with facing(echo) as (channel, other):
            await other.send_all(sent)
            with trio.fail_after(2):
                await channel.closed.wait()
    assert [each["event"] for each in logs] == ["channel_broken"]


async def test_replies_that_nobody_waits_for_and_half_a_frame_at_the_end_do_no_harm() -> None:
    with capture_logs() as logs:
        async with facing(echo) as (channel, other):
            await other.send_all(frame(msgspec.msgpack.encode(Tell(77, Acknowledged()))))
            await other.send_all(b"\0\0")
            await other.aclose()
            await channel.closed.wait()
    assert logs == []


async def test_a_message_that_is_too_large_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_FRAME", 1000)

    async def large(question: Question) -> Reply:
        return Lines(["x" * 2000])

    async with connected(large) as (first, _):
        with pytest.raises(ChannelError, match="more than 1000"):
            await first.ask(Banner("x" * 2000), Lines)
        with pytest.raises(ChannelError, match="more than 1000"):
            await first.ask(Banner("a"), Lines)


async def test_beyond_a_number_of_questions_further_ones_are_refused_and_replies_still_read() -> None:
    go_on = trio.Event()

    async def waits(question: Question) -> Reply:
        assert isinstance(question, Banner)
        await go_on.wait()
        return await echo(question)

    refused: list[str] = []
    answered: list[str] = []

    async def ask(channel: ControlChannel, text: str) -> None:
        try:
            answered.extend((await channel.ask(Banner(text), Lines)).lines)
        except ChannelError as error:
            refused.append(str(error))

    async with connected(waits, echo) as (first, second), trio.open_nursery() as nursery:
        for number in range(80):
            nursery.start_soon(ask, first, str(number))
        await until(lambda: len(refused) == 16)
        assert (await second.ask(Banner("back"), Lines)).lines == ["back"]
        go_on.set()
    assert len(answered) == 64
    assert set(refused) == {"too many questions at once"}


def test_every_frame_is_of_a_known_kind() -> None:
    ask = Ask(1, Banner("x"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(ask), type=Ask | Tell) == ask
    tell = Tell(1, Failed("x"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(tell), type=Ask | Tell) == tell


async def test_a_round_serves_all_who_asked_before_it_began() -> None:
    begun = 0
    go_on = trio.Event()

    async def work() -> int:
        nonlocal begun
        begun += 1
        number = begun
        await go_on.wait()
        return number

    rounds = Rounds(work)
    got: list[int] = []

    async def ask() -> None:
        got.append(await rounds.get())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rounds.run)
        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(5):
                asking.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert begun == 1
            go_on.set()
        nursery.cancel_scope.cancel()
    assert sorted(got) == [1, 2, 2, 2, 2, 2]


async def test_a_round_goes_on_without_one_who_left_and_after_one_that_failed() -> None:
    results: list[int | None] = [None, 1]

    async def work() -> int:
        await trio.testing.wait_all_tasks_blocked()
        result = results.pop(0)
        if result is None:
            raise ChannelError("no")
        return result

    rounds = Rounds(work)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rounds.run)
        with trio.move_on_after(0):
            await rounds.get()
        with pytest.raises(ChannelError, match="no"):
            await rounds.get()
        assert await rounds.get() == 1
        nursery.cancel_scope.cancel()
