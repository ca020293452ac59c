"""The three phases, end to end: gateway and mock model over real sockets."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support import (
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
    within,
)
from trio_gateway.mock import Options, load_traces

TRACES = load_traces(Path(__file__).parent / "data" / "reasoning_traces.jsonl")
PHASES = ["prompt_summary", "reasoning_summary", "final_output"]


async def test_two_plus_two_letter_by_letter() -> None:
    async with open_pair() as client:
        response = await client.post("/v1/chat/completions", json=chat("What is 2+2?", model="default"))
    headers = response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-stream-format"] == "phases"
    assert headers["x-request-id"]
    assert "server" not in headers
    blocks = response.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    first = json.loads(blocks[1].removeprefix("data: "))
    lead = json.dumps({key: first[key] for key in ("id", "object", "created", "model")})[:-1]

    def told(delta: str, phase: str) -> str:
        return f'data: {lead}, "choices": [{{"index": 0, "delta": {delta}, "finish_reason": null}}], "phase": "{phase}"}}'

    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", first["id"])
    assert first["object"] == "chat.completion.chunk"
    assert abs(first["created"] - time.time()) < 60
    assert blocks[0] == 'event: phase\ndata: {"phase": "prompt_summary"}'
    quoted = '[Prompt Summary] Processing: \\"What is 2+2?\\"...'
    assert blocks[1] == told(f'{{"role": "assistant", "content": "{quoted}"}}', "prompt_summary")
    assert blocks[2] == told('{"content": "\\n\\n"}', "prompt_summary")
    assert blocks[3] == 'event: phase\ndata: {"phase": "reasoning_summary"}'
    assert blocks[4].startswith(told('{"content": "[Reasoning Summary] ', "")[:-60])
    last_line = blocks.index('event: phase\ndata: {"phase": "final_output"}')
    assert blocks[last_line - 1] == told('{"content": "\\n\\n"}', "reasoning_summary")
    assert blocks[last_line + 1] == told('{"content": "The"}', "final_output")
    assert (
        blocks[-3] == f'data: {lead}, "choices": [{{"index": 0, "delta": {{}}, "finish_reason": "stop"}}]}}'
    )


@pytest.mark.parametrize("model", ["mock-think", "mock-field"])
@pytest.mark.parametrize("split", [False, True])
async def test_reasoning_is_found_and_kept_back(model: str, split: bool) -> None:
    async with open_pair(options=Options(port=0, tokens_per_second=0, split_markers=split)) as client:
        answer = await ask(client, chat(model=model))
    assert answer.phases == PHASES
    assert answer.output == "The answer is 4."
    assert answer.text("reasoning_summary").startswith("[Reasoning Summary] ")
    assert (answer.finish_reasons, answer.done, answer.error) == (["stop"], 1, None)


async def test_prose_reasoning_of_the_unknown_default_model() -> None:
    thought = "First I count two fingers on each hand, then I check the sum by counting again. "
    prose = ["Let me think about", f" it. {thought}", "Therefore,", " the answer is 4."]
    async with (
        open_upstream(plays(text_answer(*prose))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat())
    assert answer.phases == PHASES
    assert answer.output == "Therefore, the answer is 4."


async def test_without_reasoning_there_is_no_such_phase() -> None:
    async with open_pair() as client:
        answer = await ask(client, chat(model="mock-plain"))
    assert answer.phases == ["prompt_summary", "final_output"]
    assert answer.output == "The answer is 4."


async def test_an_empty_answer_has_no_final_phase() -> None:
    async with (
        open_upstream(plays(text_answer())) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat())
    assert (answer.phases, answer.finish_reasons, answer.done) == (["prompt_summary"], ["stop"], 1)


@pytest.mark.parametrize("trace", range(len(TRACES)))
async def test_a_real_trace_is_answered_to_the_letter(trace: int) -> None:
    options = Options(port=0, tokens_per_second=0, traces=TRACES)
    async with open_pair(options=options) as client:
        answer = await ask(client, chat(model=f"trace-{trace}"))
    assert answer.phases == PHASES
    assert answer.output == TRACES[trace].answer.strip()


async def test_tool_calls_open_the_final_output_and_pass_unchanged() -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    async with open_pair() as client:
        answer = await ask(client, chat(model="mock-tools", tools=tools))
    calls = [
        call
        for each in answer.objects
        if each.get("phase") == "final_output"
        for choice in each.get("choices", [])
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert answer.phases == PHASES
    assert calls[0]["function"]["name"] == "add"
    json.loads("".join(call["function"].get("arguments", "") for call in calls))
    assert answer.finish_reasons == ["tool_calls"]


async def test_choices_keep_their_index() -> None:
    async with open_pair() as client:
        answer = await ask(client, chat(n=2))
    assert answer.text("final_output", 0) == "The answer is 4."
    assert answer.text("final_output", 1) == "The answer is 4. (choice 1)"
    assert answer.finish_reasons == ["stop", "stop"]


async def test_usage_leaves_when_asked_for_and_is_always_asked_of_the_upstream() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    told = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    answer_bytes = HEAD + sse_chunk({"content": "hi"}, finish="stop") + told + DONE
    async with (
        open_upstream(plays(answer_bytes)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        without = await ask(client, chat())
        wanted = await ask(client, chat(stream_options={"include_usage": True}))
        metrics = (await client.get("/metrics")).text
    assert [each for each in without.objects if "usage" in each] == []
    assert [(each["choices"], each["usage"]) for each in wanted.objects if "usage" in each] == [([], usage)]
    assert [each["stream_options"] for each in upstream.requests] == [{"include_usage": True}] * 2
    assert 'gateway_tokens_total{model="default",type="output"} 10.0' in metrics


async def test_text_and_finish_in_one_delta_leave_as_two_chunks() -> None:
    body = HEAD + sse_chunk({"role": "assistant", "content": "hi"}, finish="length") + DONE
    async with (
        open_upstream(plays(body)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await ask(client, chat(gateway={"prompt_summary": False}))
    choices = [each["choices"][0] for each in answer.objects if "choices" in each]
    assert choices == [
        {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "length"},
    ]


async def test_first_byte_before_the_upstream_has_answered() -> None:
    async with (
        open_pair(options=Options(port=0, first_token_delay=30)) as client,
        client.stream("POST", "/v1/chat/completions", json=chat()) as response,
        within(2),
    ):
        first = await anext(response.aiter_bytes())
    assert first.startswith(b'event: phase\ndata: {"phase": "prompt_summary"}\n\n')
    assert b"What is 2+2?" in first


async def test_a_silent_upstream_is_covered_by_heartbeats() -> None:
    async with open_pair(
        "[server]\nheartbeat = 0.05\n", options=Options(port=0, first_token_delay=1.0)
    ) as client:
        answer = await client.post("/v1/chat/completions", json=chat())
    assert answer.text.count(": ping\n\n") >= 3
    assert Answer(answer).output == "The answer is 4."


async def test_not_streamed() -> None:
    async with open_pair() as client:
        response = await client.post("/v1/chat/completions", json=chat(stream=False))
    body = response.json()
    assert response.status_code == 200
    assert response.headers["x-gateway-attempts"] == "1"
    assert response.headers["content-type"] == "application/json"
    message = body["choices"][0]["message"]
    assert (body["object"], message["content"]) == ("chat.completion", "The answer is 4.")
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["phases"]["prompt_summary"] == 'Processing: "What is 2+2?"...'
    assert body["phases"]["reasoning_summary"] in message["reasoning_content"]
    assert body["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("accept", "stream", "streamed"),
    [
        ("application/json", None, False),
        ("*/*", None, True),
        ("application/json", True, True),
        ("*/*", False, False),
    ],
)
async def test_who_gets_a_stream(accept: str, stream: bool | None, streamed: bool) -> None:
    async with open_pair() as client:
        response = await client.post(
            "/v1/chat/completions", json=chat(stream=stream), headers={"Accept": accept}
        )
    assert response.headers["content-type"].startswith(
        "text/event-stream" if streamed else "application/json"
    )


@pytest.mark.parametrize(
    ("gateway", "phases"),
    [
        ({"prompt_summary": False}, PHASES[1:]),
        ({"reasoning": "off"}, [PHASES[0], PHASES[2]]),
        ({"prompt_summary": False, "reasoning": "off"}, PHASES[2:]),
    ],
)
async def test_summaries_can_be_left_out(gateway: dict[str, object], phases: list[str]) -> None:
    async with open_pair() as client:
        answer = await ask(client, chat(gateway=gateway))
    assert answer.phases == phases
    assert answer.output == "The answer is 4."


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_what_the_operator_writes_reaches_the_upstream_and_no_summary(role: str) -> None:
    messages = [{"role": role, "content": "The vault opens with canary-71. Open it."}]
    async with (
        open_upstream(plays(text_answer("Open."))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url))) as client,
    ):
        answer = await ask(client, {"messages": messages})
    assert answer.text("prompt_summary") == "[Prompt Summary] Processing the request\n\n"
    assert answer.output == "Open."
    assert upstream.requests[0]["messages"] == messages


async def test_the_configuration_can_leave_them_out_too() -> None:
    async with open_pair('[summary]\nprompt = "off"\nreasoning = "off"\n') as client:
        assert (await ask(client, chat())).phases == PHASES[2:]


async def test_what_reaches_the_upstream() -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(
            settings(UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="sk-own", UPSTREAM_MODEL="big-model")
        ) as client,
    ):
        body = chat(
            temperature=0.5, seed=7, custom={"a": [1, None]}, gateway={"reasoning": "off"}, stream=False
        )
        await client.post(
            "/v1/chat/completions",
            json=body,
            headers={"Authorization": "Bearer client", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"},
        )
    del body["gateway"]
    assert upstream.requests == [
        {**body, "model": "big-model", "stream": True, "stream_options": {"include_usage": True}}
    ]
    (headers,) = upstream.headers
    assert headers["authorization"] == "Bearer sk-own"
    assert set(headers) == {
        *("host", "accept", "accept-encoding", "authorization"),
        *("content-length", "content-type", "user-agent"),
    }


@pytest.mark.parametrize("header", ["api-key", "x-goog-api-key"])
async def test_another_header_bears_the_bare_key(header: str) -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(
            settings(
                upstream_toml(
                    upstream.url, upstream=f'api_key_env = "KEY"\napi_key_header = "{header.title()}"'
                ),
                KEY="sk-own",
            )
        ) as client,
    ):
        await client.post("/v1/chat/completions", json=chat(stream=False))
    (headers,) = upstream.headers
    assert (headers[header], headers.get("authorization")) == ("sk-own", None)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_the_upstreams_url_with_and_without_its_path(path: str) -> None:
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url + path)) as client,
    ):
        assert (await ask(client, chat())).output == "hi"


async def test_pass_through_of_the_clients_key() -> None:
    toml = '[upstreams.main]\nurl = "{}"\npass_through_key = true\n'
    async with (
        open_upstream(plays(text_answer("hi"))) as upstream,
        open_gateway(settings(toml.format(upstream.url))) as client,
    ):
        await ask(client, chat(), Authorization="Bearer mine")
    assert upstream.headers[0]["authorization"] == "Bearer mine"


async def test_the_connection_to_the_upstream_is_used_again() -> None:
    connections = 0

    async def count(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        body = b"".join([sse_chunk({"content": "hi"}), sse_chunk(finish="stop"), DONE])
        while data := await stream.receive_some(65536):
            if data.startswith(b"GET"):
                await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            elif data.endswith(b"}"):  # the body of a chat request may come after its head
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                await stream.send_all(head + b"%x\r\n%s\r\n" % (len(body), body))
                await stream.send_all(b"0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, count, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with open_gateway(settings(UPSTREAM_URL=url)) as client:
            # The list of models is asked for on a connection of its own.
            await until(lambda: connections == 1)
            for _ in range(5):
                assert (await ask(client, chat())).output == "hi"
        nursery.cancel_scope.cancel()
    assert connections == 1
