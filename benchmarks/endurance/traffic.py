"""Traffic of the endurance run: scenes of good, hostile and leaving clients, drawn by chance."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import trio
from trio_websocket import open_websocket_url

from tests.support import DONE, HEAD, Answer, bearer, chat, sse_chunk, text_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["ANSWER", "FAULTS", "UNHARMED", "Traffic"]

# Scenes that begin in a second, and how many may run at a time.
_RATE = 25
_AT_ONCE = 400
_THOUGHTS = [f"Step {number}: I compare option {number} with the one before it.\n" for number in range(40)]
_WORDS = [f"word{number} " for number in range(60)]
ANSWER = text_answer("<think>", *_THOUGHTS, "</think>", *_WORDS)
WHOLE = "".join(_WORDS).strip()
FAULTS = (
    b"",
    b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    b"220 mail.example ESMTP\r\n\r\n",
    HEAD + sse_chunk({"content": "<think>First I add two and two.\n"}),
    HEAD + sse_chunk({"content": "Half an"}) + b"data: {oops\n\n",
    HEAD + b'data: {"error": {"message": "overloaded", "code": 503}}\n\n',
    HEAD + DONE,
    HEAD + b": still here\n\n" * 500,
)
TRACEBACK = "Traceback (most recent call last):\n" + '  File "a.py", line 7, in f\n    g(x)\n' * 800
HISTORY = [{"role": role, "content": "word " * 400} for _ in range(100) for role in ("user", "assistant")]


# Scenes whose clients do nothing wrong and ask an upstream that does not fail: each must get its whole answer.
UNHARMED = frozenset({"streamed", "whole", "pasted", "long_history", "slow_reader", "websocket"})


class Traffic:
    """Scenes that clients play, each drawn by chance and counted by its name and its result."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._chance = random.Random(seed)
        self._places = trio.CapacityLimiter(_AT_ONCE)
        self.results: Counter[tuple[str, str]] = Counter()
        self._scenes: tuple[Callable[[httpx.AsyncClient], Awaitable[str]], ...] = (
            self._streamed,
            self._streamed,
            self._whole,
            self._leaves,
            self._leaves_at_once,
            self._pasted,
            self._long_history,
            self._bad_input,
            self._slow_reader,
            self._websocket,
            self._flaky,
            self._flaky,
        )

    async def play(self, seconds: float) -> None:
        """Begin scenes for so many seconds, and wait for the end of all of them."""
        until = trio.current_time() + seconds
        client = httpx.AsyncClient(
            base_url=self._url,
            headers=bearer("a"),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            timeout=60,
            trust_env=False,
        )
        async with client, trio.open_nursery() as nursery:
            while trio.current_time() < until:
                nursery.start_soon(self._one, self._chance.choice(self._scenes), client)
                await trio.sleep(self._chance.expovariate(_RATE))

    async def _one(
        self, scene: Callable[[httpx.AsyncClient], Awaitable[str]], client: httpx.AsyncClient
    ) -> None:
        async with self._places:
            try:
                result = await scene(client)
            except Exception as error:  # the run goes on, and its table shows what happened
                result = type(error).__name__
                print(f"{datetime.now(UTC):%H:%M:%S.%f} {scene.__name__}: {error!r}", flush=True)
            self.results[scene.__name__.strip("_"), result] += 1

    async def _streamed(self, client: httpx.AsyncClient) -> str:
        form = self._chance.choice(("phases", "openai"))
        body = chat(model="good", stream=True)
        response = await client.post("/v1/chat/completions", json=body, headers={"X-Stream-Format": form})
        return _judged(response)

    async def _whole(self, client: httpx.AsyncClient) -> str:
        response = await client.post("/v1/chat/completions", json=chat(model="good", stream=False))
        message = response.json()["choices"][0]["message"]["content"]
        return "whole" if message.strip() == WHOLE else f"{response.status_code}"

    async def _leaves(self, client: httpx.AsyncClient) -> str:
        body = chat(model="good", stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            left = self._chance.randrange(1, 20)
            async for _ in response.aiter_bytes(256):
                left -= 1
                if not left:
                    break
        return "left"

    async def _leaves_at_once(self, _client: httpx.AsyncClient) -> str:
        stream = await self._dial()
        body = json.dumps(chat(model="good", stream=True)).encode()
        sent = self._chance.randrange(len(body) + 1)
        with suppress(trio.BrokenResourceError):
            await stream.send_all(_head(len(body)) + body[:sent])
        await trio.aclose_forcefully(stream)
        return "left"

    async def _pasted(self, client: httpx.AsyncClient) -> str:
        body = chat(TRACEBACK, model="good", stream=True)
        return _judged(await client.post("/v1/chat/completions", json=body))

    async def _long_history(self, client: httpx.AsyncClient) -> str:
        messages = [*HISTORY, {"role": "user", "content": "And now?"}]
        body = {"model": "good", "messages": messages, "stream": True}
        return _judged(await client.post("/v1/chat/completions", json=body))

    async def _bad_input(self, client: httpx.AsyncClient) -> str:
        path, content, headers = self._chance.choice(
            (
                ("/v1/chat/completions", b"{oops", {}),
                ("/v1/chat/completions", b'{"messages": []}', {}),
                (
                    "/v1/chat/completions",
                    b'{"model": "none", "messages": [{"role": "user", "content": "x"}]}',
                    {},
                ),
                ("/v1/chat/completions", b"[" * 50_000, {}),
                ("/v1/chat/completions", b"{}", {"Authorization": f"Bearer {self._chance.random()}"}),
                (f"/{self._chance.random()}", b"{}", {}),
            )
        )
        headers = {"Content-Type": "application/json", **headers}
        response = await client.post(path, content=content, headers=headers)
        return f"{response.status_code}"

    async def _slow_reader(self, _client: httpx.AsyncClient) -> str:
        stream = await self._dial()
        body = json.dumps(chat(model="good", stream=True)).encode()
        await stream.send_all(_head(len(body)) + body)
        got = b""
        while data := await stream.receive_some(2048):
            got += data
            await trio.sleep(0.05)
        await trio.aclose_forcefully(stream)
        if got.count(b"data: [DONE]") == 1 and b'"error"' not in got:
            return "whole"
        print(f"slow_reader: {len(got)} bytes end in {got[-300:]!r}", flush=True)
        return "broken"

    async def _websocket(self, _client: httpx.AsyncClient) -> str:
        url = self._url.replace("http", "ws", 1) + "/v1/chat/completions"
        headers = [(name.encode(), value.encode()) for name, value in bearer("a").items()]
        async with open_websocket_url(url, extra_headers=headers) as socket:
            await socket.send_message(json.dumps(chat(model="good")))
            text = ""
            while (frame := json.loads(await socket.get_message()))["data"] != "[DONE]":
                if frame["event"] == "error":
                    text += str(frame["data"]["error"]["code"])
                if frame["data"].get("phase") == "final_output":
                    text += "".join(c["delta"].get("content") or "" for c in frame["data"].get("choices", []))
        return "whole" if text.strip() == WHOLE else "broken"

    async def _flaky(self, client: httpx.AsyncClient) -> str:
        response = await client.post("/v1/chat/completions", json=chat(model="default", stream=True))
        if response.status_code != 200:
            return f"{response.status_code}"
        return "error at the end" if Answer(response).error else _judged(response)

    async def _dial(self) -> trio.SocketStream:
        host, _, port = self._url.removeprefix("http://").partition(":")
        return await trio.open_tcp_stream(host, int(port))


def _head(length: int) -> bytes:
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer gw-a\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


def _judged(response: httpx.Response) -> str:
    if response.status_code != 200:
        return f"{response.status_code}"
    answer = Answer(response)
    return "whole" if answer.output.strip() == WHOLE and answer.done == 1 else "broken"
