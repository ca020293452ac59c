"""The stream over a WebSocket: what SSE says, frame for event, and one request after the other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from tests.support import (
    DONE,
    HEAD,
    Client,
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
)
from tests.websocket.talking import CANCEL, PATH, TEXT, as_sse, frame, open_raw, open_socket, opening, port_of
from trio_gateway.core.events import OutputDelta

if TYPE_CHECKING:
    import httpx

    from trio_gateway.engine.outbox import Sink

OPENAI = "/openai" + PATH
THOUGHT = "<think>First I add two and two.\n"  # one line: how many are told at a time is a matter of time
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANSWERS: dict[str, bytes] = {
    "usual": text_answer(THOUGHT, "</think>The answer", " is 4."),
    "foreign and hostile text": text_answer(
        THOUGHT, '</think>é\u2028漢🎉\x00\x0b"[DONE]"\n\ndata: [DONE]\n\n{"event": "error"}'
    ),
    "half a character": text_answer("half", "\ud83d", "half"),
    "reasoning in its own field": HEAD
    + sse_chunk({"reasoning_content": "Adding two and two. "})
    + sse_chunk({"content": "4"}, finish="stop")
    + DONE,
    "tool calls": HEAD + sse_chunk({"tool_calls": [CALL]}) + sse_chunk(finish="tool_calls") + DONE,
    "token counts": HEAD
    + sse_chunk({"content": "4"}, finish="stop")
    + sse_chunk({}, usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    + DONE,
    "an error": HEAD + sse_chunk({"content": THOUGHT + "</think>The"}) + b"data: oops\n\n",
    "nothing": HEAD + DONE,
}


def same(text: str) -> str:
    """*text* without what differs from answer to answer."""
    text = re.sub(r"chatcmpl-\w+", "chatcmpl-x", text)
    text = re.sub(r'"created": \d+', '"created": 0', text)
    return re.sub(r'"request_id": "[^"]+"', '"request_id": "x"', text)


@pytest.mark.parametrize("path", [PATH, OPENAI])
@pytest.mark.parametrize("sent", ANSWERS.values(), ids=ANSWERS.keys())
async def test_it_says_what_sse_says(sent: bytes, path: str) -> None:
    body = chat(stream=True, stream_options={"include_usage": True}, gateway={"reasoning": "both"})
    async with (
        open_upstream(plays(sent)) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream="max_attempts = 1"))) as client,
        open_socket(client, path) as socket,
    ):
        response = await client.post(path, json=body)
        answer = await socket.ask(body)
    if response.status_code == 200:
        wanted = response.text.replace(": ping\n\n", "")
    else:  # in the format openai an answer that fails before it begins has a status
        assert answer.error is not None
        assert answer.error["status"] == response.status_code
        wanted = answer.response.text
    assert same(answer.response.text) == same(wanted)
    assert answer.done == 1


@pytest.mark.parametrize(
    "model", ["mock-think", "mock-field", "mock-harmony", "mock-prose", "mock-plain", "mock-tools"]
)
async def test_it_says_what_sse_says_of_every_kind_of_model(model: str) -> None:
    async with open_pair() as client, open_socket(client) as socket:
        body = chat(model=model, gateway={"reasoning": "raw"})
        response = await client.post(PATH, json=body)
        answer = await socket.ask(body)
    assert same(answer.response.text) == same(response.text)


async def test_a_frame_letter_by_letter() -> None:
    async with open_pair() as client, open_socket(client) as socket:
        await socket.send(chat())
        frames = await socket.until("[DONE]")
    assert frames[0] == '{"event": "phase", "data": {"phase": "prompt_summary"}}'
    assert frames[1].startswith('{"event": "message", "data": {"id": "chatcmpl-')
    assert frames[-1] == '{"event": "message", "data": "[DONE]"}'
    assert b'\n\nevent: phase\ndata: {"phase": "final_output"}\n\ndata: ' in as_sse(frames)


@pytest.mark.parametrize(
    ("path", "header", "body", "default", "chosen"),
    [
        (PATH, None, None, "phases", "phases"),
        (PATH, None, None, "openai", "openai"),
        (PATH, None, "openai", "phases", "openai"),
        (PATH, "openai", "phases", "phases", "openai"),
        (PATH, "phases", "openai", "openai", "phases"),
        (OPENAI, "phases", "phases", "phases", "openai"),
    ],
)
async def test_the_format_is_chosen_as_over_http(
    path: str, header: str | None, body: str | None, default: str, chosen: str
) -> None:
    asked = chat() if body is None else chat(gateway={"format": body})
    fields = None if header is None else {"X-Stream-Format": header}
    async with (
        open_pair(f'[server]\nstream_format = "{default}"\n') as client,
        open_socket(client, path, fields=fields) as socket,
    ):
        answer = await socket.ask(asked)
        broken = await socket.ask("{")
    assert ({each.event for each in answer.events} == {"message"}) is (chosen == "openai")
    fixed = path == OPENAI or header is not None
    assert socket.headers.get("x-stream-format") == (chosen if fixed else None)
    named = "error" in {each.event for each in broken.events}
    assert named is ((chosen if fixed else default) == "phases")


async def test_stream_is_ignored() -> None:
    async with open_pair() as client, open_socket(client) as socket:
        answers = [await socket.ask(chat(stream=stream)) for stream in (False, True, None)]
    assert [answer.output for answer in answers] == ["The answer is 4."] * 3


async def test_one_request_after_the_other() -> None:
    with capture_logs() as log:
        async with open_pair() as client, open_socket(client, fields={"X-Request-Id": "abc"}) as socket:
            answers = [await socket.ask(chat()) for _ in range(3)]
            await until(lambda: client.app.gateway.active == 0)
            metrics = (await client.get("/metrics")).text
    assert [answer.output for answer in answers] == ["The answer is 4."] * 3
    assert len({answer.objects[-1]["id"] for answer in answers}) == 3
    assert socket.headers["x-request-id"] == "abc"
    lines = [each for each in log if each["event"] == "request"]
    assert [(each["request_id"], each["outcome"]) for each in lines] == [
        ("abc-1", "ok"),
        ("abc-2", "ok"),
        ("abc-3", "ok"),
    ]
    assert 'gateway_requests_total{model="default",outcome="ok"} 3.0' in metrics


async def test_the_next_request_may_come_while_the_last_upstream_lingers() -> None:
    sent = text_answer("4").replace(b"Connection: close", b"Transfer-Encoding: chunked")
    head, _, body = sent.partition(b"\r\n\r\n")
    lingers = head + b"\r\n\r\n%x\r\n%b\r\n" % (len(body), body)  # and the last chunk does not come
    async with (
        open_upstream(plays(lingers, hold=True)) as upstream,
        open_gateway(settings("[server]\nmax_streams = 1\n", UPSTREAM_URL=upstream.url)) as client,
        open_socket(client) as socket,
    ):
        answers = [await socket.ask(chat()) for _ in range(3)]
    assert [(answer.output, answer.error) for answer in answers] == [("4", None)] * 3


# Requests that are refused

BAD: dict[str, tuple[str, int, str | None]] = {
    "nothing": ("", 400, "invalid_json"),
    "no JSON": ("{", 400, "invalid_json"),
    "a list": ("[]", 400, None),
    "an empty object": ("{}", 400, None),
    "some other type": ('{"type": "ping"}', 400, None),
    "a doubled key": ('{"messages": [], "messages": []}', 400, "invalid_json"),
    "depth": ("[" * 100_000, 400, "invalid_json"),
    "too many values": ('{"x": [' + "1," * 100_000 + "1]}", 400, "too_many_values"),
    "large, and no JSON": ('{"x": "' + "y" * 300_000 + '", "z": NaN}', 400, "invalid_json"),
    "another host": (json.dumps(chat(base_url="http://evil")), 400, None),
    "no such model": (json.dumps(chat(model="none")), 404, "model_not_found"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_request_that_is_refused_leaves_the_socket_open(bad: tuple[str, int, str | None]) -> None:
    sent, http, code = bad
    with capture_logs() as log:
        async with open_pair("[server]\nallow_unlisted = false\n") as client, open_socket(client) as socket:
            answer = await socket.ask(sent)
            again = await socket.ask(chat())
            response = await client.post(PATH, content=sent, headers={"Content-Type": "application/json"})
    assert [each.event for each in answer.events] == ["error", "message"]
    (told,) = answer.objects
    assert list(told) == ["error", "id", "object", "created", "model", "choices"]
    assert told["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
    over_http = response.json()["error"]
    more = {"status": http, "phase": "prompt_summary", "request_id": f"{socket.headers['x-request-id']}-1"}
    assert told["error"] == {**over_http, **more}
    assert (over_http["code"], response.status_code) == (code, http)
    assert again.output == "The answer is 4."
    first = next(each for each in log if each["event"] == "request")
    assert (first["outcome"], first["error_class"]) == ("refused", code)


async def test_an_open_breaker_is_told_with_the_time_to_come_back() -> None:
    refuses = b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with (
        open_upstream(plays(refuses)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_socket(client) as socket,
    ):
        first, second = await socket.ask(chat()), await socket.ask(chat())
    assert first.error is not None
    assert second.error is not None
    assert (first.error["code"], first.error["status"]) == ("upstream_auth", 502)
    assert (second.error["code"], second.error["status"]) == ("circuit_open", 503)
    assert 1 <= second.error["retry_after"] <= 60


# A second request, and the word to stop


async def test_a_second_request_is_refused_and_the_running_one_goes_on() -> None:
    go_on = trio.Event()

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "The"}))
        await go_on.wait()
        await stream.send_all(sse_chunk({"content": " answer"}, finish="stop") + DONE)

    with capture_logs() as log:
        async with (
            open_upstream(script) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
            open_socket(client) as socket,
        ):
            await socket.send(chat())
            before = await socket.until('"The"')
            for bad in (chat(), "{", '{"type": "ping"}'):
                await socket.send(bad)
                refused = json.loads(await socket.frame())
                assert (refused["event"], list(refused["data"])) == ("error", ["error"])
                error = refused["data"]["error"]
                assert (error["code"], error["status"], error["param"]) == ("request_in_progress", 409, None)
                assert error["type"] == "invalid_request_error"
            go_on.set()
            answer = await socket.answer(*before)
            assert (await socket.ask(chat())).output == "The answer"
    assert (answer.output, answer.finish_reasons, answer.done) == ("The answer", ["stop"], 1)
    lines = [(each["outcome"], each["error_class"]) for each in log if each["event"] == "request"]
    assert lines == [*[("refused", "request_in_progress")] * 3, ("ok", None), ("ok", None)]


THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two. Then I check it again.\n"})
STOPPED: dict[str, tuple[bytes, str, str]] = {
    # when: what the upstream has sent by then, what the client has seen, the phase that is told
    "prompt summary": (b"", "[Prompt Summary]", "prompt_summary"),
    "reasoning": (THINKS, "[Reasoning Summary]", "reasoning_summary"),
    "output": (THINKS + sse_chunk({"content": "</think>The"}), '"The"', "final_output"),
}


@pytest.mark.parametrize("when", STOPPED.values(), ids=STOPPED.keys())
@pytest.mark.parametrize("path", [PATH, OPENAI])
async def test_a_request_is_taken_back(when: tuple[bytes, str, str], path: str) -> None:
    sent, mark, phase = when
    with capture_logs() as log:
        async with (
            open_upstream(plays(sent, hold=True)) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
            open_socket(client, path) as socket,
        ):
            for _ in range(2):
                await socket.send(chat())
                before = await socket.until(mark)
                await until(lambda: upstream.open_connections == 1)
                await socket.send(CANCEL)
                answer = await socket.answer(*before)
                await until(lambda: upstream.open_connections == 0, 0.05)
                assert answer.error is not None
                assert (answer.error["code"], answer.error["status"]) == ("cancelled", 499)
                assert (answer.error["phase"], answer.done, answer.finish_reasons) == (phase, 1, ["error"])
            await until(lambda: client.app.gateway.active == 0)
            snapshot = client.app.gateway.backends["main"].breaker.snapshot(trio.current_time())
    assert (snapshot.in_flight, snapshot.neutral, snapshot.failure) == (0, 2, 0)
    lines = [(each["outcome"], each["error_class"]) for each in log if each["event"] == "request"]
    assert lines == [("cancelled", "cancelled")] * 2


async def test_a_request_may_be_taken_back_at_once() -> None:
    async with open_pair() as client, open_raw(port_of(client)) as raw:
        for _ in range(3):
            await raw.send(frame(TEXT, json.dumps(chat()).encode()) + frame(TEXT, CANCEL.encode()))
            got: list[bytes] = []
            while not got or b"[DONE]" not in got[-1]:
                each = await raw.frame()
                assert each is not None
                got.append(each.payload)
            assert got[-2].startswith(b'{"event": "error"')
            assert b'"cancelled"' in got[-2]
            assert not any(b"final_output" in each for each in got)
        await until(lambda: client.app.gateway.active == 0)
        snapshot = client.app.gateway.backends["main"].breaker.snapshot(trio.current_time())
    assert (snapshot.in_flight, snapshot.neutral) == (0, 3)


class Endless:
    """A stream that never has to be waited for."""

    async def __aenter__(self) -> Endless:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def deliver(self, sink: Sink) -> None:
        while True:
            sink.write([OutputDelta(0, "word ")])
            await sink.flush()


async def test_a_flood_of_output_is_stopped_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_pair() as client, open_socket(client) as socket:
        monkeypatch.setattr("trio_gateway.server.websocket.session.open_stream", lambda *_, **__: Endless())
        await socket.send(chat())
        before = await socket.until("word")
        await socket.send(CANCEL)
        with trio.fail_after(5):
            answer = await socket.answer(*before)
    assert answer.error is not None
    assert (answer.error["code"], answer.done) == ("cancelled", 1)


async def test_to_cancel_what_is_over_does_nothing() -> None:
    async with open_pair() as client, open_socket(client) as socket:
        await socket.send(CANCEL)
        assert (await socket.ask(chat())).error is None
        for cancel in (CANCEL, '{"type":"cancel","why":"\\u0041"}'):
            await socket.send(cancel)
        assert (await socket.ask(chat('{"type": "cancel"}'))).error is None


# The upgrade


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({}, True),
        ({"Origin": "http://localhost:1"}, False),
        ({"Origin": "https://app.example"}, True),
        ({"Origin": "https://APP.example"}, True),
        ({"Origin": "https://app.example.evil"}, False),
        ({"Origin": "http://app.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
    ],
)
async def test_pages_of_foreign_origin_are_kept_out(headers: dict[str, str], served: bool) -> None:
    async with open_pair("[server]\ncors_origins = ['https://app.example']\n") as client:
        if served:
            async with open_socket(client, fields=headers) as socket:
                assert (await socket.ask(chat())).output
        else:
            response = await refused(client, **headers)
            assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")
            assert response.headers["x-request-id"].startswith("req_")


async def test_pages_of_the_gateway_itself_are_not() -> None:
    async with open_pair() as client:
        own = f"{client.base_url}".rstrip("/")
        async with open_socket(client, fields={"Origin": own}) as socket:
            assert (await socket.ask(chat())).output


async def refused(client: Client, path: str = PATH, **headers: str) -> httpx.Response:
    """The answer to an upgrade that is not granted."""
    fields = [line.partition(": ")[::2] for line in opening().decode().split("\r\n")[2:-2]]
    return await client.get(path, headers=dict(fields) | headers)


async def test_what_is_wrong_with_an_upgrade_is_told_by_status() -> None:
    async with open_pair() as client:
        elsewhere = await refused(client, "/v1/models")
        nowhere = await refused(client, "/ws")
        format_ = await refused(client, **{"X-Stream-Format": "xml"})
        without = await client.get(PATH)
    assert [each.status_code for each in (elsewhere, nowhere, format_, without)] == [400, 404, 400, 405]
    assert format_.json()["error"]["param"] == "X-Stream-Format"
    assert without.headers["allow"] == "POST"
    assert nowhere.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [((), None), (("key.s3cret",), "key.s3cret"), (("chat", "key.s3cret"), "key.s3cret"), (("chat",), None)],
)
async def test_a_browser_may_send_its_key_as_a_subprotocol(
    offered: tuple[str, ...], agreed: str | None
) -> None:
    passes = "pass_through_key = true"
    async with (
        open_upstream(plays(text_answer("4"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=passes))) as client,
        open_socket(client, subprotocols=offered) as socket,
    ):
        assert (await socket.ask(chat())).output == "4"
    assert socket.connection.subprotocol == agreed
    assert upstream.headers[-1].get("authorization") == (agreed and "Bearer s3cret")


async def test_compression_is_declined() -> None:
    async with (
        open_pair() as client,
        open_socket(client, fields={"Sec-WebSocket-Extensions": "permessage-deflate"}) as socket,
    ):
        assert (await socket.ask(chat())).output
    assert "sec-websocket-extensions" not in socket.headers


async def test_bodies_over_http_are_served_beside_it() -> None:
    async with open_pair() as client, open_socket(client) as socket:
        await socket.ask(chat())
        bodies: list[Json] = [chat(), chat(stream=True)]
        assert [(await ask(client, body)).output for body in bodies] == ["The answer is 4."] * 2
