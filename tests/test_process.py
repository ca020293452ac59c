"""The gateway as a process: how it starts, what it refuses, how it stops."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.running import HYPERCORN, OWN, run, running, streaming
from tests.support import HEAD, chat, open_mock, open_upstream, plays, sse_chunk
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from pathlib import Path

THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two.\n"})


async def test_sigterm_in_mid_stream_lets_the_stream_finish() -> None:
    async with (
        open_mock(Options(port=0, tokens_per_second=60)) as upstream,
        running(OWN, UPSTREAM_URL=upstream) as gateway,
        streaming(gateway.url, chat()) as response,
    ):
        chunks = response.aiter_bytes()
        text = await anext(chunks)
        gateway.process.send_signal(signal.SIGTERM)
        async for chunk in chunks:
            text += chunk
        assert text.endswith(b"data: [DONE]\n\n")
        assert b'"finish_reason": "stop"' in text
        with trio.fail_after(5):
            assert await gateway.process.wait() == 0
    events = [json.loads(line) for line in gateway.log]
    assert [each["outcome"] for each in events if each["event"] == "request"] == ["ok"]


async def test_a_stream_that_outlasts_the_grace_time_ends_honestly(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    async with open_upstream(plays(THINKS, hold=True)) as upstream:
        config.write_text(f"[server]\ngraceful_timeout = 1.0\n[upstreams.main]\nurl = '{upstream.url}'\n")
        async with (
            running([*OWN, "--config", str(config)]) as gateway,
            streaming(gateway.url, chat()) as response,
        ):
            chunks = response.aiter_bytes()
            text = await anext(chunks)
            gateway.process.send_signal(signal.SIGTERM)
            async for chunk in chunks:
                text += chunk
            assert text.count(b"data: [DONE]") == 1
            assert b'"code": "shutting_down"' in text
            with trio.fail_after(3):
                assert await gateway.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_gateway_stops_at_once(number: int) -> None:
    async with running(OWN) as gateway, httpx.AsyncClient(trust_env=False) as client:
        # An idle keep-alive connection must not hold it.
        assert (await client.get(f"{gateway.url}/health/live")).status_code == 200
        assert await gateway.stop(number, within=2) == 0
    assert [line for line in gateway.log if "Traceback" in line] == []
    assert all(json.loads(line) for line in gateway.log)


async def test_hypercorns_own_command_serves_and_stops_as_well() -> None:
    async with (
        open_mock() as upstream,
        running([*HYPERCORN, "-b", "127.0.0.1:0"], UPSTREAM_URL=upstream) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=10, trust_env=False) as client,
    ):
        response = await client.post("/v1/chat/completions", json=chat())
        assert response.text.endswith("data: [DONE]\n\n")
        assert "server" not in response.headers
        hostile = await trio.open_tcp_stream("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        await hostile.send_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\ngarbage"
        )
        await hostile.receive_some(1000)
        await hostile.aclose()
        assert (await client.get("/health/live")).status_code == 200
        assert await gateway.stop() == 0
    assert [line for line in gateway.log if "Traceback" in line] == []


def test_an_asyncio_worker_is_refused_in_plain_words() -> None:
    done = run([sys.executable, "-m", "hypercorn", "-b", "127.0.0.1:0", "trio_gateway:app"])
    assert "hypercorn -k trio trio_gateway:app" in done.stderr


@pytest.mark.parametrize("command", [OWN, [*HYPERCORN, "-b", "127.0.0.1:0"]], ids=["own", "hypercorn"])
def test_a_bad_configuration_is_one_line_and_exit_2(command: list[str], tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[server]\nprot = 8080\n")
    done = run(command, GATEWAY_CONFIG=str(config))
    assert done.stderr.startswith(f"{config}: unknown key server.prot; ")
    assert done.stderr.count("\n") == 1
    if command == OWN:  # hypercorn's own command ends with 0 whatever its worker ended with
        assert done.returncode == 2


def test_check_config(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text("[server]\nport = 1234\n[models.x]\nhedge_after = 1.0\n")
    done = run([*OWN, "--check-config", "--config", str(good)], HOST="0.0.0.0")
    assert (done.returncode, done.stdout) == (0, "configuration: ok\n")
    assert "no client keys" in done.stderr
    bad = run([*OWN, "--check-config"], PORT="many")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("PORT: ")
    assert bad.stderr.count("\n") == 1


def test_a_busy_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(OWN, PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert re.fullmatch(
        r"cannot listen on 127\.0\.0\.1:\d+: .*; set PORT or HOST to a free address\n", done.stderr
    )


def test_importing_reads_nothing() -> None:
    done = run(
        [sys.executable, "-c", "import trio_gateway; print(trio_gateway.app)"],
        PORT="many",
        GATEWAY_CONFIG="no",
    )
    assert done.returncode == 0, done.stderr
