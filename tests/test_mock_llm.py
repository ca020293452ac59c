"""The mock model, over real sockets for what goes wrong and in virtual time for what takes long."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.mock import (
    CANNED,
    GENERIC,
    MARKER,
    Options,
    Thought,
    create_mock,
    load_traces,
    serve_mock,
    tokenize,
)
from trio_gateway.mock.options_parser import main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent
TRACES = load_traces(Path(__file__).parent / "data" / "reasoning_traces.jsonl")
REASONING, ANSWER = next((thought.reasoning, thought.answer) for thought in CANNED.values())
FAST = Options(port=0, tokens_per_second=0)


@asynccontextmanager
async def serving(options: Options = FAST) -> AsyncIterator[httpx.AsyncClient]:
    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve_mock, options)
        async with httpx.AsyncClient(base_url=url, timeout=5, trust_env=False) as client:
            yield client
        nursery.cancel_scope.cancel()


def chat(model: str, prompt: str = "What is 2+2?", **more: object) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


def events(stream: bytes) -> list[Any]:
    """Decode a whole stream; the last event must be ``[DONE]``, which is left out."""
    *lines, done, rest = stream.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def joined(chunks: list[Any], field: str = "content", index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(field, "") for choice in choices)


async def ask(client: httpx.AsyncClient, body: Json) -> list[Any]:
    response = await client.post("/v1/chat/completions", json={**body, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    return events(response.content)


async def stats(client: httpx.AsyncClient) -> Json:
    response = await client.get("/v1/mock/stats")
    return dict(response.json())


async def until(client: httpx.AsyncClient, counter: str) -> Json:
    """Wait until one request is counted there."""
    with trio.fail_after(2):
        while (seen := await stats(client))[counter] != 1:  # each look is a round trip
            pass
    return seen


async def open_raw(client: httpx.AsyncClient, body: Json) -> trio.SocketStream:
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 0)
    data = json.dumps(body).encode()
    await stream.send_all(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    )
    return stream


# What it says


@pytest.mark.parametrize(
    ("model", "reasoning", "content"),
    [
        ("default", "", f"<think>\n{REASONING}\n</think>\n\n{ANSWER}"),
        ("mock-think", "", f"<think>\n{REASONING}\n</think>\n\n{ANSWER}"),
        ("something/else", "", f"<think>\n{REASONING}\n</think>\n\n{ANSWER}"),
        ("mock-implied", "", f"{REASONING}\n</think>\n\n{ANSWER}"),
        ("mock-field", REASONING, ANSWER),
        (
            "mock-harmony",
            "",
            f"<|channel|>analysis<|message|>{REASONING}<|end|>"
            f"<|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        ),
        ("mock-prose", "", f"Let me think about this. {REASONING}\n\nTherefore, the answer is 4."),
        ("mock-plain", "", ANSWER),
    ],
)
async def test_families(model: str, reasoning: str, content: str) -> None:
    async with serving() as client:
        chunks = await ask(client, chat(model))
        assert (joined(chunks, "reasoning_content"), joined(chunks)) == (reasoning, content)
        whole = (await client.post("/v1/chat/completions", json=chat(model))).json()
    [choice] = whole["choices"]
    assert choice["message"].get("reasoning_content", "") == reasoning
    assert (choice["message"]["content"], choice["finish_reason"]) == (content, "stop")
    assert whole["model"] == model


async def test_a_stream_has_the_shape_of_openai() -> None:
    async with serving() as client:
        chunks = await ask(client, chat("default", "What is 2+2?", stream_options={"include_usage": True}))
        whole = (await client.post("/v1/chat/completions", json=chat("default"))).json()
    first, *tokens, finish, usage = chunks
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "default")}
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    ]
    assert all(token["choices"][0]["finish_reason"] is None and token["usage"] is None for token in tokens)
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    assert usage["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": len(tokens),
        "total_tokens": 3 + len(tokens),
        "completion_tokens_details": {"reasoning_tokens": len(tokens) - 4},  # "The answer is 4."
    }


async def test_choices_are_interleaved_and_differ() -> None:
    async with serving() as client:
        chunks = await ask(client, chat("mock-plain", n=3))
    indexes = [chunk["choices"][0]["index"] for chunk in chunks]
    assert indexes[:9] == [0, 1, 2] * 3
    assert [joined(chunks, index=index) for index in range(3)] == [
        "The answer is 4.",
        "The answer is 4. (choice 1)",
        "The answer is 4. (choice 2)",
    ]
    finished = [c for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
    assert [(choice["index"], choice["finish_reason"]) for choice in finished] == [
        (index, "stop") for index in range(3)
    ]


async def test_tools_are_called_and_their_results_told() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    body = chat("mock-tools", "Weather in Oslo?", tools=tools)
    async with serving() as client:
        chunks = await ask(client, body)
        message = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
        body["messages"] += [message, {"role": "tool", "tool_call_id": "1", "content": "It is <b>mild</b>."}]
        answer = joined(await ask(client, body))
        no_tools = joined(await ask(client, chat("mock-tools")))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    head, *tail = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert (head["index"], head["type"], head["function"]) == (
        0,
        "function",
        {"name": "weather", "arguments": ""},
    )
    assert len(tail) > 2
    arguments = "".join(piece["function"]["arguments"] for piece in tail)
    assert json.loads(arguments) == {"city": "Weather in Oslo?"}
    assert joined(chunks).startswith('<think>\nThe user writes: "Weather in Oslo?"')
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": arguments}
    assert answer.endswith("</think>\n\nAccording to the tool: It is bmild/b.")
    assert no_tools.endswith(ANSWER)


async def test_an_unknown_question_is_quoted_without_marker_signs() -> None:
    parts = [{"type": "text", "text": "Please print </think> and "}, {"type": "image_url"}, {"text": "stop"}]
    async with serving() as client:
        body = {"messages": [{"role": "system", "content": "2+2"}, {"role": "user", "content": parts}]}
        chunks = await ask(client, body)
    assert chunks[0]["model"] == "default"
    assert joined(chunks).endswith('</think>\n\nThis is a canned answer to "Please print /think and stop".')
    assert joined(chunks).count("</think>") == 1


@pytest.mark.parametrize("thought", [*CANNED.values(), GENERIC])
def test_canned_reasoning_is_long_enough_and_never_ends_itself(thought: Thought) -> None:
    assert 60 <= len(thought.reasoning.split()) <= 200
    assert not re.search(r"(?:^|[.!?:\n]\s*)(?:Therefore|In conclusion|The answer is)", thought.reasoning)


async def test_traces_are_replayed() -> None:
    other = chat("default", "no such prompt")
    async with serving(Options(port=0, tokens_per_second=0, traces=TRACES)) as client:
        for number, trace in enumerate(TRACES):
            text = f"<think>\n{trace.reasoning}\n</think>\n\n{trace.answer}"
            whole = (await client.post("/v1/chat/completions", json=chat(f"trace-{number}"))).json()
            assert whole["choices"][0]["message"]["content"] == text
            first = next(same for same in TRACES if same.prompt == trace.prompt)
            assert joined(await ask(client, chat("mock-plain", trace.prompt))) == first.answer
        assert joined(await ask(client, other)) == joined(await ask(client, other))
        listed = (await client.get("/v1/models")).json()["data"]
    assert "trace-2" in {model["id"] for model in listed}


# How it is cut


@given(st.text(st.sampled_from("ab<>|/think \n") | st.characters()), st.integers(0, 5), st.booleans())
def test_tokens_add_up_to_the_text(text: str, chunk_size: int, split: bool) -> None:
    tokens = tokenize(text, Options(chunk_size=chunk_size, split_markers=split))
    assert "".join(tokens) == text
    assert all(tokens)
    if chunk_size:
        assert {len(token) for token in tokens[:-1]} <= {chunk_size}


@pytest.mark.parametrize(
    ("text", "split", "tokens"),
    [
        (
            "<think>\nSo it is.\n</think>\n\nYes",
            False,
            ["<think>", "\nSo", " it", " is.", "\n", "</think>", "\n", "\nYes"],
        ),
        ("a <think>b c</think> d", True, ["a", " <", "th", "ink", ">b", " c<", "/th", "ink", "> d"]),
        ("<|end|><|start|>x", True, ["<", "|e", "nd|", "><", "|st", "art|", ">x"]),
    ],
)
def test_words_and_markers(text: str, split: bool, tokens: list[str]) -> None:
    assert tokenize(text, Options(split_markers=split)) == tokens


@pytest.mark.parametrize("model", ["mock-think", "mock-implied", "mock-harmony"])
async def test_split_markers_never_stand_whole_in_a_delta(model: str) -> None:
    async with serving() as client:
        wanted = joined(await ask(client, chat(model)))
    async with serving(Options(port=0, tokens_per_second=0, split_markers=True)) as client:
        chunks = await ask(client, chat(model))
    assert joined(chunks) == wanted
    assert not any(MARKER.search(joined([chunk])) for chunk in chunks)


# How fast it is, in virtual time: the application without a server


async def timed(options: Options, body: Json, stall: float = 0.0) -> list[tuple[float, bytes]]:
    """Give instant and bytes of each write in five minutes; the fifth is held up for *stall* seconds."""
    start, writes = trio.current_time(), list[tuple[float, bytes]]()
    messages = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

    async def receive() -> Any:
        return next(messages, None) or await trio.sleep_forever()

    async def send(message: Any) -> None:
        writes.append((round(trio.current_time() - start, 6), message.get("body", b"")))
        await trio.sleep(stall if len(writes) == 5 else 0)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"host", b"mock")],
    }
    with trio.move_on_after(300):
        await create_mock(options)(scope, receive, send)  # type: ignore[arg-type]
    return writes


async def test_tokens_come_at_an_even_pace_after_the_first_delay(autojump_clock: MockClock) -> None:
    options = Options(tokens_per_second=20, first_token_delay=3)
    headers, *tokens, _end = [instant for instant, _ in await timed(options, chat("default", stream=True))]
    assert headers == 0
    assert tokens == [round(3 + n / 20, 6) for n in range(len(tokens))]


async def test_a_slow_reader_does_not_shift_the_pace(autojump_clock: MockClock) -> None:
    writes = await timed(Options(tokens_per_second=10), chat("default", stream=True), stall=1)
    instants = [instant for instant, _ in writes[1:]]
    assert instants[3:6] == [0.3, 1.3, 1.3]
    assert instants[20:22] == [2.0, 2.1]


async def test_a_whole_answer_takes_as_long_as_a_stream(autojump_clock: MockClock) -> None:
    body = (await timed(Options(tokens_per_second=10), chat("mock-plain")))[1]
    assert body[0] == pytest.approx(0.4)
    assert json.loads(body[1])["choices"][0]["message"]["content"] == ANSWER


async def test_long_thinking_is_not_cut_after_a_minute(autojump_clock: MockClock) -> None:
    writes = await timed(Options(tokens_per_second=10, think_seconds=100), chat("mock-field", stream=True))
    chunks = events(b"".join(data for _, data in writes))
    answer = next(instant for instant, data in writes if b'"content":"The"' in data)
    assert answer == pytest.approx(100, abs=0.2)
    assert joined(chunks, "reasoning_content").count(REASONING) >= 10
    assert joined(chunks) == ANSWER


async def test_drip_gives_a_byte_a_second(autojump_clock: MockClock) -> None:
    writes = await timed(FAST, chat("fault-drip", stream=True))
    assert [(instant, len(data)) for instant, data in writes[1:]] == [(second, 1) for second in range(300)]
    assert b"".join(data for _, data in writes).startswith(b'data: {"id":"chatcmpl-')


# What goes wrong


@pytest.mark.parametrize(("model", "tokens"), [("fault-cut-7", 7), ("fault-cut", 40), ("fault-cut-9999", 86)])
async def test_cut_ends_the_connection_in_mid_answer(
    model: str, tokens: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as client:
        stream = await open_raw(client, chat(model, stream=True))
        with trio.fail_after(5):
            received = b"".join([data async for data in stream])
        await stream.aclose()
        assert (await stats(client))["completed"] == 1
    assert b"Transfer-Encoding: chunked".lower() in received.lower()
    assert received.count(b"data: ") == 1 + tokens
    assert received.endswith(b"}\n\n\r\n")  # a chunk, and not the empty one that ends a body
    assert b"[DONE]" not in received
    assert b'finish_reason":"' not in received
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


async def test_cut_before_a_whole_answer() -> None:
    async with serving() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/chat/completions", json=chat("fault-cut-1"))


async def test_stall_falls_silent_and_sees_the_client_leave() -> None:
    async with serving() as client:
        stream = await open_raw(client, chat("fault-stall-3", stream=True))
        received = b""
        with trio.fail_after(5):
            while received.count(b"data: ") < 4 or not received.endswith(b"\n"):
                received += await stream.receive_some()
        with trio.move_on_after(0.2):
            pytest.fail(f"it spoke on: {await stream.receive_some()!r}")
        assert received.count(b"data: ") == 4
        await until(client, "active")
        left = time.monotonic()
        await stream.aclose()
        seen = await until(client, "aborted")
    assert (seen["requests"], seen["active"], seen["completed"]) == (1, 0, 0)
    assert 0 <= seen["last_aborted_at"] - left < 0.5


async def test_mute_sends_nothing_and_sees_the_client_leave() -> None:
    async with serving() as client:
        stream = await open_raw(client, chat("fault-mute"))
        with trio.move_on_after(0.1):
            pytest.fail(f"it spoke: {await stream.receive_some()!r}")
        await until(client, "active")
        await stream.aclose()
        assert (await until(client, "aborted"))["active"] == 0


async def test_a_client_that_leaves_a_running_stream_is_counted() -> None:
    async with serving(Options(port=0, tokens_per_second=100)) as client:
        stream = await open_raw(client, chat("default", stream=True))
        assert await stream.receive_some()
        await stream.aclose()
        await until(client, "aborted")


async def test_a_client_that_reads_to_the_end_and_leaves_is_not() -> None:
    async with serving() as client:
        for stream in (True, False):
            with trio.fail_after(5):
                await client.post("/v1/chat/completions", json=chat("default", stream=stream))
        stream_ = await open_raw(client, chat("default", stream=True))
        received = b""
        while b"[DONE]" not in received:
            received += await stream_.receive_some()
        await stream_.aclose()
        await trio.sleep(0.05)
        assert await stats(client) == {
            "requests": 3,
            "active": 0,
            "completed": 3,
            "aborted": 0,
            "last_aborted_at": None,
        }


async def test_malformed_goes_on_after_the_broken_line() -> None:
    async with serving() as client:
        response = await client.post("/v1/chat/completions", json=chat("fault-malformed-5", stream=True))
    lines = response.text.split("\n\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[6].removeprefix("data: "))
    del lines[6]
    assert joined(events("\n\n".join(lines).encode())).endswith(ANSWER)


async def test_refusals() -> None:
    async with serving() as client:
        limited = await client.post("/v1/chat/completions", json=chat("fault-429", stream=True))
        failed = await client.post("/v1/chat/completions", json=chat("fault-500"))
        assert (await stats(client))["completed"] == 2
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "2")
    assert limited.json()["error"] | {"message": ""} == {
        "message": "",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "server_error")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"model": "default"}', None),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": 1}]}', "messages[0].role"),
        (b'{"messages": [{"role": "user"}], "n": 9}', "n"),
    ],
)
async def test_bad_requests(body: bytes, param: str | None) -> None:
    async with serving() as client:
        response = await client.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


async def test_models_and_unknown_routes() -> None:
    async with serving() as client:
        listed = (await client.get("/v1/models")).json()
        one = await client.get("/v1/models/mock-think")
        missing = await client.get("/v1/models/some/thing")
        nowhere = await client.get("/v2")
        wrong = await client.get("/v1/chat/completions")
    names = [model["id"] for model in listed["data"]]
    assert names[:2] == ["default", "mock-think"]
    assert {"fault-mute", "fault-cut-40", "fault-stall-20", "fault-429"} <= set(names)
    assert one.json() in listed["data"]
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert (nowhere.status_code, nowhere.json()["error"]["param"]) == (404, None)
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
    assert "POST" in wrong.headers["allow"]


# The command line


@pytest.mark.parametrize(
    ("argv", "environ", "complaint"),
    [
        (["--port", "x"], {}, "--port"),
        ([], {"MOCK_PORT": "70000"}, "MOCK_PORT: expected 0 to 65535, found 70000"),
        (["--chunk-size", "-1"], {}, "below 0"),
        (["--tokens-per-second", "inf"], {}, "finite"),
        (["--tokens-per-second", "0", "--think-seconds", "3"], {}, "--think-seconds needs"),
        (["--traces", "no-such-file"], {}, "no-such-file"),
        (["--traces", __file__], {}, "--traces"),
        (["extra"], {}, "unrecognized"),
    ],
)
def test_usage_errors(
    argv: list[str],
    environ: dict[str, str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_busy_port_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("MOCK_PORT", str(port))
        assert main([]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"127.0.0.1:{port}" in err
    assert "MOCK_PORT" in err


async def test_ipv6() -> None:
    async with serving(Options(host="::1", port=0, tokens_per_second=0)) as client:
        assert str(client.base_url).startswith("http://[::1]:")
        assert await stats(client)


def start(*argv: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-W", "error", "mock_llm.py", "--port", "0", *argv]
    env = {name: value for name, value in os.environ.items() if name not in ("HOST", "MOCK_PORT")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    line = process.stdout.readline()
    found = re.fullmatch(r"mock model listening on http://127\.0\.0\.1:(\d+)/v1\n", line)
    assert found, (line, process.communicate())
    return process, int(found[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_even_with_a_client_that_does_not_read(number: signal.Signals) -> None:
    process, port = start("--tokens-per-second", "20000", "--think-seconds", "1")
    with process, socket.create_connection(("127.0.0.1", port)) as client:
        body = json.dumps(chat("default", stream=True, n=8)).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)
        time.sleep(0.6)  # until it is stuck in a write
        signalled = time.monotonic()
        process.send_signal(number)
        assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0
    assert time.monotonic() - signalled < 1
