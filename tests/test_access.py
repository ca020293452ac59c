"""Who comes in, and how much each may have: over HTTP and over WebSocket, with the mock model behind."""

from __future__ import annotations

import re
from contextlib import nullcontext
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import httpx
import pytest
import trio
from structlog.testing import capture_logs
from werkzeug.datastructures import Headers

from tests.support import (
    Client,
    Since,
    ask,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_pair,
    open_upstream,
    plays,
    settings,
    text_answer,
    until,
    within,
)
from tests.websocket.talking import PATH, open_socket
from trio_gateway.core.config import ServerConfig
from trio_gateway.core.errors import RequestError
from trio_gateway.mock import Options
from trio_gateway.server.auth_and_cors import PUBLIC, admit_client
from trio_gateway.server.paths import settled_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quart.wrappers import Request

    from trio_gateway.engine.gateway import Gateway


KEYS = (
    key_line("anna", "metrics")
    + key_line("bert", "models=default,other")
    + key_line("cora", "expires=2020-01-01T00:00:00Z", "metrics")
    + key_line("dora", "expires=2120-01-01T00:00:00Z")
)
TWO_MODELS = "[models.default]\n[models.mock-think]\n"


def routes(client: Client) -> Iterator[tuple[str, str]]:
    """Every method and path that the gateway serves."""
    for rule in client.app.url_map.iter_rules():
        path = re.sub(r"<.*>", "default", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"} or {"GET"}:
            yield method, path


async def test_every_route_is_public_or_asks_for_a_key() -> None:
    async with open_pair(keys=KEYS) as client:
        served = {*routes(client), ("GET", "/nowhere"), ("DELETE", PATH), ("GET", "/healthy")}
        assert {path for _, path in served} > PUBLIC
        # A path is settled before it is looked at: another spelling opens no more, and no less.
        served |= {(method, f"/{path}/") for method, path in served}
        for method, path in served:
            response = await client.request(method, str(client.base_url).rstrip("/") + path)
            assert response.status_code == (200 if settled_path(path) in PUBLIC else 401), (method, path)


WRONG: dict[str, list[tuple[str, str]]] = {
    "none": [],
    "empty": [("Authorization", "")],
    "another": [("Authorization", "Bearer gw-annA")],
    "its digest": [("Authorization", f"Bearer {sha256(b'gw-anna').hexdigest()}")],
    "its name": [("Authorization", "Bearer anna")],
    "not ASCII": [("Authorization", "Bearer gw-ännä")],
    "expired": [("Authorization", "Bearer gw-cora")],
    "bare": [("Authorization", "gw-anna")],
    "another scheme": [("Authorization", "Basic gw-anna")],
    "two": [("Authorization", "Bearer gw-anna"), ("Authorization", "Bearer gw-bert")],
    "the same twice": [("Authorization", "Bearer gw-anna"), ("authorization", "Bearer gw-anna")],
    "joined": [("Authorization", "Bearer gw-anna, Bearer gw-anna")],
    "x-api-key": [("X-Api-Key", "gw-anna")],
    "api-key": [("Api-Key", "gw-anna")],
    "proxy": [("Proxy-Authorization", "Bearer gw-anna")],
    "a cookie": [("Cookie", "key=gw-anna")],
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
async def test_a_wrong_key_is_told_so_and_nothing_else(fields: list[tuple[str, str]]) -> None:
    headers = httpx.Headers([(name.encode(), value.encode("utf-8")) for name, value in fields])
    with capture_logs() as logs:
        async with open_pair(keys=KEYS) as client:
            answers = [
                await client.post(PATH, json=chat(), headers=headers),
                await client.post(PATH, content=b"not JSON", headers=headers),
                await client.post("/openai" + PATH, json=chat(), headers=headers),
                await client.get("/v1/models", headers=headers),
                await client.get("/v1/models?key=gw-anna&api_key=gw-anna", headers=headers),
                await client.get("/v1/models/default", headers=headers),
                await client.get("/metrics", headers=headers),
                await refused_upgrade(client, headers),
            ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["error"]["code"] == "invalid_api_key"
    assert answers[0].json()["error"]["type"] == "authentication_error"
    kept_out = [entry for entry in logs if entry["event"] == "kept_out"]
    assert [entry["error_class"] for entry in kept_out] == ["invalid_api_key"] * len(answers)
    assert {entry["path"] for entry in kept_out} == {answer.url.path for answer in answers}
    told = f"{logs} {[answer.headers for answer in answers]}"
    assert "gw-" not in told


async def refused_upgrade(
    client: Client, headers: httpx.Headers | None = None, *subprotocols: str
) -> httpx.Response:
    """What a WebSocket's opening is answered with, where that is not its upgrade."""
    fields = httpx.Headers(headers)
    fields.update(
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
    )
    if subprotocols:
        fields["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    return await client.get(PATH, headers=fields)


@pytest.mark.parametrize("shown", ["Bearer gw-anna", "bearer gw-anna", "BEARER  gw-anna"])
async def test_a_good_key_comes_in_and_is_named_in_the_log(shown: str) -> None:
    with capture_logs() as logs:
        async with open_pair(keys=KEYS) as client:
            answer = await ask(client, chat(), Authorization=shown)
            models = await client.get("/v1/models", headers={"Authorization": shown})
    assert answer.output == "The answer is 4."
    assert models.status_code == 200
    (request,) = [entry for entry in logs if entry["event"] == "request"]
    assert request["key_id"] == "anna"
    assert "gw-" not in f"{logs}"


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
async def test_who_is_refused_before_the_body_has_come_is_told_that_the_connection_ends(more: str) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n{more}\r\n"
    async with open_pair(keys=KEYS) as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
        async with stream:
            await stream.send_all(head.encode())
            async with within(2):
                answer = b"".join([part async for part in stream])
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in answer


async def test_a_file_without_keys_lets_nobody_in() -> None:
    async with open_pair(keys="# nobody yet\n") as client:
        assert (await client.post(PATH, json=chat(), headers=bearer("anna"))).status_code == 401
        assert (await client.get("/health")).status_code == 200


async def test_without_a_file_everybody_comes_in() -> None:
    with capture_logs() as logs:
        async with open_pair() as client:
            assert (await ask(client, chat(), Authorization="Bearer any")).output
            assert (await client.get("/metrics")).status_code == 200
    assert [entry["key_id"] for entry in logs if entry["event"] == "request"] == [None]


async def test_metrics_are_for_keys_that_may_read_them() -> None:
    async with open_pair(keys=KEYS) as client:
        assert (await client.get("/metrics", headers=bearer("anna"))).status_code == 200
        refused = await client.get("/metrics", headers=bearer("bert"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


async def test_a_key_for_some_models() -> None:
    async with open_pair(TWO_MODELS, keys=KEYS) as client:
        listed = (await client.get("/v1/models", headers=bearer("bert"))).json()["data"]
        assert [model["id"] for model in listed] == ["default"]
        everything = (await client.get("/v1/models", headers=bearer("anna"))).json()["data"]
        assert {model["id"] for model in everything} >= {"default", "mock-think"}
        assert (await client.get("/v1/models/default", headers=bearer("bert"))).status_code == 200
        hidden = await client.get("/v1/models/mock-think", headers=bearer("bert"))
        asked = await client.post(PATH, json=chat(model="mock-think"), headers=bearer("bert"))
        unknown = await client.post(PATH, json=chat(model="unheard-of"), headers=bearer("bert"))
        assert (await ask(client, chat(), **bearer("bert"))).output
        for refused in (hidden, asked, unknown):
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        async with open_socket(client, fields=bearer("bert")) as socket:
            failure = (await socket.ask(chat(model="mock-think"))).error
            assert failure is not None
            assert failure["code"] == "model_not_found"
            assert (await socket.ask(chat())).output


# --- What is forwarded


@pytest.mark.parametrize("way", ["", "pass_through_key = true\n"])
async def test_a_key_of_ours_stays_here_unless_it_is_to_be_passed_on(way: str) -> None:
    async with open_upstream(plays(text_answer("Hi."))) as upstream:
        toml = f'[upstreams.main]\nurl = "{upstream.url}"\n{way}'
        async with open_gateway(settings(toml, keys=KEYS)) as client:
            await ask(client, chat(), **bearer("anna"))
            async with open_socket(client, subprotocols=("key.gw-anna",)) as socket:
                await socket.ask(chat())
        sent = [headers.get("authorization") for headers in upstream.headers]
    assert sent == (["Bearer gw-anna"] * 2 if way else [None, None])
    assert way or "gw-anna" not in f"{upstream.headers} {upstream.requests}"


# --- Limits


async def test_requests_a_minute() -> None:
    async with open_pair(keys=key_line("anna", "rpm=2") + key_line("bert")) as client:
        first, second, third = [
            await client.post(PATH, json=chat(), headers=bearer("anna")) for _ in range(3)
        ]
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert second.headers["x-ratelimit-remaining-requests"] == "0"
        assert re.fullmatch(r"\d+(\.\d+)?s|1m0s", second.headers["x-ratelimit-reset-requests"])
        assert (third.status_code, third.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 1 <= int(third.headers["retry-after"]) <= 30
        assert third.headers["x-ratelimit-remaining-requests"] == "0"
        async with open_socket(client, fields=bearer("anna")) as socket:
            failure = (await socket.ask(chat())).error
            assert failure is not None
            assert (failure["code"], failure["status"]) == ("rate_limit_exceeded", 429)
            assert failure["retry_after"] > 0
        assert (
            "x-ratelimit-limit-requests"
            not in (await client.get("/v1/models", headers=bearer("bert"))).headers
        )
        assert (await ask(client, chat(), **bearer("bert"))).output


async def test_a_body_that_is_refused_costs_a_request_and_no_tokens() -> None:
    async with open_pair(keys=key_line("anna", "rpm=3", "tpm=1000", "models=default")) as client:
        for body in (chat(n=99), chat(model="other")):
            assert (await client.post(PATH, json=body, headers=bearer("anna"))).status_code in {400, 404}
        models = await client.get("/v1/models", headers=bearer("anna"))
    assert models.headers["x-ratelimit-remaining-requests"] == "1"
    assert models.headers["x-ratelimit-remaining-tokens"] == "1000"


async def test_tokens_a_minute_as_the_upstream_counts_them() -> None:
    usage = {"prompt_tokens": 400, "completion_tokens": 500, "total_tokens": 900}
    answer = text_answer("Hi.").replace(
        b"data: [DONE]", b'data: {"choices": [], "usage": %s}\n\ndata: [DONE]'
    )
    answer = answer.replace(b"%s", str(usage).replace("'", '"').encode())
    since = Since()
    async with open_upstream(plays(answer)) as upstream:
        keys = key_line("anna", "tpm=1000")
        async with open_gateway(settings(UPSTREAM_URL=upstream.url, keys=keys)) as client:
            first = await client.post(PATH, json=chat(), headers=bearer("anna"))
            second = await client.post(PATH, json=chat(), headers=bearer("anna"))
            third = await client.post(PATH, json=chat(), headers=bearer("anna"))
    assert first.headers["x-ratelimit-remaining-tokens"] == "997"  # its prompt is reserved
    assert 97 <= int(second.headers["x-ratelimit-remaining-tokens"]) <= 97 + since.gain(1000)
    assert third.status_code == 429
    assert "1000 tokens a minute" in third.json()["error"]["message"]
    assert 40 <= int(third.headers["retry-after"]) <= 49  # 800 of 1000 are missing
    assert third.headers["x-ratelimit-remaining-tokens"] == "0"


async def test_tokens_are_estimated_where_nobody_counts_them() -> None:
    since = Since()
    async with open_upstream(
        plays(text_answer("<think>", "word " * 100, "</think>", "four" * 25))
    ) as upstream:
        keys = key_line("anna", "tpm=100000")
        async with open_gateway(settings(UPSTREAM_URL=upstream.url, keys=keys)) as client:
            await ask(client, chat("c" * 400), **bearer("anna"))
            after = await client.get("/v1/models", headers=bearer("anna"))
    left = int(after.headers["x-ratelimit-remaining-tokens"])
    assert 99750 <= left <= 99750 + since.gain(100_000)  # 400 + 500 + 100 characters


async def test_an_answer_nobody_waited_for_costs_what_had_come() -> None:
    slow, since = Options(port=0, tokens_per_second=2), Since()
    async with open_pair(keys=key_line("anna", "tpm=1000"), options=slow) as client:
        headers = bearer("anna")
        async with client.stream("POST", PATH, json=chat("c" * 2000), headers=headers) as response:
            await anext(response.aiter_bytes())
        await until(lambda: client.app.gateway.active == 0)
        left = await client.get("/v1/models", headers=bearer("anna"))
    assert 490 <= int(left.headers["x-ratelimit-remaining-tokens"]) <= 500 + since.gain(1000)


async def test_requests_at_a_time() -> None:
    slow = Options(port=0, first_token_delay=30)
    async with open_pair(keys=key_line("anna", "concurrent=1"), options=slow) as client:
        async with client.stream("POST", PATH, json=chat(), headers=bearer("anna")):
            refused = await client.post(PATH, json=chat(), headers=bearer("anna"))
        await until(lambda: client.app.gateway.active == 0)
        async with client.stream("POST", PATH, json=chat(), headers=bearer("anna")) as again:
            assert again.status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "1 request at a time" in refused.json()["error"]["message"]


# --- WebSocket


@pytest.mark.parametrize(
    ("fields", "subprotocols", "agreed"),
    [
        (bearer("anna"), (), None),
        ({}, ("key.gw-anna",), "key.gw-anna"),
        ({}, ("chat", "key.gw-anna"), "key.gw-anna"),
    ],
)
async def test_a_socket_shows_its_key(
    fields: dict[str, str], subprotocols: tuple[str, ...], agreed: str | None
) -> None:
    async with (
        open_pair(keys=KEYS) as client,
        open_socket(client, fields=fields, subprotocols=subprotocols) as socket,
    ):
        assert (await socket.ask(chat())).output == "The answer is 4."
        assert socket.connection.subprotocol == agreed


@pytest.mark.parametrize(
    "subprotocols",
    [("chat",), ("key.",), ("key.gw-cora",), ("key.anna",), ("gw-anna",), ("key.gw-anna", "key.gw-bert")],
)
async def test_a_socket_without_a_good_key_is_not_opened(subprotocols: tuple[str, ...]) -> None:
    async with open_pair(keys=KEYS) as client:
        refused = await refused_upgrade(client, None, *subprotocols)
        both = await refused_upgrade(client, httpx.Headers(bearer("anna")), "key.gw-anna")
    assert (refused.status_code, both.status_code) == (401, 401)
    assert "sec-websocket-protocol" not in refused.headers


# --- Names and pages


FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "192.168.1.1:80",
    "0.0.0.0",
    "[::]:80",
    "gateway",
    "laptop.local",
    "gateway.internal",
    "my.localhost",
]
OWN = [
    "localhost",
    "localhost:8080",
    "127.0.0.1",
    "[::1]:8080",
    "host.docker.internal:8080",
    "host.containers.internal",
    "listed:8080",
    "chat.example",
]
LISTED = "[server]\nallowed_hosts = ['listed']\ncors_origins = ['https://chat.example']\n"


@pytest.mark.parametrize("keys", [None, KEYS])
async def test_on_loopback_a_foreign_name_is_not_served(keys: str | None) -> None:
    async with open_pair(LISTED, keys=keys) as client:
        for host in FOREIGN:
            for path in ("/", "/health", "/health/live", "/v1/models", "/metrics", "/nowhere", "/docs"):
                answer = await client.get(path, headers={"Host": host, **bearer("anna")})
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
            message = answer.json()["error"]["message"]
            assert f'"{host}"' in message
            assert "allowed_hosts" in message
            assert "ALLOWED_HOSTS" in message
            posted = await client.post(PATH, json=chat(), headers={"Host": host, **bearer("anna")})
            upgrade = await refused_upgrade(client, httpx.Headers({"Host": host, **bearer("anna")}))
            assert (posted.status_code, upgrade.status_code) == (403, 403)
        for host in OWN:
            served = await client.get("/v1/models", headers={"Host": host, **bearer("anna")})
            assert served.status_code == 200, host


async def test_a_name_that_the_environment_lists_is_served() -> None:
    async with open_pair(LISTED, ALLOWED_HOSTS="one, two.local") as client:
        for host, status in (("one", 200), ("two.local:8080", 200), ("listed", 403), ("three", 403)):
            assert (await client.get("/health", headers={"Host": host})).status_code == status, host


async def test_a_refused_name_is_shown_harmless_and_short() -> None:
    host = "a\u202eb\x9bc\x7f" + "x" * 5000
    async with open_pair() as client:
        answer = await client.get("/health", headers=httpx.Headers([(b"Host", host.encode())]))
    assert answer.status_code in {400, 403}
    if answer.status_code == 403:
        assert "xxx" in answer.json()["error"]["message"]
        assert len(answer.text) < 500
    assert not set("\u202e\x9b\x7f") & set(answer.text)


@pytest.mark.parametrize(
    ("server", "kept_out"),
    [
        (("127.0.0.1", 8080), True),
        (("::1", 8080), True),
        (("10.0.0.1", 8080), False),  # bare hypercorn was told to listen there
        (("/run/gateway.sock", None), False),
        (None, False),
    ],
)
def test_who_came_in_by_another_address_may_use_any_name(server: object, kept_out: bool) -> None:
    gateway = cast("Gateway", SimpleNamespace(config=SimpleNamespace(server=ServerConfig())))
    asked = SimpleNamespace(
        path="/health", headers=Headers({"Host": "evil.example"}), scope={"server": server}
    )
    with pytest.raises(RequestError) if kept_out else nullcontext():
        assert admit_client(gateway, cast("Request", asked)) is None


async def test_where_others_come_in_any_name_will_do() -> None:
    async with open_pair(HOST="0.0.0.0", keys=KEYS) as client:
        assert (await client.get("/health", headers={"Host": "gateway.example"})).status_code == 200


async def test_pages_of_a_listed_origin_may_ask_and_read() -> None:
    async with open_pair(LISTED, keys=KEYS) as client:
        asks = {
            "Origin": "https://chat.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
        }
        preflight = await client.options(PATH, headers=asks)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://chat.example"
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == asks["Access-Control-Request-Headers"]
        assert preflight.headers["vary"] == "Origin"
        page = {"Origin": "https://chat.example"}
        answers = [
            await client.post(PATH, json=chat(), headers={**page, **bearer("anna")}),
            await client.get("/v1/models", headers=page),  # a 401: the page has to learn of it
            await client.get("/nowhere", headers={**page, **bearer("anna")}),
            await client.get("/health", headers=page),
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 200]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "https://chat.example"
        assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
    assert answers[0].text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("toml", ["", LISTED])
async def test_pages_of_other_origins_may_not(toml: str) -> None:
    async with open_pair(toml) as client:
        for origin in ("https://evil.example", "http://chat.example", "null", ""):
            asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            preflight = await client.options(PATH, headers=asks)
            answer = await client.get("/v1/models", headers={"Origin": origin})
            assert preflight.status_code == 405
            for response in (preflight, answer):
                assert not [name for name in response.headers if name.startswith("access-control")]
                assert response.headers.get("vary") == ("Origin" if toml else None)


async def test_an_options_request_that_is_no_preflight_is_none() -> None:
    async with open_pair(LISTED) as client:
        plain = await client.options(PATH, headers={"Origin": "https://chat.example"})
    assert plain.status_code == 405
