"""Routes other than chat: what they say about the gateway, its models and its upstreams."""

from __future__ import annotations

import re
import sys

import pytest
import trio

import trio_gateway
from tests.support import (
    HEAD,
    Json,
    ask,
    chat,
    open_gateway,
    open_pair,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
    upstream_toml,
    within,
)
from trio_gateway import DEFAULT_MODELS, create_app
from trio_gateway.core.config import ConfigError

METRICS = [
    "gen_ai_server_time_to_first_token_seconds",
    "gen_ai_server_time_per_output_token_seconds",
    "gateway_requests_total",
    "gateway_tokens_total",
    "gateway_phase_seconds",
    "gateway_attempts_total",
    "gateway_failovers_total",
    "gateway_upstream_errors_total",
    "gateway_breaker_state",
    "gateway_breaker_calls_total",
    "gateway_breaker_in_flight",
    "gateway_client_disconnects_total",
    "gateway_summary_fallback_total",
    "gateway_active_streams",
]


async def test_health_of_an_idle_gateway() -> None:
    async with open_pair() as client:
        health = (await client.get("/health")).json()
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
    assert health["uptime_s"] >= 0
    main = health["upstreams"]["main"]
    assert (main.pop("reachable"), main.pop("seen_s") is None) in {
        (None, True),
        (True, False),
    }  # it is probed
    assert {**health, "uptime_s": 0} == {
        "status": "ok",
        "version": trio_gateway.__version__,
        "uptime_s": 0,
        "active_streams": 0,
        "upstreams": {
            "main": {
                "state": "closed",
                "generation": 0,
                "failure_rate": 0.0,
                "slow_rate": 0.0,
                "calls": 0,
                "open_until_s": 0.0,
                "probes_in_flight": 0,
                "in_flight": 0,
                "opened_total": 0,
                "last_error_class": None,
            }
        },
    }
    assert (live.status_code, ready.status_code) == (200, 200)


async def test_health_while_one_of_two_upstreams_is_left_alone() -> None:
    breaker = "breaker = {consecutive = 1}"
    async with (
        open_upstream(plays(b"")) as bad,
        open_upstream(plays(text_answer("4"))) as good,
        open_gateway(settings(upstream_toml(bad.url, good.url, upstream=breaker))) as client,
    ):
        await ask(client, chat())
        health = (await client.get("/health")).json()
        assert (await client.get("/health/ready")).status_code == 200
    assert health["status"] == "degraded"
    assert health["upstreams"]["a"]["last_error_class"] == "upstream_closed"
    assert health["upstreams"]["b"]["calls"] == 1


async def test_a_gateway_that_drains_takes_nothing_more() -> None:
    async with open_pair() as client:
        client.app.gateway.drain()
        refused = await client.post("/v1/chat/completions", json=chat())
        health = (await client.get("/health")).json()
        ready = await client.get("/health/ready")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"] == "1"
    assert (health["status"], ready.status_code) == ("draining", 503)


async def test_running_streams_are_counted() -> None:
    async with (
        open_upstream(plays(HEAD + sse_chunk({"content": "4"}), hold=True)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        client.stream("POST", "/v1/chat/completions", json=chat()) as response,
    ):
        chunks = response.aiter_bytes()
        await anext(chunks)
        assert (await client.get("/health")).json()["active_streams"] == 1
        assert "gateway_active_streams 1.0" in (await client.get("/metrics")).text


async def test_a_model_stays_the_same_wherever_and_whenever_it_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By another process that started later, and after a reload, as a client that compares them sees."""
    entries = []
    for start in (1.0, 2e9):
        monkeypatch.setattr("time.time", lambda start=start: start)
        async with open_gateway(settings()) as client:
            entries.append((await client.get("/v1/models/default")).json())
            await client.app.reload(settings())
            entries.append((await client.get("/v1/models/default")).json())
    assert entries == [entries[0]] * 4


async def test_models_configured_and_listed() -> None:
    toml = (
        '[models."qwen/qwen3:8b"]\n[models.others]\nmatch = "^x-"\n[models.default]\nupstream_model = "m"\n'
    )
    async with open_pair(toml) as client:
        await until(lambda: bool(client.app.gateway.backends["main"].traffic.models))
        listed = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/qwen/qwen3:8b")).json()
    ids = [entry["id"] for entry in listed["data"]]
    assert listed["object"] == "list"
    assert ids[:3] == ["qwen/qwen3:8b", "default", "mock-think"]
    assert len(ids) == len(set(ids))
    assert "others" not in ids
    assert one in listed["data"]
    assert one["object"] == "model"
    assert one["owned_by"] == "main"
    assert {entry["created"] for entry in listed["data"]} == {1_735_689_600}
    assert one["capabilities"] == {
        "reasoning": True,
        "streaming": True,
        "tools": True,
        "reasoning_effort": True,
        "family": "qwen3",
        "starts_in_reasoning": False,
    }


async def test_models_while_the_upstream_is_away() -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client, within(1):
        listed = (await client.get("/v1/models")).json()
    assert [entry["id"] for entry in listed["data"]] == ["default"]


async def test_the_only_model_an_upstream_lists_is_what_default_means() -> None:
    seen: list[Json] = []

    async def serve(stream: trio.SocketStream) -> None:
        data = await stream.receive_some(65536)
        if data.startswith(b"GET"):
            body = b'{"object": "list", "data": [{"id": "Qwen/Qwen3-8B"}]}'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            await stream.send_all(head % len(body) + body)
        else:
            while not (match := re.search(rb'"model": "([^"]*)"', data)):
                data += await stream.receive_some(65536)
            seen.append({"model": match[1].decode()})
            await stream.send_all(text_answer("4"))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with open_gateway(settings(UPSTREAM_URL=url)) as client:
            await until(lambda: bool(client.app.gateway.backends["main"].traffic.models))
            await ask(client, chat())
            await ask(client, chat(model="other"))
        nursery.cancel_scope.cancel()
    assert [request["model"] for request in seen] == ["Qwen/Qwen3-8B", "other"]


async def test_every_metric_is_there_and_the_breakers_books_balance() -> None:
    async with open_pair() as client:
        await ask(client, chat(model="mock-think"))
        await ask(client, chat(model="invented-by-the-client"))
        text = (await client.get("/metrics")).text
    assert [
        name for name in METRICS if f"# TYPE {name.removesuffix('_total')}" not in text and name not in text
    ] == []
    assert 'gateway_requests_total{model="other",outcome="ok"} 1.0' in text
    assert "invented" not in text
    calls = {
        name: float(value)
        for name, value in re.findall(r'breaker_calls_total{outcome="(\w+)".*} (\S+)', text)
    }
    assert calls["admitted"] == sum(calls[name] for name in ("success", "failure", "neutral", "stale")) == 2.0


@pytest.mark.parametrize(
    ("given", "taken"), [("abc-1.2_3", True), ("", False), ("a b", False), ("x" * 129, False)]
)
async def test_a_request_is_named(given: str, taken: bool) -> None:
    async with open_pair() as client:
        response = await client.get("/health", headers={"X-Request-Id": given})
    assert (response.headers["x-request-id"] == given) is taken
    assert re.fullmatch(r"[A-Za-z0-9._-]+", response.headers["x-request-id"])


async def test_a_bug_in_a_view_shows_the_client_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_pair() as client:
        monkeypatch.setattr(client.app.gateway, "health", lambda: 1 / 0)
        response = await client.get("/health")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "Zero" not in response.text


async def test_a_warning_is_logged_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_gateway(settings(HOST="0.0.0.0")) as client:
        await client.get("/health")
    assert capsys.readouterr().out.count("no client keys are asked for") == 1


def test_shared_state_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coredis", None)
    monkeypatch.delitem(sys.modules, "trio_gateway.engine.redis_state", raising=False)
    with pytest.raises(ConfigError, match=r"^REDIS_URL: expected .* pip install 'trio-gateway\[redis\]', "):
        create_app(environ={"REDIS_URL": "redis://h"})
    create_app(environ={})


def test_the_face_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trio_gateway.ModelConfig is type(DEFAULT_MODELS["deepseek-r1"])
    with pytest.raises(AttributeError, match="nonsense"):
        _ = trio_gateway.nonsense
    monkeypatch.setenv("PORT", "4321")
    assert create_app().settings.config.server.port == 4321
    monkeypatch.setenv("PORT", "many")
    with pytest.raises(ConfigError):
        create_app()
