"""The format ``openai``, end to end: what is chosen how, what the stream says, and what its status line waits for."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import pytest
import trio

from tests.speaking import SPEAKS, THINKS, status
from tests.support import (
    DONE,
    HEAD,
    Answer,
    Client,
    Json,
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
from trio_gateway.core.phases import Phase, PhaseOrder
from trio_gateway.mock import Options

if TYPE_CHECKING:
    import httpx

PATH = "/openai/v1/chat/completions"
PLAIN = "/v1/chat/completions"


async def ask(client: Client, body: Json, **headers: str) -> Answer:
    """Send a streamed request in the format; the answer has it throughout."""
    response = await client.post(PATH, json={"stream": True, **body}, headers=headers)
    answer = Answer(response)
    order = PhaseOrder()
    for each in answer.objects:
        order.accept(Phase(each["phase"]))
        assert each["object"] == "chat.completion.chunk"
    assert {each.event for each in answer.events} == {"message"}
    first = answer.objects[0]["choices"][0]
    assert first == {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    return answer


def joined(answer: Answer, field: str, index: int = 0) -> str:
    choices = [choice for each in answer.objects for choice in each["choices"]]
    return "".join(choice["delta"].get(field, "") for choice in choices if choice["index"] == index)


# The stream


async def test_two_plus_two_letter_by_letter() -> None:
    async with open_pair() as client:
        response = await client.post(PATH, json=chat(stream=True))
    headers = response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert (headers["x-stream-format"], headers["x-gateway-attempts"]) == ("openai", "1")
    blocks = response.text.split("\n\n")
    first = json.loads(blocks[0].removeprefix("data: "))
    lead = json.dumps({key: first[key] for key in ("id", "object", "created", "model")})[:-1]

    def told(delta: Json, phase: str, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f'data: {lead}, "choices": [{json.dumps(choice)}], "phase": "{phase}"}}'

    def both(text: str) -> Json:
        return {"reasoning_content": text, "reasoning": text}

    assert blocks[:3] == [
        told({"role": "assistant", "content": ""}, "prompt_summary"),
        told(both('[Prompt Summary] Processing: "What is 2+2?"...'), "prompt_summary"),
        told(both("\n\n"), "prompt_summary"),
    ]
    assert '"reasoning_content": "[Reasoning Summary] ' in blocks[3]
    output = blocks.index(told({"content": "The"}, "final_output"))
    assert '"reasoning_summary"' in blocks[output - 1]
    assert blocks[-3:] == [told({}, "final_output", "stop"), "data: [DONE]", ""]


async def test_content_is_the_answer_and_nothing_else() -> None:
    async with open_pair() as client:
        answer = await ask(client, chat())
        usage = await ask(client, chat(stream_options={"include_usage": True}))
    assert (answer.output, joined(answer, "content")) == ("The answer is 4.",) * 2
    assert joined(answer, "reasoning_content") == joined(answer, "reasoning")
    assert (answer.finish_reasons, answer.done) == (["stop"], 1)
    assert [each for each in answer.objects if "usage" in each] == []
    (counts,) = [each for each in usage.objects if "usage" in each]
    assert (counts["choices"], counts["phase"]) == ([], "final_output")
    assert counts["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("reasoning", ["raw", "both"])
async def test_raw_reasoning_is_exact_and_summaries_stand_apart(reasoning: str) -> None:
    thought = "First I add two and two. "
    deltas = [sse_chunk({"reasoning_content": thought}, index=index) for index in (1, 0)]
    outputs = [sse_chunk({"content": "4"}, index=index, finish="stop") for index in (0, 1)]
    async with (
        open_upstream(plays(HEAD + b"".join(deltas + outputs) + DONE)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat(n=2, gateway={"reasoning": reasoning}))
    for index in (0, 1):
        assert (joined(answer, "reasoning_content", index), joined(answer, "content", index)) == (
            thought,
            "4",
        )
    assert joined(answer, "reasoning").startswith('[Prompt Summary] Processing: "What is 2+2?"...')
    assert ("[Reasoning Summary]" in joined(answer, "reasoning")) is (reasoning == "both")


@pytest.mark.parametrize("reasoning", ["summary", "raw", "both", "off"])
async def test_not_streamed_both_formats_say_what_the_stream_says(reasoning: str) -> None:
    body = chat(model="mock-field", gateway={"reasoning": reasoning})
    async with open_pair() as client:
        answer = await ask(client, body)
        wholes = [await client.post(path, json={**body, "stream": False}) for path in (PATH, PLAIN)]
    streamed = {
        field: text for field in ("reasoning_content", "reasoning") if (text := joined(answer, field))
    }
    for whole, name in zip(wholes, ("openai", "phases"), strict=True):
        message = whole.json()["choices"][0]["message"]
        assert message == {"role": "assistant", "content": answer.output, **streamed}
        assert whole.headers["x-stream-format"] == name
        told = whole.json()["phases"]
        assert told["prompt_summary"] == 'Processing: "What is 2+2?"...'
        assert (told["reasoning_summary"] is None) is (reasoning in {"raw", "off"})


# Which format


@pytest.mark.parametrize(
    ("path", "header", "body", "default", "chosen"),
    [
        (PLAIN, None, None, "phases", "phases"),
        (PLAIN, None, None, "openai", "openai"),
        (PLAIN, None, "openai", "phases", "openai"),
        (PLAIN, None, "phases", "openai", "phases"),
        (PLAIN, "openai", "phases", "phases", "openai"),
        (PLAIN, "phases", "openai", "openai", "phases"),
        (PATH, None, None, "phases", "openai"),
        (PATH, "phases", "phases", "phases", "openai"),
    ],
)
async def test_path_then_header_then_body_then_default(
    path: str, header: str | None, body: str | None, default: str, chosen: str
) -> None:
    request = chat(stream=True, gateway={"format": body} if body else {})
    async with open_pair(f"[server]\nstream_format = '{default}'\n") as client:
        response = await client.post(
            path, json=request, headers={"X-Stream-Format": header} if header else {}
        )
        broken = await client.post(path, content=b"{", headers={"Content-Type": "application/json"})
    assert response.headers["x-stream-format"] == chosen
    assert response.content.startswith(b"event: phase" if chosen == "phases" else b"data: ")
    assert (broken.status_code, broken.headers["x-stream-format"]) == (
        400,
        "openai" if path == PATH else default,
    )


@pytest.mark.parametrize("path", [PATH, PLAIN])
@pytest.mark.parametrize("asked", ["sse", "", "OpenAI", "phases, openai"])
async def test_an_unknown_format_is_refused_by_name(path: str, asked: str) -> None:
    async with open_pair() as client:
        header = await client.post(path, json=chat(), headers={"X-Stream-Format": asked})
        body = await client.post(path, json=chat(gateway={"format": asked}))
    params = [response.json()["error"]["param"] for response in (header, body)]
    assert (header.status_code, body.status_code, params) == (400, 400, ["X-Stream-Format", "gateway.format"])
    assert header.headers["x-stream-format"] == ("openai" if path == PATH else "phases")


@pytest.mark.parametrize(("stream", "streamed"), [(None, False), (False, False), (True, True)])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "*/*"])
async def test_who_gets_a_stream(accept: str, stream: bool | None, streamed: bool) -> None:
    async with open_pair() as client:
        response = await client.post(PATH, json=chat(stream=stream), headers={"Accept": accept})
        absent = await client.post(PATH, json=chat(), headers={"Accept": accept})
    assert response.headers["content-type"].startswith(
        "text/event-stream" if streamed else "application/json"
    )
    assert absent.json()["object"] == "chat.completion"


async def test_the_other_routes_under_openai() -> None:
    async with open_pair('[models."qwen/qwen3:8b"]\n') as client:
        listed = (await client.get("/openai/v1/models")).json()
        one = (await client.get("/openai/v1/models/qwen/qwen3:8b")).json()
        quoted = (await client.get("/openai/v1/models/qwen%2Fqwen3:8b")).json()
        absent = await client.get("/openai/v1/models/none")
        wrong = await client.get(PATH)
    assert one == quoted == listed["data"][0]
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "model_not_found")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


# The status line


async def test_a_mistake_of_the_clients_comes_back_as_the_upstream_told_it() -> None:
    told = {"message": "top_p must be < 1", "type": "invalid_request_error", "param": "top_p", "code": "x"}
    body = json.dumps({"error": told}).encode()
    async with (
        open_upstream(plays(status(b"400 Bad", body))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        response = await client.post(PATH, json=chat(stream=True))
    assert (response.status_code, response.json()) == (400, {"error": told})


async def test_another_attempt_is_not_seen() -> None:
    async with (
        open_upstream(plays(status(b"500 Oops"), text_answer("4"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat())
    assert (answer.output, answer.error) == ("4", None)
    assert answer.response.headers["x-gateway-attempts"] == "2"


async def test_a_failure_after_the_beginning_is_a_chunk() -> None:
    async with (
        open_upstream(plays(SPEAKS)) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream="max_attempts = 1"))) as client,
    ):
        answer = await ask(client, chat())
    assert answer.error is not None
    assert (answer.output, answer.error["code"]) == ("The answer", "truncated")
    assert (answer.error["phase"], answer.objects[-1]["phase"]) == ("final_output", "final_output")
    assert (answer.finish_reasons, answer.done) == (["error"], 1)


async def test_the_status_line_waits_for_the_first_event_that_says_something() -> None:
    go_on = trio.Event()

    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"role": "assistant", "content": ""}))
        await go_on.wait()
        await stream.send_all(sse_chunk({"reasoning_content": "Hm"}))
        await stream.receive_some(1)

    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        stream = await open_raw(client, chat(stream=True, gateway={"prompt_summary": False}))
        await until(lambda: len(upstream.requests) == 1)
        with trio.move_on_after(0.1) as silence:
            await stream.receive_some(1)
        assert silence.cancelled_caught
        go_on.set()
        async with within(1):
            # There is nothing to emit, only that it goes on; both may come in one read.
            assert (await read_until(stream, b": ping\n\n")).startswith(b"HTTP/1.1 200 ")
        await stream.aclose()


async def test_after_a_heartbeat_of_silence_the_status_is_200() -> None:
    limits = "first_event_timeout = 1.2\nmax_attempts = 1\n"  # room for two pings where the machine is busy
    async with (
        open_upstream(plays(b"", hold=True)) as upstream,
        open_gateway(
            settings(upstream_toml(upstream.url, upstream=limits, server="heartbeat = 0.1"))
        ) as client,
    ):
        answer = await ask(client, chat())
    assert joined(answer, "reasoning") == '[Prompt Summary] Processing: "What is 2+2?"...'
    assert answer.response.text.count(": ping\n\n") >= 2
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"], answer.done) == ("first_event_timeout", 504, 1)


async def test_a_gateway_that_stops_while_the_status_line_is_awaited() -> None:
    async with (
        open_upstream(plays(HEAD, hold=True)) as upstream,
        open_gateway(settings("[server]\ngraceful_timeout = 0.2\n", UPSTREAM_URL=upstream.url)) as client,
        trio.open_nursery() as nursery,
    ):
        responses: list[httpx.Response] = []

        async def post() -> None:
            responses.append(await client.post(PATH, json=chat(stream=True)))

        nursery.start_soon(post)
        await until(lambda: len(upstream.requests) == 1)
        client.app.gateway.drain()
        await until(lambda: bool(responses))
    (response,) = responses
    assert (response.status_code, response.json()["error"]["code"]) == (503, "shutting_down")
    assert response.headers["retry-after"] == "1"


# Clients that leave


async def open_raw(client: Client, body: Json, *, pipelined: bool = False) -> trio.SocketStream:
    sent = json.dumps(body).encode()
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 80)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
    await stream.send_all(head.encode() + b"\r\n" + sent)
    if pipelined:
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return stream


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        data = await stream.receive_some(65536)
        assert data, seen
        seen += data
    return seen


LEAVES: dict[str, tuple[bytes, bytes]] = {
    # when the client leaves: what the upstream has sent by then, what the client has seen
    "status awaited, upstream mute": (b"", b""),
    "status awaited, upstream's headers here": (HEAD, b""),
    "reasoning": (THINKS, b"[Prompt Summary]"),
    "output": (SPEAKS, b'"The answer"'),
}


@pytest.mark.parametrize("when", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize("way", ["FIN", "RST"])
@pytest.mark.parametrize("pipelined", [False, True])
async def test_the_upstream_is_closed_within_50_ms(
    when: tuple[bytes, bytes], way: str, pipelined: bool
) -> None:
    sent, mark = when
    async with (
        open_upstream(plays(sent, hold=True)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        stream = await open_raw(client, chat(stream=True), pipelined=pipelined)
        await read_until(stream, mark)
        await until(lambda: len(upstream.requests) == 1 and upstream.open_connections >= 1)
        before = len(upstream.closed_at)
        gc.collect()  # what the tests before this one left would be collected while the time runs
        if way == "RST":
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
        stream.socket.close()
        await until(lambda: len(upstream.closed_at) > before, 0.05)
        gateway = client.app.gateway
        await until(lambda: gateway.active == 0, 0.5)
        snapshot = gateway.backends["main"].breaker.snapshot(trio.current_time())
        assert (snapshot.in_flight, snapshot.neutral, snapshot.failure) == (0, 1, 0)
        metrics = (await client.get("/metrics")).text
    assert 'gateway_requests_total{model="default",outcome="cancelled"} 1.0' in metrics


async def test_many_who_leave_while_they_wait_leave_nothing_behind() -> None:
    def living() -> int:
        return trio.lowlevel.current_statistics().tasks_living

    async with open_pair(options=Options(port=0, first_token_delay=30)) as client:
        gateway = client.app.gateway
        before = living()
        for _ in range(3):
            streams = [await open_raw(client, chat(stream=True)) for _ in range(20)]
            await until(lambda: gateway.active == 20)
            for stream in streams:
                await stream.aclose()
            # None of the 20 stays; what else begins meanwhile (the list of models is asked for) may.
            await until(lambda: gateway.active == 0 and living() < before + 5)
        snapshot = gateway.backends["main"].breaker.snapshot(trio.current_time())
    assert (snapshot.in_flight, snapshot.neutral) == (0, 60)


async def test_a_request_on_the_same_connection_after_a_failed_one() -> None:
    async with (
        open_upstream(plays(status(b"400 Bad"), text_answer("4"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        stream = await open_raw(client, chat(stream=True))
        assert b" 400 " in await read_until(stream, b"}}")
        sent = json.dumps(chat(stream=True)).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        await stream.send_all(head.encode() + sent)
        assert b'"content": "4"' in await read_until(stream, b"[DONE]")
        await stream.aclose()
