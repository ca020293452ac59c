"""The configuration read again: what begins afterwards, what runs on, and whose key is not good any more."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.running import HYPERCORN, OWN, running
from tests.support import (
    HEAD,
    Answer,
    ask,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_mock,
    open_pair,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
    upstream_toml,
)
from tests.websocket.talking import CANCEL, PATH, open_socket
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Client, Script

BEGUN = HEAD + sse_chunk({"content": "<think>So.</think>One, "})
REST = text_answer("two.").removeprefix(HEAD)


def in_two_parts(go_on: trio.Event) -> Script:
    async def script(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(BEGUN)
        await go_on.wait()
        await stream.send_all(REST)

    return script


async def test_what_runs_stays_where_it_is_and_what_begins_goes_to_the_new_upstream() -> None:
    go_on = trio.Event()
    async with (
        open_upstream(in_two_parts(go_on)) as old,
        open_upstream(plays(text_answer("New."))) as new,
        open_gateway(settings(upstream_toml(old.url))) as client,
    ):
        async with client.stream("POST", PATH, json=chat()) as response:
            chunks = response.aiter_bytes()
            text = await anext(chunks)
            while b"One," not in text:
                text += await anext(chunks)
            await client.app.reload(settings(upstream_toml(new.url)))
            assert (await ask(client, chat())).output == "New."
            assert old.open_connections == 1
            go_on.set()
            text += b"".join([chunk async for chunk in chunks])
        answer = Answer(httpx.Response(200, content=text))
        assert (answer.output, answer.finish_reasons, answer.done) == ("One, two.", ["stop"], 1)
        assert (len(old.requests), len(new.requests)) == (1, 1)
        await until(lambda: old.open_connections == 0)
        assert (await client.get("/health")).json()["upstreams"]["a"]["calls"] == 1  # nothing is known of it


async def test_a_stream_that_began_before_still_has_its_other_upstreams() -> None:
    fail = trio.Event()

    async def fails(stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "<think>So.\n"}))
        await fail.wait()

    async with (
        open_upstream(fails) as first,
        open_upstream(plays(text_answer("Spare."))) as spare,
        open_gateway(settings(upstream_toml(first.url, spare.url, upstream="max_attempts = 1"))) as client,
        client.stream("POST", PATH, json=chat()) as response,
    ):
        await until(lambda: len(first.requests) == 1)
        await client.app.reload(settings(upstream_toml(first.url)))
        fail.set()
        answer = Answer(httpx.Response(200, content=await response.aread()))
        assert answer.output == "Spare."
        await until(lambda: spare.open_connections == 0)


async def test_an_upstream_whose_address_stays_keeps_its_health_and_its_load() -> None:
    refuses = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    breaker = "max_attempts = 1\nbreaker = {consecutive = 1}\n"
    async with (
        open_upstream(plays(refuses)) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=breaker))) as client,
    ):
        assert (await ask(client, chat())).error is not None
        more = f"connect_timeout = 2.5\n{breaker}"  # which takes another pool of connections
        await client.app.reload(settings(upstream_toml(upstream.url, upstream=more)))
        assert (await client.get("/health")).json()["upstreams"]["a"]["state"] == "open"
        assert (await client.post(PATH, json=chat())).json()["error"]["code"] == "circuit_open"
        forced = 'breaker = {force = "closed"}\n'
        await client.app.reload(settings(upstream_toml(upstream.url, upstream=forced)))
        assert (await ask(client, chat())).error is not None
    assert len(upstream.requests) == 3  # the last time twice


async def test_requests_that_began_before_count_for_the_limit_of_an_upstream() -> None:
    go_on = trio.Event()
    one = "max_concurrency = 1\n"
    async with (
        open_upstream(in_two_parts(go_on)) as upstream,
        open_gateway(settings(upstream_toml(upstream.url))) as client,
        client.stream("POST", PATH, json=chat()) as response,
    ):
        chunks = response.aiter_bytes()
        await anext(chunks)
        await client.app.reload(settings(upstream_toml(upstream.url, upstream=one)))
        refused = await client.post(PATH, json=chat())
    assert refused.json()["error"]["code"] == "overloaded"


async def test_the_rest_of_the_file_is_taken_up_too() -> None:
    async with open_mock() as url, open_gateway(settings(UPSTREAM_URL=url)) as client:
        await until(lambda: "mock-plain" in str(client.app.gateway.catalogue.entries()))
        toml = "[server]\nstream_format = 'openai'\nmax_body = 200\nallow_unlisted = false\n[models.mine]\n"
        await client.app.reload(settings(toml, UPSTREAM_URL=url))
        listed = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
        assert {"default", "mine", "mock-plain"} <= set(listed)  # the last one as last heard
        assert (await client.post(PATH, json=chat())).headers["content-type"] == "application/json"
        assert (await client.post(PATH, json=chat("x" * 200))).status_code == 413
        assert (await client.post(PATH, json=chat(model="other"))).status_code == 404
        async with open_socket(client) as socket:
            await socket.send(chat("x" * 200))
            assert await socket.closed() == 1009


async def test_the_models_of_a_new_upstream_are_asked_for() -> None:
    async with (
        open_upstream(plays(b"")) as old,
        open_mock() as url,
        open_gateway(settings(UPSTREAM_URL=old.url)) as client,
    ):
        assert "mock-plain" not in str(client.app.gateway.catalogue.entries())
        await client.app.reload(settings(UPSTREAM_URL=url))
        await until(lambda: "mock-plain" in str(client.app.gateway.catalogue.entries()))


# --- Keys


async def revoke(client: Client, keys: str | None) -> None:
    url = client.app.gateway.config.upstreams["main"].url
    await client.app.reload(settings(UPSTREAM_URL=url, keys=keys))


async def test_a_key_that_is_taken_out_opens_nothing_any_more() -> None:
    async with open_pair(keys=key_line("anna") + key_line("bert")) as client:
        await revoke(client, key_line("bert") + key_line("cora"))
        for name, status in (("anna", 401), ("bert", 200), ("cora", 200)):
            assert (await client.get("/v1/models", headers=bearer(name))).status_code == status


async def test_an_idle_socket_ends_with_its_key() -> None:
    async with (
        open_pair(keys=key_line("anna") + key_line("bert")) as client,
        open_socket(client, fields=bearer("anna")) as anna,
        open_socket(client, fields=bearer("bert")) as bert,
    ):
        assert (await anna.ask(chat())).output
        await revoke(client, key_line("bert"))
        assert await anna.closed() == 1008
        assert (await bert.ask(chat())).output


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_busy_socket_ends_after_its_answer(cancelled: bool) -> None:
    slow = Options(port=0, tokens_per_second=60)
    async with (
        open_pair(keys=key_line("anna"), options=slow) as client,
        open_socket(client, fields=bearer("anna")) as socket,
    ):
        await socket.send(chat())
        begun = await socket.until('"phase": "reasoning_summary"')
        await revoke(client, key_line("bert"))
        if cancelled:
            await socket.send(CANCEL)
        answer = await socket.answer(*begun)
        assert (answer.error is None) is not cancelled
        assert cancelled or answer.output == "The answer is 4."
        assert await socket.closed() == 1008


async def test_an_http_stream_runs_to_its_end_though_its_key_is_gone() -> None:
    slow = Options(port=0, tokens_per_second=60)
    async with (
        open_pair(keys=key_line("anna"), options=slow) as client,
        client.stream("POST", PATH, json=chat(), headers=bearer("anna")) as response,
    ):
        chunks = response.aiter_bytes()
        text = await anext(chunks)
        await revoke(client, "")
        text += b"".join([chunk async for chunk in chunks])
    answer = Answer(httpx.Response(200, content=text))
    assert (answer.finish_reasons, answer.done) == (["stop"], 1)


async def test_a_key_made_anew_under_its_old_name_is_another_key() -> None:
    async with (
        open_pair(keys=key_line("anna")) as client,
        open_socket(client, fields=bearer("anna")) as socket,
    ):
        await revoke(client, key_line("cora").replace("cora ", "anna "))
        assert await socket.closed() == 1008
        assert (await client.get("/v1/models", headers=bearer("anna"))).status_code == 401
        assert (await client.get("/v1/models", headers=bearer("cora"))).status_code == 200


async def test_a_key_that_stays_keeps_what_it_has_used() -> None:
    async with open_pair(keys=key_line("anna", "rpm=3")) as client:
        for _ in range(2):
            assert (await ask(client, chat(), **bearer("anna"))).output
        await revoke(client, key_line("anna", "rpm=2"))
        assert (await client.post(PATH, json=chat(), headers=bearer("anna"))).status_code == 429
        await revoke(client, key_line("anna"))
        assert (await ask(client, chat(), **bearer("anna"))).output


async def test_sockets_that_nobody_asked_for_a_key_end_when_keys_are_asked_for() -> None:
    async with open_pair() as client, open_socket(client) as socket:
        await revoke(client, None)
        assert (await socket.ask(chat())).output
        await revoke(client, key_line("anna"))
        assert await socket.closed() == 1008
        await revoke(client, None)
        assert (await ask(client, chat())).output


async def test_a_socket_does_not_outlive_the_end_of_its_key() -> None:
    async with (
        open_pair(keys=key_line("anna", "expires=2120-01-01T00:00:00Z")) as client,
        open_socket(client, fields=bearer("anna")) as socket,
    ):
        assert (await socket.ask(chat())).output
        await revoke(client, key_line("anna", "expires=2020-01-01T00:00:00Z"))
        answer = await socket.ask(chat())
        assert answer.error is not None
        assert answer.error["code"] == "invalid_api_key"
        assert await socket.closed() == 1008


# --- By signal


@pytest.mark.parametrize(
    "command", [OWN, [*HYPERCORN, "-w", "0", "-b", "127.0.0.1:0"]], ids=["own", "hypercorn"]
)
async def test_sighup(command: list[str], tmp_path: Path) -> None:
    config, keys = tmp_path / "gateway.toml", tmp_path / "keys.txt"
    config.write_text("[server]\napi_keys_file = 'keys.txt'\nstream_format = 'openai'\n")
    keys.write_text(key_line("anna"))
    async with (
        running(command, GATEWAY_CONFIG=str(config)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client,
    ):

        async def status(name: str) -> int:
            return (await client.get("/v1/models", headers=bearer(name))).status_code

        def told(event: str) -> list[str]:
            return [entry for entry in gateway.log if f'"event": "{event}"' in entry]

        assert (await status("anna"), await status("bert")) == (200, 401)
        keys.write_text(key_line("anna") + "bert is no digest\n")
        gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: bool(told("reload_refused")))
        assert "keys.txt:2: sha256: expected 64 hexadecimal digits" in told("reload_refused")[0]
        assert (await status("anna"), await status("bert")) == (200, 401)
        keys.write_text(key_line("bert"))
        gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: bool(told("reloaded")))
        assert (await status("anna"), await status("bert")) == (401, 200)
    assert not [entry for entry in gateway.log if "Traceback" in entry]
