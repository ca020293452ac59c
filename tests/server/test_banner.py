"""The banner of a terminal: where the gateway is, which upstreams answer, and what "default" means."""

from __future__ import annotations

import os
import pty
import re
from functools import partial

import trio

from tests.running import OWN, ROOT
from tests.support import key_line, open_gateway, open_mock, settings, until, upstream_toml
from trio_gateway.server.banner import banner_lines


async def test_what_it_says_of_upstreams() -> None:
    async with open_mock() as url:
        toml = upstream_toml(url, "http://127.0.0.1:1")
        async with open_gateway(settings(toml, keys=key_line("anna"))) as client:
            backends = client.app.gateway.backends
            await until(lambda: all(each.traffic.seen.is_set() for each in backends.values()))
            lines = [*banner_lines(client.app.gateway, "http://here")]
    assert lines[1:3] == ["  page      http://here/", "  API       http://here/docs"]
    assert re.fullmatch(rf"  upstream  a: {url}/v1 answers, and lists \d+ models", lines[3])
    assert lines[4] == '            "default" is default there'
    assert lines[5] == "  upstream  b: http://127.0.0.1:1/v1 does not answer: connection refused"
    assert lines[-1] == "  keys      asked for"
    assert "gw-" not in "".join(lines)


async def test_what_default_means() -> None:
    async with open_gateway(settings()) as client:
        traffic = client.app.gateway.backends["main"].traffic
        lines = partial(banner_lines, client.app.gateway, "http://here")
        traffic.standing.note_event(trio.current_time())
        traffic.models = ("qwen3:8b", "llama3:8b")
        unmapped = '"default" is not mapped: set UPSTREAM_MODEL to one of qwen3:8b, llama3:8b'
        assert f"            {unmapped}" in lines()
        traffic.models = ("qwen3:8b",)
        assert '            "default" is qwen3:8b there' in lines()
        traffic.standing.reachable = None
        assert "  upstream  main: http://localhost:9000/v1 has not answered yet" in lines()


async def test_it_stands_on_a_terminal_alone() -> None:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environ = {**clean, "PORT": "0", "UPSTREAM_URL": "http://127.0.0.1:1"}
    reading, writing = pty.openpty()
    try:
        process = await trio.lowlevel.open_process(OWN, stderr=writing, cwd=ROOT, env=environ)
        shown = ""
        with trio.fail_after(20):
            while "keys      not asked for" not in shown:
                shown += (
                    await trio.to_thread.run_sync(os.read, reading, 4096, abandon_on_cancel=True)
                ).decode()
        process.terminate()
        with trio.fail_after(5):
            assert await process.wait() == 0
    finally:
        os.close(writing)
        os.close(reading)
    assert re.search(r"page +http://127\.0\.0\.1:\d+/\r\n", shown)
    assert "connection refused" in shown
    assert '{"' not in shown
