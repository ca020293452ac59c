"""Clients that leave: the upstream's connection is closed at once, in every phase, and nothing is left behind."""

from __future__ import annotations

import json

import pytest
import trio

from tests.support import HEAD, Client, Script, chat, open_gateway, open_upstream, settings, sse_chunk, until

THINK = sse_chunk({"content": "<think>First I add two and two. Then I check it again.\n"})
SPEAK = sse_chunk({"content": "</think>The answer"})
PHASES: dict[str, tuple[bytes, bytes]] = {
    # phase the client leaves in: what the upstream has sent by then, what the client waits to see
    "prompt summary": (b"", b"[Prompt Summary]"),
    "prompt summary, headers sent": (HEAD, b"[Prompt Summary]"),
    "reasoning summary": (HEAD + THINK, b"[Reasoning Summary]"),
    "final output": (HEAD + THINK + SPEAK, b'"The answer"'),
}


def holds(sent: bytes) -> Script:
    async def script(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(sent)
        await stream.receive_some(1)  # until the gateway hangs up

    return script


async def open_raw(client: Client, body: bytes, *, pipelined: bool = False) -> trio.SocketStream:
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port or 80)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    await stream.send_all(head % len(body) + body)
    if pipelined:
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return stream


async def read_until(stream: trio.abc.ReceiveStream, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        data = await stream.receive_some(65536)
        assert data, seen
        seen += data
    return seen


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES.keys())
@pytest.mark.parametrize("way", ["FIN", "RST"])
@pytest.mark.parametrize("pipelined", [False, True])
async def test_the_upstream_is_closed_within_50_ms(
    phase: tuple[bytes, bytes], way: str, pipelined: bool
) -> None:
    sent, mark = phase
    async with (
        open_upstream(holds(sent)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        stream = await open_raw(client, json.dumps(chat()).encode(), pipelined=pipelined)
        await read_until(stream, mark)
        await until(lambda: len(upstream.requests) == 1 and upstream.open_connections >= 1, 2)
        before = len(upstream.closed_at)
        if way == "RST":
            stream.setsockopt(
                trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        stream.socket.close()
        await until(lambda: len(upstream.closed_at) > before, 0.05)
        gateway = client.app.gateway
        await until(lambda: gateway.active == 0, 0.5)
        snapshot = gateway.backends["main"].breaker.snapshot(trio.current_time())
        assert (snapshot.in_flight, snapshot.neutral, snapshot.failure) == (0, 1, 0)
        metrics = (await client.get("/metrics")).text
    assert 'gateway_requests_total{model="default",outcome="cancelled"} 1.0' in metrics
    assert "gateway_client_disconnects_total{" in metrics


async def test_a_client_that_leaves_a_gathered_answer() -> None:
    async with (
        open_upstream(holds(HEAD + THINK + SPEAK)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        stream = await open_raw(client, json.dumps(chat(stream=False)).encode())
        await until(lambda: len(upstream.requests) == 1, 2)
        await stream.aclose()
        await until(lambda: client.app.gateway.active == 0 and upstream.open_connections == 0, 0.2)
