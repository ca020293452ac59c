"""Upstreams that fail: another try while nothing has been shown, and an honest ending after."""

from __future__ import annotations

import pytest
import trio

from mock_llm import Options

from .support import (
    DONE,
    HEAD,
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

ONCE = "max_attempts = 1"
THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two.\n"})
SPEAKS = THINKS + sse_chunk({"content": "</think>The answer"})
JSON_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"


def status(line: bytes, body: bytes = b"{}", headers: bytes = b"") -> bytes:
    return JSON_HEAD % (line, len(body), headers, body)


def inband(body: bytes) -> bytes:
    return HEAD + b"data: " + body + b"\n\n"


FAULTS: dict[str, tuple[bytes, str | None, int]] = {
    # name: what the upstream sends before it closes, the error's code, its status
    "closes at once": (b"", "upstream_closed", 502),
    "no http": (b"hello\r\n\r\n", "upstream_protocol", 502),
    "500": (status(b"500 Oops"), "upstream_error", 502),
    "503": (status(b"503 Busy", headers=b"Retry-After: 1\r\n"), "upstream_error", 503),
    "429": (status(b"429 Slow down", headers=b"Retry-After: 7\r\n"), "rate_limit_exceeded", 429),
    "401": (status(b"401 Who?"), "upstream_auth", 502),
    "404": (status(b"404 No such model"), "model_not_found", 404),
    "redirect": (status(b"302 There", headers=b"Location: http://127.0.0.1:1/\r\n"), "upstream_error", 502),
    "html": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>",
        "bad_content_type",
        502,
    ),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "empty", 502),
    "unknown encoding": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: br\r\n\r\nxx",
        "bad_content_encoding",
        502,
    ),
    "ends while thinking": (THINKS, "truncated", 502),
    "done before anything": (HEAD + DONE, "upstream_empty", 502),
    "malformed": (THINKS + b"data: {oops\n\n", "upstream_protocol", 502),
    "not an object": (HEAD + b"data: 5\n\n", "upstream_protocol", 502),
    "error event": (inband(b'{"error": {"message": "boom", "code": 500}}'), "upstream_error", 502),
    "error line": (HEAD + b'error: {"message": "boom"}\n\n', "upstream_error", 502),
    "error text": (HEAD + b"event: error\ndata: boom\n\n", "upstream_error", 502),
    "endless line": (HEAD + b"data: " + b"x" * 1_100_000, "line_too_long", 502),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_before_any_output_the_next_upstream_answers_unseen(
    fault: tuple[bytes, str | None, int],
) -> None:
    async with (
        open_upstream(plays(fault[0])) as bad,
        open_upstream(plays(text_answer("<think>Adding.</think>", "4"))) as good,
        open_gateway(settings(upstream_toml(bad.url, good.url, upstream=ONCE))) as client,
    ):
        answer = await ask(client, chat())
    assert (answer.output, answer.finish_reasons, answer.error, answer.done) == ("4", ["stop"], None, 1)
    assert answer.phases[0] == "prompt_summary"
    assert answer.phases[-1] == "final_output"
    assert (len(bad.requests), len(good.requests)) == (1, 1)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("streamed", [True, False])
async def test_without_another_upstream_the_error_is_told(
    fault: tuple[bytes, str | None, int], streamed: bool
) -> None:
    sent, code, http = fault
    async with (
        open_upstream(plays(sent)) as bad,
        open_gateway(settings(upstream_toml(bad.url, upstream=ONCE))) as client,
    ):
        if streamed:
            answer = await ask(client, chat())
            assert answer.error is not None
            told = answer.error
            assert answer.events[-2].event == "error"
            assert answer.objects[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
            assert told["request_id"] == answer.response.headers["x-request-id"]
            assert (told["status"], answer.done, answer.finish_reasons) == (http, 1, ["error"])
        else:
            response = await client.post("/v1/chat/completions", json=chat(stream=False))
            told = response.json()["error"]
            assert (response.status_code, response.headers["x-gateway-attempts"]) == (http, "1")
        metrics = (await client.get("/metrics")).text
    assert told["code"] == code
    assert f'gateway_upstream_errors_total{{class="{code}",upstream="a"}} 1.0' in metrics


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


async def test_after_the_first_output_all_is_delivered_and_then_the_error() -> None:
    async with (
        open_upstream(plays(SPEAKS + sse_chunk({"content": " is"}))) as bad,
        open_upstream(plays(text_answer("never"))) as good,
        open_gateway(settings(upstream_toml(bad.url, good.url))) as client,
    ):
        answer = await ask(client, chat())
    assert answer.output == "The answer is"
    assert answer.error is not None
    assert (answer.error["code"], answer.error["phase"]) == ("truncated", "final_output")
    assert (answer.finish_reasons, answer.done, good.requests) == (["error"], 1, [])


async def test_the_same_upstream_is_tried_again() -> None:
    async with (
        open_upstream(plays(THINKS, text_answer("<think>Once more.</think>", "4"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url))) as client,
    ):
        response = await client.post("/v1/chat/completions", json=chat(stream=False))
    assert response.json()["choices"][0]["message"]["content"] == "4"
    assert response.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize("ending", [b"", b"data: [DO"], ids=["clean end", "cut"])
async def test_a_finish_reason_without_done_is_a_whole_answer(ending: bytes) -> None:
    body = text_answer("4").removesuffix(DONE) + ending
    async with (
        open_upstream(plays(body)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat())
        metrics = (await client.get("/metrics")).text
    assert (answer.output, answer.finish_reasons, answer.done, answer.error) == ("4", ["stop"], 1, None)
    assert 'gateway_missing_done_total{upstream="main"} 1.0' in metrics


async def test_done_without_a_finish_reason_is_a_success_and_none_is_made_up() -> None:
    async with (
        open_upstream(plays(HEAD + sse_chunk({"content": "4"}) + DONE)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat())
    assert (answer.output, answer.finish_reasons, answer.done, answer.error) == ("4", [], 1, None)


@pytest.mark.parametrize("lost", [0, 1, 2], ids=["all there", "one line end lost", "both lost"])
async def test_a_last_event_without_its_blank_line_counts(lost: int) -> None:
    body = text_answer("4").removesuffix(DONE)
    async with (
        open_upstream(plays(body[: len(body) - lost])) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        assert (await ask(client, chat())).finish_reasons == ["stop"]


async def test_a_whole_object_is_made_a_stream() -> None:
    body = (
        b'{"choices": [{"index": 0, "message": {"content": "<think>Hm.</think>4"}, "finish_reason": "stop"}]}'
    )
    async with (
        open_upstream(plays(status(b"200 OK", body))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat())
    assert (answer.output, answer.finish_reasons, answer.done) == ("4", ["stop"], 1)


async def test_nobody_listens() -> None:
    async with open_gateway(settings(UPSTREAM_URL="http://127.0.0.1:9")) as client:
        answer = await ask(client, chat())
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"]) == ("upstream_unreachable", 502)
    assert "127.0.0.1" not in answer.response.text


async def test_tls_on_a_plain_port() -> None:
    async with open_upstream(plays(b"x")) as upstream:
        url = upstream.url.replace("http:", "https:")
        async with open_gateway(settings(upstream_toml(url, upstream=ONCE))) as client:
            answer = await ask(client, chat())
    assert answer.error is not None
    assert answer.error["code"] == "upstream_tls"


TIMEOUTS = "first_event_timeout = 0.15\nidle_timeout = 0.15\nmax_attempts = 1\n"
SILENCES: dict[str, tuple[bytes, str]] = {
    "never answers": (b"", "first_event_timeout"),
    "headers only": (HEAD, "first_event_timeout"),
    "comments only": (HEAD + b": wait\n\n" * 3, "first_event_timeout"),
    "falls silent": (THINKS, "idle_timeout"),
    "falls silent in the answer": (SPEAKS, "idle_timeout"),
}


@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES.keys())
async def test_silence(silence: tuple[bytes, str]) -> None:
    async with (
        open_upstream(plays(silence[0], hold=True)) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=TIMEOUTS))) as client,
    ):
        answer = await ask(client, chat())
        assert upstream.open_connections == 0
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"]) == (silence[1], 504)


async def test_comments_and_drips_do_not_count_as_events() -> None:
    async def drip(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD)
        with trio.CancelScope():
            while True:
                await stream.send_all(b": still here\n")
                await trio.sleep(0.02)

    async with (
        open_upstream(drip) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=TIMEOUTS))) as client,
    ):
        answer = await ask(client, chat())
    assert answer.error is not None
    assert answer.error["code"] == "first_event_timeout"


async def test_the_deadline_of_the_whole_request() -> None:
    async def think(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(THINKS)
        while True:
            await stream.send_all(sse_chunk({"content": "More thoughts about it. "}))
            await trio.sleep(0.02)

    async with (
        open_upstream(think) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, server="request_timeout = 0.3"))) as client,
    ):
        answer = await ask(client, chat())
    assert answer.error is not None
    assert (answer.error["code"], answer.error["phase"]) == ("deadline", "reasoning_summary")
    assert len(upstream.requests) == 1


async def test_done_and_a_socket_that_never_closes() -> None:
    async with (
        open_upstream(plays(text_answer("4"), hold=True)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        with trio.fail_after(1):
            answer = await ask(client, chat())
    assert (answer.output, answer.done, answer.error) == ("4", 1, None)


async def test_an_open_breaker_refuses_at_once_and_says_when_to_come_back() -> None:
    breaker = "max_attempts = 1\n[upstreams.a.breaker]\nconsecutive = 2\n"
    async with (
        open_upstream(plays(status(b"500 Oops"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=breaker))) as client,
    ):
        for _ in range(2):
            assert (await ask(client, chat())).error is not None
        for stream in (True, False):
            response = await client.post("/v1/chat/completions", json=chat(stream=stream))
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "circuit_open"
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
