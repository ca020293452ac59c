"""What the gateway does when upstreams fail and clients misbehave, in figures.

    python benchmarks/resilience.py failover [REQUESTS]        30 % of the first upstream's attempts fail unseen
    python benchmarks/resilience.py refusal [REQUESTS]         an open breaker refuses: how fast, and no connection
    python benchmarks/resilience.py disconnect [REQUESTS]      from the client's leaving to the upstream's closing
    python benchmarks/resilience.py silent [CLIENTS]           clients that never read: memory, and when they are gone
    python benchmarks/resilience.py restarts [SECONDS]         the upstream is killed and started again and again

Each prints what it saw and ends with code 1 if that is not what the gateway promises. ``silent`` reads the
gateway's memory from /proc, so it needs Linux.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import structlog
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support import (
    DONE,
    HEAD,
    Answer,
    Client,
    ask,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
    upstream_toml,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ROOT = Path(__file__).parent.parent
THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two. Then I check the sum once more.\n"})
CLOSES = b""
FAULTS = (
    CLOSES,
    b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    THINKS,
    THINKS + b"data: {oops\n\n",
    THINKS + b'data: {"error": {"message": "overloaded", "code": 503}}\n\n',
    HEAD + DONE,
)


# Seconds the gateway is told to be patient with clients that take nothing, and with streams at its end.
_WRITE_TIMEOUT = 4.0
_GRACE = 3.0
# Requests on one connection; hypercorn ends it after a thousand.
_PER_CONNECTION = 100


def told(name: str, times: list[float], *, limit: float) -> bool:
    """Print the median and the 99th percentile of *times* (seconds) in ms; whether the latter is within *limit*."""
    times.sort()
    p99 = times[int(0.99 * len(times))]
    print(
        f"{name:42} median {1e3 * statistics.median(times):7.2f} ms   p99 {1e3 * p99:7.2f} ms   ({len(times)})"
    )
    return p99 <= limit


async def failover(count: int) -> bool:
    """At least 99.9 % of the requests succeed, and every answer is whole, with nothing twice."""
    chance = random.Random(20)  # the same faults in each run

    async def flaky(stream: trio.SocketStream, number: int) -> None:
        await answers(stream, number, chance.choice(FAULTS) if chance.random() < 0.3 else None)

    async def answers(stream: trio.SocketStream, _number: int, fault: bytes | None = None) -> None:
        await stream.send_all(
            text_answer("<think>So. It is.</think>", *"0123456789") if fault is None else fault
        )

    answered = {"whole": 0, "error": 0, "wrong": 0}
    async with (
        open_upstream(flaky) as bad,
        open_upstream(answers) as good,
        open_gateway(settings(upstream_toml(bad.url, good.url))) as client,
    ):

        async def worker(share: int) -> None:
            for _ in range(share):
                answer = await ask(client, chat())
                whole = (answer.output, answer.finish_reasons, answer.error) == ("0123456789", ["stop"], None)
                answered["whole" if whole else "error" if answer.error else "wrong"] += 1

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(worker, count // 20)
    print(f"{answered}; {len(bad.requests)} attempts on the flaky upstream, {len(good.requests)} on the next")
    return answered["whole"] >= 0.999 * sum(answered.values()) and not answered["wrong"]


async def refusal(count: int) -> bool:
    """While the breaker is open: an error within 2 ms at p99, and nothing reaches the upstream."""
    breaker = "[upstreams.a.breaker]\nopen_base = 600.0\nopen_cap = 600.0"
    times: list[float] = []
    async with (
        open_upstream(plays(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")) as bad,
        gateway_process(upstream_toml(bad.url, upstream=breaker)) as (_process, port),
    ):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while b"circuit_open" not in await _exchange(stream):
                pass
        seen = len(bad.requests)
        while len(times) < count:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                for _ in range(_PER_CONNECTION):
                    started = time.perf_counter()
                    refused = await _exchange(stream)
                    times.append(time.perf_counter() - started)
                    assert b"circuit_open" in refused
    print(f"requests that reached the upstream meanwhile: {len(bad.requests) - seen}")
    return told("refusal", times, limit=2e-3) and len(bad.requests) == seen


async def _exchange(stream: trio.SocketStream) -> bytes:
    await stream.send_all(request("What is 2+2?", stream=False))
    heard = b""
    with trio.fail_after(10):
        while not heard.endswith(b"}}"):
            heard += await stream.receive_some(65536)
    return heard


def request(prompt: str, **more: object) -> bytes:
    """A chat request as bytes."""
    body = json.dumps(chat(prompt, **more)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


PHASES = {
    "before the upstream answers": (b"", b"prompt_summary"),
    "while it thinks": (THINKS, b"[Reasoning Summary]"),
    "while it answers": (THINKS + sse_chunk({"content": "</think>Four"}), b"Four"),
}


async def disconnect(count: int) -> bool:
    """The upstream's connection is closed within 5 ms at p99, also with a pipelined request behind."""
    good = True
    for phase, (sent, seen) in PHASES.items():
        for behind in (0, 1):
            times = await _disconnects(count, sent, seen, 1 + behind)
            good &= told(f"{phase}{', one more behind' if behind else ''}", times, limit=5e-3)
    return good


async def _disconnects(count: int, sent: bytes, seen: bytes, requests: int) -> list[float]:
    closed: list[float] = []

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(sent) if sent else None
        await stream.receive_some(1)
        closed.append(time.perf_counter())

    times = []
    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(upstream_toml(upstream.url))) as client,
    ):
        port = client.base_url.port
        assert port
        for number in range(count):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(request("What is 2+2?") * requests)
            heard = b""
            with trio.fail_after(10):
                while seen not in heard or len(upstream.requests) <= number:
                    with trio.move_on_after(0.01):
                        heard += await stream.receive_some(65536)
            left = time.perf_counter()
            await trio.aclose_forcefully(stream)
            await until(lambda number=number: len(closed) > number)
            times.append(closed[-1] - left)
    return times


@asynccontextmanager
async def gateway_process(toml: str) -> AsyncIterator[tuple[trio.Process, int]]:
    """A gateway of its own process and its port. It is killed at the end if it still runs."""
    port = _free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(toml)
        file.flush()
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "trio_gateway", "--config", file.name],
            env={**os.environ, "PORT": str(port)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await _listening(port)
            yield process, port
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def _listening(port: int) -> None:
    with trio.fail_after(10):
        while True:
            try:
                await trio.aclose_forcefully(await trio.open_tcp_stream("127.0.0.1", port))
            except OSError:
                await trio.sleep(0.05)
            else:
                return


def memory_of(pid: int) -> float:
    """Resident memory in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def silent(count: int) -> bool:
    """At most 1 MiB a client, all gone a second after ``write_timeout``; SIGTERM still ends in time."""

    async def pours(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD)
        piece = sse_chunk({"content": "x" * 1000}) * 16
        while True:
            await stream.send_all(piece)

    async def deaf(port: int) -> None:
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.setblocking(False)
            sock = trio.socket.from_stdlib_socket(plain)
            await sock.connect(("127.0.0.1", port))
            await sock.send(request("Pour!"))
            await trio.sleep_forever()

    server = f"write_timeout = {_WRITE_TIMEOUT}\ngraceful_timeout = {_GRACE}"
    async with (
        open_upstream(pours) as upstream,
        gateway_process(upstream_toml(upstream.url, server=server)) as (process, port),
    ):
        before, idle = memory_of(process.pid), sockets_of(process.pid)
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(deaf, port)
            await until(lambda: len(upstream.requests) == count, 10)
            peak, last, started = before, 0.0, trio.current_time()
            while sockets_of(process.pid) > idle and last < 20:
                peak, last = max(peak, memory_of(process.pid)), trio.current_time() - started
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        each = (peak - before) / count
        print(f"{count} clients: {each:.2f} MiB each at most; the last was gone after {last:.1f} s")
        async with trio.open_nursery() as nursery:
            for _ in range(count // 4):
                nursery.start_soon(deaf, port)
            await until(lambda: len(upstream.requests) == count + count // 4, 10)
            asked = trio.current_time()
            process.send_signal(signal.SIGTERM)
            await until(lambda: process.poll() is not None, 10)
            ended = trio.current_time() - asked
            nursery.cancel_scope.cancel()
        print(f"SIGTERM with {count // 4} of them: ended after {ended:.1f} s with code {process.returncode}")
    return each <= 1 and last <= _WRITE_TIMEOUT + 1 and ended <= _GRACE + 1 and not process.returncode


def sockets_of(pid: int) -> int:
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += str(descriptor.readlink()).startswith("socket:")
    return count


async def restarts(seconds: int) -> bool:
    """Nobody hangs, and no answer that was cut looks whole."""
    port = _free_port()
    results: dict[str, int] = {}
    longest = 0.0

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "mock_llm.py", "--port", str(port), "--tokens-per-second", "100"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def judged(answer: Answer, whole: str) -> str:
        if answer.error:
            return str(answer.error["code"]) if answer.done == 1 else "no [DONE]"
        return "whole" if (answer.output, answer.done) == (whole, 1) else "false success"

    async def one(client: Client, whole: str) -> None:
        nonlocal longest
        started = trio.current_time()
        try:
            response = await client.post("/v1/chat/completions", json=chat(), timeout=30)
        except httpx.TimeoutException:
            result = "hung"
        else:
            refused = response.status_code != 200
            result = response.json()["error"]["code"] if refused else judged(Answer(response), whole)
        longest = max(longest, trio.current_time() - started)
        results[result] = results.get(result, 0) + 1

    upstream = start()
    try:
        await _listening(port)
        async with open_gateway(settings(upstream_toml(f"http://127.0.0.1:{port}"))) as client:
            whole = (await ask(client, chat())).output
            async with trio.open_nursery() as nursery:
                for tick in range(seconds * 20):
                    nursery.start_soon(one, client, whole)
                    if tick % 80 == 60:
                        upstream.kill()
                        upstream.wait()
                    elif tick % 80 == 70:
                        upstream = start()
                    await trio.sleep(0.05)
    finally:
        upstream.kill()
        upstream.wait()
    print(f"{results}; the longest took {longest:.1f} s")
    return not {"hung", "no [DONE]", "false success"} & set(results) and results.get("whole", 0) > 0


MEASURES: dict[str, tuple[Callable[[int], Coroutine[None, None, bool]], int]] = {
    "failover": (failover, 5000),
    "refusal": (refusal, 1000),
    "disconnect": (disconnect, 1000),
    "silent": (silent, 200),
    "restarts": (restarts, 300),
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in MEASURES:
        sys.exit(str(__doc__))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    measure, usual = MEASURES[sys.argv[1]]
    sys.exit(not trio.run(measure, int(sys.argv[2]) if len(sys.argv) > 2 else usual))
