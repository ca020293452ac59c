"""A gateway of several processes: what clients get when one ends, and when all are ordered to."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from tests.running import OWN, ROOT, run, running, streaming
from tests.support import bearer, chat, key_line, open_mock, open_upstream, until, upstream_toml
from trio_gateway.__main__ import main
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from tests.running import Process

pytestmark = pytest.mark.processes

SLOW = Options(port=0, tokens_per_second=60)
"""An answer takes about three seconds."""
FAST = Options(port=0, tokens_per_second=0)
ROOM = 15.0
"""Seconds that something may take on a loaded machine."""


def workers(number: int, *options: str) -> list[str]:
    return [*OWN, "--workers", str(number), *options]


def events(gateway: Process, name: str) -> list[dict[str, Any]]:
    return [each for each in map(json.loads, gateway.log) if each["event"] == name]


def pids(gateway: Process) -> list[int]:
    """Of the workers' processes, as the kernel knows them."""
    own = gateway.process.pid
    lists = [each.read_text() for each in Path(f"/proc/{own}/task").glob("*/children")]  # by thread
    return [int(each) for each in " ".join(lists).split()]


def alive(candidates: list[int]) -> bool:
    """Whether any of these processes is there."""
    return any(Path(f"/proc/{pid}").exists() for pid in candidates)


def owner(response: httpx.Response, candidates: list[int]) -> int:
    """Which process holds the gateway's end of the connection."""
    port = response.extensions["network_stream"].get_extra_info("client_addr")[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port:
            target = f"socket:[{fields[9]}]"
            for pid in candidates:
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    if os.readlink(descriptor) == target:
                        return pid
    raise AssertionError(port)


async def get(gateway: Process, path: str, **headers: str) -> httpx.Response:
    """Over a connection of its own, so that any worker may answer."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        return await client.get(path, headers=headers)


async def metrics(gateway: Process) -> dict[str, float]:
    """Every number, by its name and labels."""
    answer = await get(gateway, "/metrics")
    assert answer.status_code == 200, answer.text
    return {
        f"{sample.name}{sorted(sample.labels.items()) or ''}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def until_answering(gateway: Process, number: int) -> float:
    """Wait until so many workers serve; how long that took, in seconds."""
    begun = trio.current_time()
    with trio.fail_after(ROOM):
        while True:
            health = (await get(gateway, "/health")).json()
            if health["workers"] == {"wanted": number, "answering": number}:
                assert health["status"] == "ok"
                return trio.current_time() - begun
            await trio.sleep(0.05)


async def one_each(stack: AsyncExitStack, gateway: Process, number: int) -> dict[int, httpx.AsyncClient]:
    """A client with a connection to each of so many workers, by process."""
    clients: dict[int, httpx.AsyncClient] = {}
    for _ in range(200):
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False)
        )
        async with client.stream("GET", "/health/live") as response:
            pid = owner(response, pids(gateway))
            await response.aread()
        clients.setdefault(pid, client)
        if len(clients) == number:
            return clients
    raise AssertionError(list(clients))


async def begin_on(
    stack: AsyncExitStack, gateway: Process, candidates: list[int], each: int
) -> dict[int, list[httpx.Response]]:
    """Streams that have begun, by process: at least *each* on each of *candidates*."""
    begun: dict[int, list[httpx.Response]] = {pid: [] for pid in candidates}
    for _ in range(200):
        response = await stack.enter_async_context(streaming(gateway.url, chat()))
        begun[owner(response, candidates)].append(response)
        if min(map(len, begun.values())) >= each:
            return begun
    raise AssertionError(begun)


async def rest(response: httpx.Response, texts: list[bytes]) -> None:
    text = b""
    try:
        async for chunk in response.aiter_bytes():
            text += chunk
    except (httpx.ReadError, httpx.RemoteProtocolError):
        pass
    texts.append(text)


def is_whole(text: bytes) -> bool:
    return b'"finish_reason": "stop"' in text and text.endswith(b"data: [DONE]\n\n")


async def ask(gateway: Process, answers: list[str], **headers: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        answer = await client.post("/v1/chat/completions", json=chat(), headers=headers)
        answers.append(answer.text)


async def test_metrics_and_health_are_of_the_whole_whoever_answers() -> None:
    async with open_mock(FAST) as upstream, running(workers(2), UPSTREAM_URL=upstream) as gateway:
        (listening,) = events(gateway, "listening")
        assert listening["workers"] == 2
        first = await metrics(gateway)
        answers: list[str] = []
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(ask, gateway, answers)
        assert len(answers) == 40
        for _ in range(6):
            counted = await metrics(gateway)
            assert counted["gateway_requests_total[('model', 'default'), ('outcome', 'ok')]"] == 40
            assert counted["gateway_attempts_total[('upstream', 'main')]"] == 40
            assert counted["gen_ai_server_time_to_first_token_seconds_count"] == 40
            assert counted["gen_ai_server_time_to_first_token_seconds_bucket[('le', '+Inf')]"] == 40
            assert counted["gateway_phase_seconds_count[('phase', 'final_output')]"] == 40
            assert counted["gateway_tokens_total[('model', 'default'), ('type', 'input')]"] % 40 == 0
            assert counted["gateway_active_streams"] == 0
            assert counted["gateway_breaker_state[('state', 'closed'), ('upstream', 'main')]"] == 1
            assert counted["gateway_breaker_state[('state', 'open'), ('upstream', 'main')]"] == 0
            assert counted["gateway_breaker_calls_total[('outcome', 'success'), ('upstream', 'main')]"] == 40
            health = (await get(gateway, "/health")).json()
            assert health["upstreams"]["main"]["calls"] == 40
            assert (health["status"], health["active_streams"]) == ("ok", 0)
        assert first.keys() <= counted.keys()
        # One is ordered to stop by itself: it is replaced, and what it counted stays.
        one, other = pids(gateway)
        async with AsyncExitStack() as stack:
            begun = await begin_on(stack, gateway, [one, other], 1)
            os.kill(one, signal.SIGTERM)
            texts: list[bytes] = []
            async with trio.open_nursery() as nursery:
                for response in begun[one]:
                    nursery.start_soon(rest, response, texts)
            assert all(map(is_whole, texts))
        await until(lambda: bool(events(gateway, "worker_ended")), ROOM)
        await until_answering(gateway, 2)
        assert one not in pids(gateway)
        after = await metrics(gateway)
        fallen = {name for name, value in counted.items() if after[name] < value}
        assert fallen <= {"gateway_event_loop_lag_seconds"}
        assert events(gateway, "worker_ended")[0]["status"] == "exit 0"
        assert await gateway.stop() == 0
    assert len(events(gateway, "request")) >= 42
    assert [line for line in gateway.log if "Traceback" in line] == []


async def test_a_worker_that_is_killed_ends_its_own_streams_alone_and_is_back() -> None:
    slower = replace(SLOW, tokens_per_second=25)
    async with open_mock(slower) as upstream, running(workers(4), UPSTREAM_URL=upstream) as gateway:
        candidates = pids(gateway)
        assert len(candidates) == 4
        async with AsyncExitStack() as stack:
            begun = await begin_on(stack, gateway, candidates, 2)
            victim = candidates[1]
            before = await metrics(gateway)
            assert 8 <= before["gateway_active_streams"] <= sum(map(len, begun.values()))
            os.kill(victim, signal.SIGKILL)
            cut: list[bytes] = []
            whole: list[bytes] = []
            async with trio.open_nursery() as nursery:
                for pid, responses in begun.items():
                    for response in responses:
                        nursery.start_soon(rest, response, cut if pid == victim else whole)
                await until(lambda: bool(events(gateway, "worker_ended")), ROOM)
                await until_answering(gateway, 4)
        assert len(cut) == len(begun[victim])
        assert not any(b"[DONE]" in text or b'"finish_reason": "stop"' in text for text in cut)
        assert all(map(is_whole, whole))
        after = await metrics(gateway)
        fell = {name for name, value in before.items() if after.get(name, 0) < value}
        assert {name for name in fell if "_total" in name or "_bucket" in name or "_count" in name} == set()
        assert after["gateway_active_streams"] == 0
        assert events(gateway, "worker_ended")[0]["status"] == "SIGKILL"
        assert await gateway.stop() == 0


async def test_sigterm_cuts_no_stream_and_takes_no_connection() -> None:
    texts: list[bytes] = []
    async with open_mock(SLOW) as upstream, running(workers(2), UPSTREAM_URL=upstream) as gateway:
        candidates = pids(gateway)
        async with AsyncExitStack() as stack:
            begun = await begin_on(stack, gateway, candidates, 3)
            gateway.process.send_signal(signal.SIGTERM)
            async with trio.open_nursery() as nursery:
                for response in (each for responses in begun.values() for each in responses):
                    nursery.start_soon(rest, response, texts)
                with trio.fail_after(2):
                    while True:
                        try:
                            await get(gateway, "/health/live")
                        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
                            break
        assert all(map(is_whole, texts))
        with trio.fail_after(5):
            assert await gateway.process.wait() == 0
    assert events(gateway, "worker_ended") == []
    assert not alive(candidates)


async def test_the_configuration_is_read_by_the_parent_for_all(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(key_line("anna", "metrics"))
    async with (
        open_mock(FAST) as upstream,
        running(workers(2), UPSTREAM_URL=upstream, GATEWAY_API_KEYS_FILE=str(keys)) as gateway,
    ):

        async def statuses(name: str) -> set[int]:
            return {(await get(gateway, "/v1/models", **bearer(name))).status_code for _ in range(8)}

        async def reload(event: str, number: int) -> None:
            gateway.process.send_signal(signal.SIGHUP)
            await until(lambda: len(events(gateway, event)) == number, ROOM)

        assert (await statuses("anna"), await statuses("bob")) == ({200}, {401})
        assert {(await get(gateway, "/metrics", **bearer(name))).status_code for name in ("anna", "bob")} == {
            200,
            401,
        }
        keys.write_text(key_line("bob"))
        await reload("reloaded", 1)
        assert (await statuses("anna"), await statuses("bob")) == ({401}, {200})
        keys.write_text("nonsense\n")
        await reload("reload_refused", 1)
        # One that starts now has the settings of the others, not the file.
        (one, _) = pids(gateway)
        os.kill(one, signal.SIGHUP)
        os.kill(one, signal.SIGKILL)
        await until(lambda: bool(events(gateway, "worker_ended")), ROOM)
        await until_answering(gateway, 2)
        assert (await statuses("anna"), await statuses("bob")) == ({401}, {200})
        assert await gateway.stop() == 0
    assert len(events(gateway, "reload_refused")) == 1


async def test_without_their_parent_workers_finish_what_runs() -> None:
    texts: list[bytes] = []
    async with open_mock(SLOW) as upstream, running(workers(2), UPSTREAM_URL=upstream) as gateway:
        candidates = pids(gateway)
        async with AsyncExitStack() as stack:
            begun = await begin_on(stack, gateway, candidates, 1)
            gateway.process.kill()
            async with trio.open_nursery() as nursery:
                for response in (each for responses in begun.values() for each in responses):
                    nursery.start_soon(rest, response, texts)
        assert all(map(is_whole, texts))
        await until(lambda: not alive(candidates))
    assert [line for line in gateway.log if "redis" in line.lower() or "each gateway" in line] == []


async def ask_by(client: httpx.AsyncClient, number: int, **headers: str) -> httpx.Response:
    """One whole answer; each request is unlike the others."""
    body = {**chat(f"Number {number}?"), "stream": False}
    return await client.post("/openai/v1/chat/completions", json=body, headers=headers)


async def test_a_key_has_its_limit_once_whichever_workers_answer(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(key_line("anna", "rpm=20", "metrics"))
    codes: list[int] = []

    async def ask_once(gateway: Process, number: int) -> None:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
            codes.append((await ask_by(client, number, **bearer("anna"))).status_code)

    async with (
        open_mock(FAST) as upstream,
        running(workers(2), UPSTREAM_URL=upstream, GATEWAY_API_KEYS_FILE=str(keys)) as gateway,
    ):
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(ask_once, gateway, number)
        with trio.fail_after(ROOM):  # what one worker held without using it comes back
            while codes.count(200) < 20:
                await ask_once(gateway, len(codes))
        # A worker that starts anew does not begin with a full limit.
        os.kill(pids(gateway)[0], signal.SIGKILL)
        await until(lambda: bool(events(gateway, "worker_ended")), ROOM)
        await until_answering(gateway, 2)
        async with AsyncExitStack() as stack:
            for client in (await one_each(stack, gateway, 2)).values():
                for _ in range(5):
                    codes.append((await ask_by(client, len(codes), **bearer("anna"))).status_code)
        took = trio.current_time() - begun
        page = (await get(gateway, "/metrics", **bearer("anna"))).text
        assert await gateway.stop() == 0
    assert set(codes) == {200, 429}
    assert 20 <= codes.count(200) <= 20 + 3 + took * 20 / 60  # three workers have been there
    assert "gateway_redis_up" not in page
    assert [line for line in gateway.log if "shared_state" in line] == []


async def test_a_breaker_that_opened_at_one_worker_refuses_at_the_other(tmp_path: Path) -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await stream.send_all(
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )

    breaker = "max_attempts = 1\n[upstreams.a.breaker]\nconsecutive = 2\nopen_base = 30.0\n"
    config = tmp_path / "gateway.toml"
    async with open_upstream(script) as upstream, AsyncExitStack() as stack:
        config.write_text(upstream_toml(upstream.url, upstream=breaker))
        gateway = await stack.enter_async_context(running(workers(2, "--config", str(config))))
        one, other = (await one_each(stack, gateway, 2)).values()
        for number in range(2):
            assert (await ask_by(one, number)).status_code >= 500
        await until(lambda: len(events(gateway, "breaker_changed")) == 2)
        refused = await ask_by(other, 2)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "circuit_open")
        assert len(upstream.requests) == 2
        assert [each["reason"] for each in events(gateway, "breaker_changed")] == [
            "consecutive",
            "shared_open",
        ]


@pytest.mark.parametrize(
    ("command", "number"),
    [(OWN, signal.SIGTERM), (OWN, signal.SIGHUP), (workers(2), signal.SIGHUP)],
    ids=["one SIGTERM", "one SIGHUP", "two SIGHUP"],
)
async def test_a_signal_right_after_it_listens_is_handled(command: list[str], number: int) -> None:
    async with running(command) as gateway:
        gateway.process.send_signal(number)
        assert await gateway.stop(within=ROOM) == 0
    assert len(events(gateway, "listening")) == 1


REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 46\r\n\r\n{"messages":[{"role":"user","content":"Hi."}]}'
)


@pytest.mark.parametrize("command", [OWN, workers(2)], ids=["one", "two"])
async def test_whoever_has_connected_before_sigterm_gets_an_answer(command: list[str]) -> None:
    heads: list[bytes] = []

    async def read(stream: trio.SocketStream) -> None:
        heads.append(await stream.receive_some(12))

    async with (
        open_mock(FAST) as upstream,
        running(command, UPSTREAM_URL=upstream) as gateway,
        AsyncExitStack() as stack,
    ):
        port = int(gateway.url.rpartition(":")[2])
        early = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
        streams = [early]
        for _ in range(20):
            streams.append(await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port)))
            await streams[-1].send_all(REQUEST)
        gateway.process.send_signal(signal.SIGTERM)
        await early.send_all(REQUEST)
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(read, stream)
        await until(lambda: len(heads) == len(streams))
        assert set(heads) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        for stream in streams:
            await stream.aclose()
        with trio.fail_after(ROOM):
            assert await gateway.process.wait() == 0


BROKEN = """
import os, sys
if "trio_gateway.server.workers.worker_process" in sys.orig_argv:
    print('{"event": "broken"}', file=sys.stderr, flush=True)
    os._exit(7)
"""


def test_workers_that_do_not_start_end_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    done = run(workers(2), PORT="0", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    *lines, last = done.stderr.splitlines()
    assert re.fullmatch(r"a worker ended 5 times in a row while it started: .*", last)
    started = sum(json.loads(line)["event"] == "broken" for line in lines)
    assert 5 <= started <= 10
    assert {each["status"] for each in map(json.loads, lines) if each["event"] == "worker_ended"} == {
        "exit 7"
    }


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "129", "", "9" * 5000, "²"])
def test_a_number_of_workers_that_is_none(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--workers={value}"])
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "argument --workers: expected a whole number from 1 to 128, found " in text
    assert len(text) < 1000


@pytest.mark.parametrize("options", [["--workers", "2"], ["serve", "--workers", "2"]])
def test_mistakes_of_the_configuration_are_told_once(options: list[str], tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[server]\nprot = 8080\n")
    done = run([*OWN, *options], GATEWAY_CONFIG=str(config))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{config}: unknown key server.prot; ")
    assert done.stderr.count("\n") == 1
    good = run([*OWN, *options, "--check-config"])
    assert (good.returncode, good.stdout, good.stderr) == (0, "configuration: ok\n", "")


async def test_where_others_are_silent_the_last_numbers_count_and_health_is_of_one() -> None:
    answers: list[str] = []
    async with open_mock(FAST) as upstream, running(workers(2), UPSTREAM_URL=upstream) as gateway:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask, gateway, answers)
        counted = await metrics(gateway)
        async with AsyncExitStack() as stack:
            # As new connections are for whichever is awake.
            clients = await one_each(stack, gateway, 2)
            silent, awake = clients
            os.kill(silent, signal.SIGSTOP)
            page = (await clients[awake].get("/metrics")).text
            assert 'gateway_requests_total{model="default",outcome="ok"} 10.0' in page
            assert counted["gateway_requests_total[('model', 'default'), ('outcome', 'ok')]"] == 10
            health = (await clients[awake].get("/health")).json()
            assert (health["status"], health["workers"]) == ("degraded", {"wanted": 2, "answering": 1})
            gateway.process.send_signal(signal.SIGSTOP)
            refused = await clients[awake].get("/metrics")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            alone = await clients[awake].get("/health")
            assert (alone.status_code, alone.json()["status"]) == (200, "ok")
            assert "workers" not in alone.json()
            os.kill(silent, signal.SIGCONT)
            gateway.process.send_signal(signal.SIGCONT)
            await until_answering(gateway, 2)
        assert await gateway.stop() == 0
    assert len({each["worker"] for each in events(gateway, "worker_silent")}) == 1
