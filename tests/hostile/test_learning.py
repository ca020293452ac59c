"""Answers that one client brings about, then another client's request: it is answered as by a fresh gateway."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import structlog
import trio
from msgspec.structs import replace

from tests.support import (
    DONE,
    HEAD,
    Answer,
    Client,
    Json,
    ask,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    upstream_toml,
)
from trio_gateway.core.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PATH = "/v1/chat/completions"
THOUGHT = "First I add the two numbers."
IMPLIED = (THOUGHT, "\n</think>\n\n", "The sum is 4.")
PLAIN = ("The", " sum is", " 6.")
QUOTES = ("It closes the block:\n", "</think>\n", "and then the answer follows.")
ONLY_THOUGHT = text_answer(THOUGHT)
TOOL_TEXT = text_answer(THOUGHT, "\n<｜tool▁calls▁begin｜>", '{"name": "add"}')
BLOCK = text_answer("<think>", THOUGHT, "\n<tool_call>", '{"name": "add"}')
CALL = {"type": "function", "function": {"name": "add", "parameters": {}}}


def prefilled(text: str) -> list[Json]:
    return [{"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": text}]


class Scene:
    """A gateway before an upstream that plays one answer a request; a held answer waits for :meth:`go_on`."""

    def __init__(self, client: Client, model: str) -> None:
        self.client = client
        self.model = model
        self.answers: list[bytes] = []
        self.held: list[bytes] = []
        self._go_on = trio.Event()

    async def script(self, stream: trio.SocketStream, number: int) -> None:
        await stream.send_all(self.answers[number])
        if number == len(self.answers) - 1 and self.held:
            await self._go_on.wait()
            await stream.send_all(b"".join(self.held))

    async def teach(self, answer: bytes, *requests: Json) -> None:
        """Client A's requests, each of which is answered so."""
        for request in requests:
            self.answers.append(answer)
            await ask(self.client, {**chat(), "model": self.model, **request})

    async def ask(self, answer: bytes, **more: object) -> Answer:
        """Client B's request."""
        self.answers.append(answer)
        return await ask(self.client, chat("And 3+3?", model=self.model, **more))

    async def watch(self, parts: Sequence[str], *, until: str, finish: str = "stop") -> Answer:
        """Client B's request, answered by *parts* of which the last one is held back by the upstream until the
        client has received the text *until*."""
        *first, last = parts
        self.answers.append(HEAD + b"".join(sse_chunk({"content": part}) for part in first))
        self.held = [sse_chunk({"content": last}), sse_chunk(finish=finish), DONE]
        body = chat("And 3+3?", model=self.model, gateway={"reasoning": "raw"})
        async with self.client.stream("POST", PATH, json=body) as response:
            received = b""
            with trio.fail_after(5):
                async for piece in response.aiter_raw():
                    received += piece
                    if until.encode() in received:
                        self._go_on.set()
            response._content = received
        self.held, self._go_on = [], trio.Event()
        return Answer(response)

    async def starts(self) -> object:
        """What ``/v1/models`` shows; for ``default``, as other ids are listed where an upstream lists them."""
        response = await self.client.get(f"/v1/models/{self.model}")
        return response.json()["capabilities"]["starts_in_reasoning"]

    async def metrics(self) -> str:
        return (await self.client.get("/metrics")).text


@asynccontextmanager
async def scene(model: str, *, entry: str = "", server: str = "") -> AsyncIterator[Scene]:
    """*entry*: the model's table in the configuration, beside what its id says."""
    stage: list[Scene] = []

    async def script(stream: trio.SocketStream, number: int) -> None:
        await stage[0].script(stream, number)

    async with open_upstream(script) as upstream:
        toml = upstream_toml(upstream.url, server=server, model=entry if model == "default" else "")
        if model != "default":
            toml += f'[models."{model}"]\n{entry}\n'
        async with open_gateway(settings(toml)) as client:
            stage.append(Scene(client, model))
            yield stage[0]


def raw(answer: Answer) -> str:
    return "".join(
        choice["delta"].get("reasoning_content", "")
        for each in answer.objects
        for choice in each.get("choices", [])
    )


def bodies(count: int, **more: object) -> list[Json]:
    """Requests with a body each."""
    return [{"seed": number, **more} for number in range(count)]


LACKING: dict[str, tuple[bytes, list[Json]]] = {
    "a stop word": (ONLY_THOUGHT, bodies(3, stop=["</think>"])),
    "a bias": (ONLY_THOUGHT, bodies(3, logit_bias={"128799": -100})),
    "stop tokens": (ONLY_THOUGHT, bodies(3, stop_token_ids=[128799])),
    "a prefill": (ONLY_THOUGHT, bodies(3, messages=prefilled("The answer is"))),
    "a block in a prefill": (ONLY_THOUGHT, bodies(3, messages=prefilled("<think>\n\n</think>\n"))),
    "tool text": (TOOL_TEXT, bodies(3, tools=[CALL])),
    "a block before tool text": (BLOCK, bodies(3, tools=[CALL])),
    "tool text after a plain request": (TOOL_TEXT, bodies(3)),
    "a plain request": (ONLY_THOUGHT, bodies(9)),
    "one request again and again": (ONLY_THOUGHT, [{}] * 5),
}


@pytest.mark.parametrize("case", LACKING)
async def test_a_declared_start_outlives_answers_without_an_end_marker(case: str) -> None:
    answer, requests = LACKING[case]
    async with scene("deepseek-r1") as stage:
        with structlog.testing.capture_logs() as lines:
            await stage.teach(answer, *requests)
        told = await stage.ask(text_answer(*IMPLIED))
        watched = await stage.watch(IMPLIED, until=THOUGHT)
        assert await stage.starts() is True
        assert f"gateway_promotions_total {len(requests)}.0" in await stage.metrics()
    assert (told.output, raw(told)) == ("The sum is 4.", "")
    assert told.phases == ["prompt_summary", "reasoning_summary", "final_output"]
    assert (watched.output, raw(watched)) == ("The sum is 4.", THOUGHT)
    hints = [line["hint"] for line in lines if "hint" in line]
    assert hints == [
        "model deepseek-r1 ended without closing its reasoning; "
        "if it opens none, set starts_in_reasoning = false"
    ]


@pytest.mark.parametrize("model", ["gpt-4o", "default"])
@pytest.mark.parametrize("times", [2, 3, 9])
async def test_quoted_end_markers_delay_nobody(model: str, times: int) -> None:
    async with scene(model) as stage:
        with structlog.testing.capture_logs() as lines:
            await stage.teach(text_answer(*QUOTES), *bodies(times))
        watched = await stage.watch(PLAIN, until=" sum is")
        assert await stage.starts() is False
    assert (watched.output, raw(watched)) == ("The sum is 6.", "")
    hints = [line["hint"] for line in lines if "hint" in line]
    assert hints == [f"model {model} opens its reasoning itself; set starts_in_reasoning = true"]


@pytest.mark.parametrize(
    "requests",
    [
        bodies(2),
        [{}] * 5,
        bodies(5, stop=["x"]),
        bodies(5, messages=prefilled("<think>")),
    ],
)
async def test_too_little_evidence_delays_nobody(requests: list[Json]) -> None:
    async with scene("qwen3-8b") as stage:
        await stage.teach(text_answer(*QUOTES), *requests)
        watched = await stage.watch(PLAIN, until=" sum is")
    assert (watched.output, raw(watched)) == ("The sum is 6.", "")


@pytest.mark.parametrize("finish", ["stop", "length"])
async def test_a_start_taught_by_an_attacker_loses_no_answer_and_ends_with_the_next(finish: str) -> None:
    entry = "max_reasoning_chars = 20\nrepetition_guard = true"
    async with scene("qwen3-8b", entry=entry) as stage:
        await stage.teach(text_answer(*QUOTES), *bodies(3))
        late = await stage.ask(text_answer("The sum, as everybody knows, ", "is 6.", finish=finish))
        watched = await stage.watch(PLAIN, until=" sum is")
    assert (late.output, late.finish_reasons) == ("The sum, as everybody knows, is 6.", [finish])
    assert (watched.output, raw(watched)) == ("The sum is 6.", "")


@pytest.mark.parametrize(
    ("model", "entry"),
    [("qwen3-8b", ""), ("house-model", 'markers = [["<think>", "</think>"]]')],
)
async def test_a_server_that_opens_the_block_itself_is_learned(model: str, entry: str) -> None:
    async with scene(model, entry=entry) as stage:
        with structlog.testing.capture_logs() as lines:
            outputs = [(await stage.ask(text_answer(*IMPLIED), seed=seed)).output for seed in range(3)]
        watched = await stage.watch(IMPLIED, until=THOUGHT)
        whole = await stage.ask(text_answer(*IMPLIED))
        special = await stage.ask(text_answer(*IMPLIED), top_k=1)
        assert await stage.starts() is True
    dropped = f"{THOUGHT}\nThe sum is 4."
    assert outputs == [dropped] * 3
    assert (watched.output, raw(watched)) == ("The sum is 4.", THOUGHT)
    assert whole.output == "The sum is 4."
    assert special.output == dropped
    assert [line["starts_in_reasoning"] for line in lines if line["event"] == "start_learned"] == [True]


async def test_learning_can_be_switched_off() -> None:
    async with scene("qwen3-8b", server="learn_start = false") as stage:
        with structlog.testing.capture_logs() as lines:
            await stage.teach(text_answer(*IMPLIED), *bodies(5))
        watched = await stage.watch(PLAIN, until=" sum is")
        assert await stage.starts() is False
    assert watched.output == "The sum is 6."
    hints = [line["hint"] for line in lines if "hint" in line]
    assert hints == ["model qwen3-8b opens its reasoning itself; set starts_in_reasoning = true"]


async def test_another_server_of_the_same_name_is_not_judged_by_what_was_learned() -> None:
    async with scene("qwen3-8b") as stage, open_upstream(plays(text_answer(*PLAIN))) as other:
        await stage.teach(text_answer(*IMPLIED), *bodies(3))
        assert await stage.starts() is True
        await stage.client.app.gateway.reload(
            settings(upstream_toml(other.url) + f'[models."{stage.model}"]\n')
        )
        assert await stage.starts() is False
        answer = await ask(stage.client, chat(model=stage.model, gateway={"reasoning": "raw"}))
    assert (answer.output, raw(answer)) == ("".join(PLAIN), "")


async def test_switching_learning_off_forgets_what_was_learned() -> None:
    async with scene("qwen3-8b") as stage:
        await stage.teach(text_answer(*IMPLIED), *bodies(3))
        gateway = stage.client.app.gateway
        for learns in (False, True):
            server = replace(gateway.config.server, learn_start=learns)
            await gateway.reload(Settings(replace(gateway.config, server=server), keys={"a": None}))
            assert await stage.starts() is False


async def test_structured_reasoning_after_a_plain_request_drops_a_declared_start() -> None:
    structured = HEAD + sse_chunk({"reasoning_content": THOUGHT}) + sse_chunk({"content": "4"})
    structured += sse_chunk(finish="stop") + DONE
    async with scene("default", entry="starts_in_reasoning = true") as stage:
        await stage.teach(structured, *bodies(3, stop=["x"]))
        assert await stage.starts() is True
        await stage.teach(structured, {})
        assert await stage.starts() is False
        watched = await stage.watch(PLAIN, until=" sum is")
        special = await stage.ask(text_answer(THOUGHT, "</think>", "6"), top_k=1)
    assert (watched.output, raw(watched)) == ("The sum is 6.", "")
    assert special.output == "6"
