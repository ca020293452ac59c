"""Garbage: what a collection looks at, when frozen objects are looked at again, and that streams leave none."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from tests.support import (
    HEAD,
    ask,
    chat,
    open_gateway,
    open_upstream,
    settings,
    sse_chunk,
    text_answer,
    until,
)
from trio_gateway.server import garbage
from trio_gateway.server.garbage import freezing_survivors, is_worth_it, look_again

if TYPE_CHECKING:
    from collections.abc import Iterator


class Circle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()


def circles() -> int:
    gc.unfreeze()
    return sum(isinstance(each, Circle) for each in gc.get_objects())


WORTH: dict[str, tuple[int, int, bool]] = {
    "as at the start": (0, 0, False),
    "fewer": (-5_000, 0, False),
    "a little more": (50_000, 0, False),
    "garbage": (50_001, 0, True),
    "streams": (450_000, 1_000, False),
    "a stream and a little more": (101_000, 1, False),
    "one stream and garbage": (101_001, 1, True),
    "streams and garbage": (1_100_001, 1_000, True),
}


@pytest.mark.parametrize("case", WORTH.values(), ids=WORTH)
def test_when_frozen_objects_are_looked_at(case: tuple[int, int, bool]) -> None:
    frozen, streams, worth = case
    assert is_worth_it(frozen, streams) is worth


def test_what_survives_is_frozen_and_everything_is_as_before_after_it() -> None:
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    with freezing_survivors() as at_start:
        assert at_start > 0
        kept = [Circle() for _ in range(1_000)]
        gc.collect(0)
        assert gc.get_freeze_count() < at_start + 1_000
        gc.collect(1)
        assert gc.get_freeze_count() >= at_start + 1_000
        assert gc.get_threshold() != thresholds
        assert len(kept) == 1_000
    assert gc.get_freeze_count() == 0
    assert (gc.get_threshold(), gc.callbacks) == (thresholds, callbacks)


def test_a_frozen_object_is_freed_with_its_last_reference() -> None:
    with freezing_survivors():
        kept = [[each] for each in range(10_000)]
        gc.collect(1)
        frozen = gc.get_freeze_count()
        del kept
        assert gc.get_freeze_count() <= frozen - 10_000


async def test_frozen_circles_are_found_when_no_stream_is_open(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_LEFT", 500)
    streams = 1
    with freezing_survivors() as at_start:
        kept = [Circle() for _ in range(1_000)]
        gc.collect(1)
        del kept
        gc.collect(1)
        with trio.move_on_after(130):
            await look_again(at_start, lambda: streams)
        assert circles() == 1_000
        gc.freeze()
        streams = 0
        with trio.move_on_after(130):
            await look_again(at_start, lambda: streams)
        assert circles() == 0


async def test_what_has_its_use_is_looked_at_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_LEFT", 500)
    passes = 0

    def unfreeze() -> None:
        nonlocal passes
        passes += 1

    with freezing_survivors() as at_start:
        kept = [Circle() for _ in range(1_000)]
        gc.collect(1)
        monkeypatch.setattr(gc, "unfreeze", unfreeze)
        with trio.move_on_after(600):
            await look_again(at_start, lambda: 0)
        assert (passes, len(kept)) == (1, 1_000)
        monkeypatch.undo()


THINKS = sse_chunk({"content": "<think>" + "The sum is four. " * 20 + "</think>"})


@pytest.mark.parametrize(
    "fields", [{}, {"stream": False}, {"stream": True}], ids=["phases", "whole", "openai"]
)
async def test_a_stream_that_ends_as_usual_leaves_no_circles(fields: dict[str, Any]) -> None:
    path = "/openai/v1/chat/completions" if fields.get("stream") else "/v1/chat/completions"

    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(HEAD + THINKS + text_answer("4").removeprefix(HEAD))

    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        await ask(client, chat(**fields))  # what is made once is made now
        await until(lambda: client.app.gateway.active == 0)
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                response = await client.post(path, json=chat(**fields))
                assert "4" in response.text
            await until(lambda: client.app.gateway.active == 0)
            await trio.testing.wait_all_tasks_blocked(0.05)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = {
                type(each).__qualname__
                for each in gc.garbage
                if type(each).__module__.startswith("trio_gateway")
            }
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == set()
