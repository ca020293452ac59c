"""Refusals: each is counted once, by the code of the error that its client got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support import (
    bearer,
    chat,
    key_line,
    open_gateway,
    open_upstream,
    plays,
    settings,
    text_answer,
    until,
)
from tests.websocket.talking import PATH, open_socket
from trio_gateway.core.errors import CODES
from trio_gateway.engine.metrics import Metrics

if TYPE_CHECKING:
    import httpx
    from prometheus_client import CollectorRegistry

    from tests.support import Client, Json

KEYS = key_line("alice") + key_line("bob", "models=small") + key_line("carol", "tpm=1")
ALICE = bearer("alice")
JSON = {"Content-Type": "application/json"}
SERVER = "[server]\nmax_body = 2000\nmax_streams = 1\nallow_unlisted = false\n[models.default]\n"
HELD_OPEN = '[upstreams.main]\nurl = "http://127.0.0.1:9"\n[upstreams.main.breaker]\nforce = "open"\n'


class Refused(NamedTuple):
    """What a client sends, and how it is refused."""

    status: int
    reason: str
    headers: dict[str, str] = ALICE
    body: Json | bytes = chat()
    path: str = PATH
    toml: str = SERVER
    state: dict[str, Any] = {}  # noqa: RUF012
    """What is set in the gateway before."""

    async def ask(self, client: Client) -> httpx.Response:
        if self.path != PATH:
            return await client.get(self.path, headers=self.headers)
        if isinstance(self.body, bytes):
            return await client.post(PATH, content=self.body, headers=JSON | self.headers)
        return await client.post(PATH, json=self.body, headers=self.headers)


REFUSED = {
    "no key": Refused(401, "invalid_api_key", {}),
    "no key for the metrics": Refused(401, "invalid_api_key", {}, path="/metrics"),
    "no key, and no such path": Refused(401, "invalid_api_key", {}, path="/nothing"),
    "a key that does not open the metrics": Refused(403, "forbidden", path="/metrics"),
    "a foreign name": Refused(403, "forbidden", {**ALICE, "Host": "evil.example"}),
    "no JSON": Refused(400, "invalid_json", body=b"{"),
    "a form": Refused(415, "unsupported_media_type", ALICE | {"Content-Type": "text/plain"}, b"{}"),
    "a wrong field": Refused(400, "invalid_request", body=chat(n=99)),
    "a large body": Refused(413, "request_too_large", body=chat("x" * 3000)),
    "an unknown model": Refused(404, "model_not_found", body=chat(model="nobody")),
    "a model of others": Refused(404, "model_not_found", bearer("bob")),
    "over a limit": Refused(429, "rate_limit_exceeded", bearer("carol")),
    "no room": Refused(503, "overloaded", state={"active": 1}),
    "at the end": Refused(503, "shutting_down", state={"draining": True}),
    "a breaker held open": Refused(503, "circuit_open", toml=SERVER + HELD_OPEN),
}


def counts(registry: CollectorRegistry) -> dict[str, float]:
    """The refusals counted, by their reason, zeros too."""
    return {
        sample.labels["reason"]: sample.value
        for family in parse(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name == "gateway_refused_total"
    }


def moved(client: Client) -> dict[str, float]:
    """The refusals counted, by their reason."""
    return {reason: count for reason, count in counts(client.app.gateway.metrics.registry).items() if count}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_each_is_counted_by_its_reason(case: Refused) -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(case.toml, keys=KEYS, UPSTREAM_URL=upstream.url)) as client,
    ):
        vars(client.app.gateway).update(case.state)
        answer = await case.ask(client)
        assert answer.status_code == case.status, answer.text
        assert (answer.json()["error"]["code"] or "invalid_request") == case.reason
        await until(lambda: moved(client) != {})
        assert moved(client) == {case.reason: 1.0}
        assert upstream.requests == []


async def test_an_answer_and_a_path_that_is_not_there_are_no_refusals() -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(SERVER, keys=KEYS, UPSTREAM_URL=upstream.url)) as client,
    ):
        assert (await client.post(PATH, json=chat(), headers=ALICE)).status_code == 200
        assert (await client.get("/nothing", headers=ALICE)).status_code == 404
        await until(lambda: client.app.gateway.active == 0)
        assert moved(client) == {}


async def test_over_a_websocket_too() -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(SERVER, UPSTREAM_URL=upstream.url)) as client,
    ):
        async with open_socket(client) as socket:
            assert (await socket.ask("{")).error is not None
            assert (await socket.ask(chat(n=99))).error is not None
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        refused = await client.get(PATH, headers={**upgrade, "Origin": "https://evil.example"})
        assert refused.status_code == 403
        await until(lambda: len(moved(client)) == 3)
        assert moved(client) == {"invalid_json": 1.0, "invalid_request": 1.0, "forbidden": 1.0}


def test_the_reasons_are_few_and_there_from_the_start() -> None:
    metrics = Metrics(dict)
    before = counts(metrics.registry)
    assert set(before) - {"invalid_request", "other"} <= set(CODES)
    assert set(before.values()) == {0.0}
    for code in (None, "not_a_code", "a\nb", *CODES):
        metrics.count_refusal(code)
    after = counts(metrics.registry)
    assert after.keys() == before.keys()
    assert sum(after.values()) == len(CODES) + 3
