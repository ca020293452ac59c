"""Upstreams that fail: the words they are quoted with, the way through them, and breakers that open.

What each single fault leads to is told by the table in :mod:`tests.faults`.
"""

from __future__ import annotations

import re

import trio

from tests.speaking import SPEAKS, THINKS, status
from tests.support import (
    DONE,
    Answer,
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
)
from trio_gateway.mock import Options


async def test_a_mistake_of_the_clients_is_passed_on_and_not_tried_again() -> None:
    body = b'{"error": {"message": "top_p must be < 1", "type": "invalid_request_error", "param": "top_p", "code": "x"}}'
    async with (
        open_upstream(plays(status(b"400 Bad", body))) as bad,
        open_upstream(plays(text_answer("4"))) as good,
        open_gateway(settings(upstream_toml(bad.url, good.url))) as client,
    ):
        answer = await ask(client, chat(top_p=2))
        health = (await client.get("/health")).json()
    assert answer.error is not None
    assert {key: answer.error[key] for key in ("message", "type", "param", "code", "status")} == {
        "message": "top_p must be < 1",
        "type": "invalid_request_error",
        "param": "top_p",
        "code": "x",
        "status": 400,
    }
    assert (len(bad.requests), len(good.requests)) == (1, 0)
    assert health["upstreams"]["a"]["calls"] == 0


async def test_the_same_upstream_is_tried_again() -> None:
    async with (
        open_upstream(plays(THINKS, text_answer("<think>Once more.</think>", "4"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url))) as client,
    ):
        response = await client.post("/v1/chat/completions", json=chat(stream=False))
    assert response.json()["choices"][0]["message"]["content"] == "4"
    assert response.headers["x-gateway-attempts"] == "2"


async def test_an_open_breaker_refuses_at_once_and_says_when_to_come_back() -> None:
    breaker = "max_attempts = 1\n[upstreams.a.breaker]\nconsecutive = 2\n"
    async with (
        open_upstream(plays(status(b"500 Oops"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=breaker))) as client,
    ):
        for prompt in ("one", "two"):
            assert (await ask(client, chat(prompt))).error is not None
        for stream in (True, False):
            response = await client.post("/v1/chat/completions", json=chat(stream=stream))
            assert response.status_code == 503
            error = response.json()["error"]
            assert error["code"] == "circuit_open"
            assert re.fullmatch(
                r'Upstream "a" is paused for [456] s after 2 failures in a row; the last: status 500\.',
                error["message"],
            )
            assert 1 <= int(response.headers["retry-after"]) <= 6
        health = (await client.get("/health")).json()
        ready = await client.get("/health/ready")
        metrics = (await client.get("/metrics")).text
    assert len(upstream.requests) == 2
    assert health["status"] == "unavailable"
    assert (health["upstreams"]["a"]["state"], health["upstreams"]["a"]["opened_total"]) == ("open", 1)
    assert ready.status_code == 503
    assert 'gateway_breaker_state{state="open",upstream="a"} 1.0' in metrics


async def test_a_trip_frees_those_who_wait_and_lets_streams_flow() -> None:
    flowing, go_on = trio.Event(), trio.Event()

    async def script(stream: trio.SocketStream, number: int) -> None:
        if number == 0:  # a stream that flows
            await stream.send_all(SPEAKS)
            flowing.set()
            await go_on.wait()
            await stream.send_all(sse_chunk({"content": " is 4."}, finish="stop") + DONE)
        elif number == 1:  # a request that waits for its first event
            await stream.receive_some(1)
        else:
            await stream.send_all(status(b"500 Oops"))

    breaker = "max_attempts = 1\n[upstreams.a.breaker]\nconsecutive = 1\n"
    answers: dict[str, Answer] = {}
    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=breaker))) as client,
    ):

        async def keep(name: str) -> None:
            answers[name] = await ask(client, chat())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep, "flowing")
            await flowing.wait()
            nursery.start_soon(keep, "waiting")
            await until(lambda: len(upstream.requests) == 2)
            await keep("cause")
            await until(lambda: "waiting" in answers, 1)
            go_on.set()
    codes = [error["code"] for name in ("waiting", "cause") if (error := answers[name].error)]
    assert codes == ["circuit_open", "upstream_error"]
    assert answers["waiting"].error is not None
    message = 'Upstream "a" is paused after 1 failure in a row; the last: status 500.'
    assert answers["waiting"].error["message"] == message
    assert answers["flowing"].output == "The answer is 4."


async def test_one_probe_at_the_half_open_instant() -> None:
    async def script(stream: trio.SocketStream, number: int) -> None:
        if number == 0:
            await stream.send_all(status(b"500 Oops"))
        else:
            await others_refused.wait()
            await stream.send_all(text_answer("4"))

    breaker = "max_attempts = 1\n[upstreams.a.breaker]\nconsecutive = 1\nopen_base = 0.1\nopen_cap = 0.1\njitter = 0.0\n"
    statuses: list[int] = []
    others_refused = trio.Event()
    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=breaker))) as client,
    ):
        await ask(client, chat())
        await trio.sleep(0.15)

        async def one() -> None:
            response = await client.post("/v1/chat/completions", json=chat())
            statuses.append(response.status_code)
            if len(statuses) == 19:
                others_refused.set()

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
    assert sorted(statuses) == [200] + [503] * 19
    assert len(upstream.requests) == 2


async def test_a_busy_gateway_and_a_busy_upstream_shed() -> None:
    for toml, where in [
        ("[server]\nmax_streams = 1\n[upstreams.a]\nurl = '{}'\n", "gateway"),
        ("[upstreams.a]\nurl = '{}'\nmax_concurrency = 1\n", "upstream"),
    ]:
        async with (
            open_upstream(plays(SPEAKS, hold=True)) as upstream,
            open_gateway(settings(toml.format(upstream.url))) as client,
            client.stream("POST", "/v1/chat/completions", json=chat()) as running,
        ):
            chunks = running.aiter_bytes()
            await anext(chunks)
            response = await client.post("/v1/chat/completions", json=chat())
            assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded"), where
            assert response.headers["retry-after"] == "1"


async def test_the_mocks_faults() -> None:
    expected = {
        "fault-cut-40": None,
        "fault-malformed": "upstream_protocol",
        "fault-500": "upstream_error",
        "fault-429": "rate_limit_exceeded",  # last: the pause it asks for holds back what follows
    }
    toml = "[upstreams.main]\nurl = 'URL'\nmax_attempts = 1\n[upstreams.main.breaker]\nconsecutive = 0\n"
    async with open_pair(
        toml.replace("URL", "http://localhost:9000"), options=Options(port=0, tokens_per_second=0)
    ) as client:
        for model, code in expected.items():
            answer = await ask(client, chat(model=model))
            assert answer.error is not None, model
            assert (answer.error["code"], answer.done) == (code or "truncated", 1)


async def test_an_answer_in_one_piece_holds_the_reasoning_of_its_own_attempt_alone() -> None:
    async with (
        open_upstream(plays(THINKS, text_answer("<think>Again.</think>", "4"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url))) as client,
    ):
        body = chat(stream=False, gateway={"reasoning": "raw"})
        message = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("4", "Again.")
    assert len(upstream.requests) == 2
