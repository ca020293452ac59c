"""What connections cost that ask for nothing, or come and go.

    python benchmarks/connections.py idle [CONNECTIONS]     memory, and how fast a new request is answered beside them
    python benchmarks/connections.py churn [SECONDS]        1,000 connections a second: are all of them given back?

Each prints what it saw and ends with code 1 if that is not what the gateway promises. They read /proc, so they
need Linux, and files enough (``ulimit -n``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from resilience import gateway_process, memory_of, request, sockets_of, told

from tests.support import open_upstream, plays, text_answer, until, upstream_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_REQUESTS = 300
_A_SECOND = 1000
# Connections opened at a time, so that no more wait to be accepted than the system lets wait.
_TOGETHER = 50
_ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
_ASK_AND_LEAVE = _ASK.replace(b"Host", b"Connection: close\r\nHost")
_MOST_MEMORY = 32.0
"""KiB a connection."""
_SLOWEST = 0.05
"""Seconds."""


async def idle(count: int) -> bool:
    """At most 32 KiB a connection, and the first byte of an answer within 50 ms at p99.

    An idle connection is closed after 5 s, so there are never more than come in that time.
    """
    async with (
        open_upstream(plays(text_answer("Four."))) as upstream,
        gateway_process(upstream_toml(upstream.url)) as (process, port),
    ):
        before = memory_of(process.pid)
        streams: list[trio.SocketStream] = []
        limit = trio.CapacityLimiter(_TOGETHER)

        async def connect() -> None:
            async with limit:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                await stream.send_all(_ASK)
                await stream.receive_some()
                streams.append(stream)

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(connect)
        held, memory = sockets_of(process.pid), memory_of(process.pid)
        times = [await _first_byte(port) for _ in range(_REQUESTS)]
        for stream in streams:
            await trio.aclose_forcefully(stream)
    each = (memory - before) * 1024 / held
    print(
        f"{held} connections held: {before:.0f} MiB before them, {memory:.0f} MiB with them, {each:.0f} KiB each"
    )
    return told("first byte of an answer", times, limit=_SLOWEST) and each <= _MOST_MEMORY


async def _first_byte(port: int) -> float:
    started = trio.current_time()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request("What is 2+2?"))
        await stream.receive_some(1)
        return trio.current_time() - started


async def churn(seconds: int) -> bool:
    """Every connection is given back; nine of ten leave without a word, one asks and is answered."""
    async with gateway_process("") as (process, port):
        before, done = sockets_of(process.pid), 0

        async def come_and_go(number: int) -> None:
            nonlocal done
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                if number % 10 == 0:
                    await stream.send_all(_ASK_AND_LEAVE)
                    answer = b"".join([part async for part in stream])
                    assert answer.startswith(b"HTTP/1.1 200 "), answer
            done += 1

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(seconds * _A_SECOND):
                nursery.start_soon(come_and_go, number)
                if number % 10 == 9:
                    await trio.sleep_until(began + number / _A_SECOND)
        took = trio.current_time() - began
        await until(lambda: sockets_of(process.pid) <= before, 10)
        left = sockets_of(process.pid) - before
        print(f"{done} connections in {took:.1f} s ({done / took:.0f} a second); sockets left over: {left}")
        print(f"memory at the end: {memory_of(process.pid):.0f} MiB")
    return left <= 0 and done == seconds * _A_SECOND


MEASURES: dict[str, tuple[Callable[[int], Coroutine[None, None, bool]], int]] = {
    "idle": (idle, 2000),
    "churn": (churn, 60),
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in MEASURES:
        sys.exit(str(__doc__))
    measure, usual = MEASURES[sys.argv[1]]
    sys.exit(not trio.run(measure, int(sys.argv[2]) if len(sys.argv) > 2 else usual))
