"""Bodies read and encoded: what is done at once, in slices and in threads, and that the loop goes on."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from tests.support import until
from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.errors import RequestError
from trio_gateway.core.json.strict import dumps
from trio_gateway.core.upstream_api.request_body import upstream_fields
from trio_gateway.engine import bodies as module
from trio_gateway.engine.bodies import Bodies

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_gateway.core.client_api.request import ChatRequest

HELLO = [{"role": "user", "content": "Hi"}]
MAX = 256 * 1024 * 1024


def body(**fields: object) -> bytes:
    return json.dumps({"messages": HELLO, **fields}).encode()


class Steps(trio.abc.Instrument):
    """Counts the steps of the task that made it."""

    def __init__(self) -> None:
        self.count = 0
        self._task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self._task


async def counted(data: bytes) -> int:
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    try:
        await Bodies(MAX).read(data, parse=parse_chat_request)
    except RequestError:
        pass
    finally:
        trio.lowlevel.remove_instrument(steps)
    return steps.count


class Parser:
    """The parser, which notes the names of the threads it runs in."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def __call__(self, *arguments: Any, **more: Any) -> ChatRequest:
        self.threads.append(threading.current_thread().name)
        return parse_chat_request(*arguments, **more)


SIZES: dict[str, tuple[bytes, bool]] = {
    # what: body, whether a thread reads it
    "small": (body(), False),
    "100 KiB": (body(x="y" * 100_000), False),
    "over 256 KiB": (body(x="y" * 262_144), True),
    "100 KiB of values": (body(x=[[]] * 30_000), True),
    "a few thousand values": (body(x=[[]] * 4_900), False),
    "over 2 MiB": (body(x="y" * 3_000_000), True),
}


@pytest.mark.parametrize("case", SIZES.values(), ids=SIZES)
async def test_large_ones_are_read_and_written_in_a_thread(
    case: tuple[bytes, bool],
) -> None:
    data, large = case
    bodies, parser = Bodies(MAX), Parser()
    threads = parser.threads
    request = await bodies.read(bytearray(data), parse=parser)
    assert request.body == json.loads(data)
    assert (request.large, len(request.digest)) == (len(data) if large else 0, 16)
    assert (threads == [threading.current_thread().name]) is not large

    def fields() -> dict[str, Any]:
        threads.append(threading.current_thread().name)
        return upstream_fields(request, model="m", ask_usage=False)

    sent = await bodies.encode(request, fields)
    assert (threads[-1] == threading.current_thread().name) is not large
    whole = b"".join(sent.pieces)
    assert whole == dumps(fields()).encode()
    assert sent.size == len(whole)


async def test_equal_bodies_have_equal_digests() -> None:
    bodies = Bodies(MAX)
    first, second = (
        await bodies.read(body(), parse=parse_chat_request),
        await bodies.read(bytearray(body()), parse=parse_chat_request),
    )
    other = await bodies.read(body(seed=1), parse=parse_chat_request)
    assert first.digest == second.digest != other.digest


async def test_a_scan_lets_others_run_after_each_slice() -> None:
    assert await counted(body(x="y" * 8_000)) <= 2
    assert await counted(body(x="y" * 1_000_000)) >= 1_000_000 // 32_768
    assert await counted(body(x=[[]] * 100_000)) >= 8


BAD: dict[str, tuple[bytes, str]] = {
    "values": (body(x=[1] * 100_001), "too_many_values"),
    "levels": (b'{"x": ' + b" " * 9_000 + b"[" * 65, "invalid_json"),
    "nan": (body(x="y" * 300_000)[:-1] + b', "z": NaN}', "invalid_json"),
    "a large string without an end": (b'{"x": "' + b"y" * 3_000_000, "invalid_json"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
async def test_what_is_bad_is_refused(case: tuple[bytes, str]) -> None:
    data, code = case
    with pytest.raises(RequestError) as caught:
        await Bodies(MAX).read(data, parse=parse_chat_request)
    assert (caught.value.error.status, caught.value.error.code) == (400, code)
    assert "expected " in caught.value.error.message
    assert ", got " in caught.value.error.message


class Body(bytearray):
    """A body whose end can be watched."""


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
async def test_nothing_is_kept_of_what_was_refused(case: tuple[bytes, str]) -> None:
    body = Body(case[0])
    kept = weakref.ref(body)
    with pytest.raises(RequestError):
        await Bodies(MAX).read(body, parse=parse_chat_request)
    del body
    gc.collect()
    assert kept() is None


async def test_two_threads_at_most() -> None:
    bodies = Bodies(MAX)
    assert bodies.threads.total_tokens == 2
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(partial(bodies.read, body(x="y" * 2_000_000), parse=parse_chat_request))
        await until(lambda: bodies.threads.borrowed_tokens == 2)
    assert bodies.threads.borrowed_tokens == 0


async def test_a_thread_ends_soon_after_its_client_has_left() -> None:
    bodies = Bodies(MAX)
    started = threading.Event()
    rounds = 0

    def work(pause: Callable[[], None]) -> None:
        nonlocal rounds
        while rounds < 10_000:
            rounds += 1
            started.set()
            pause()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bodies._in_thread, work)
        await until(started.is_set)
        nursery.cancel_scope.cancel()
    assert rounds < 10_000


def test_a_thread_sleeps_for_as_long_as_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would have the interpreter's lock again before the event loop has woken up."""
    naps: list[float] = []
    wall = used = 0.0
    fake = SimpleNamespace(perf_counter=lambda: wall, thread_time=lambda: used, sleep=naps.append)
    monkeypatch.setattr(module, "time", fake)
    monkeypatch.setattr(trio.from_thread, "check_cancelled", lambda: None)
    pause = module._Pause()
    for wall, used in ((0.0004, 0.0004), (0.0012, 0.0012), (0.003, 0.0022), (0.004, 0.0022), (1.0, 0.1)):  # noqa: B007
        pause()
    assert naps == [pytest.approx(each) for each in (0.0012, 0.001, 0.0, 0.005)]
