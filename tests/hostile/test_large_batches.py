"""Batches of thousands of events, or with megabytes in one: they leave in slices, and others are served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.support import DONE, HEAD, Json, ask, chat, open_gateway, open_upstream, plays, settings, sse_chunk
from tests.websocket.talking import open_socket
from trio_gateway.core.events import OutputDelta
from trio_gateway.server.batch_sink import BatchSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_gateway.core.events import Batch

EVENTS = 5000
IMAGE = {"images": [{"image_url": {"url": "data:" + "A" * 700_000}}]}
DELTAS: dict[str, tuple[list[Json], str]] = {
    # what came at once: the deltas, the text of the answer
    "many": (
        [{"content": f"{number} "} for number in range(EVENTS)],
        "".join(f"{n} " for n in range(EVENTS)),
    ),
    "long": ([{"content": "x" * 500_000}], "x" * 500_000),
    "heavy": ([{"content": "x"}, IMAGE, {"content": "y"}], "xy"),
}


def answer_of(deltas: list[Json]) -> bytes:
    return HEAD + b"".join(map(sse_chunk, deltas)) + sse_chunk(finish="stop") + DONE


@pytest.mark.parametrize("case", DELTAS.values(), ids=DELTAS)
async def test_they_come_whole_and_in_order(case: tuple[list[Json], str]) -> None:
    deltas, text = case
    async with (
        open_upstream(plays(answer_of(deltas))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        over_sse = await ask(client, chat())
        async with open_socket(client) as socket:
            over_websocket = await socket.ask(chat())
    for answer in (over_sse, over_websocket):
        assert (answer.output, answer.done, answer.finish_reasons) == (text, 1, ["stop"])
        images = [each for each in answer.objects if "images" in json.dumps(each.get("choices", ""))[:200]]
        assert len(images) == (IMAGE in deltas)


CALL = {
    "tool_calls": [
        {
            "index": n,
            "id": f"c{n}",
            "type": "function",
            "function": {"name": "f", "arguments": '"' + "y" * 20_000 + '"'},
        }
        for n in range(30)
    ]
}


@pytest.mark.parametrize("name", ["phases", "openai"])
async def test_a_large_tool_call_in_one_event_comes_whole_over_a_websocket(name: str) -> None:
    async with (
        open_upstream(plays(answer_of([CALL]))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        open_socket(client) as socket,
    ):
        answer = await socket.ask(chat(gateway={"format": name}))
    calls = [
        call
        for each in answer.objects
        for choice in each.get("choices", [])
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert calls == CALL["tool_calls"]
    assert (answer.done, answer.finish_reasons) == (1, ["stop"])


class Slices(BatchSink[list[str]]):
    """Sink whose events are slices already, for a socket with or without room."""

    def __init__(self, *, has_room: bool) -> None:
        super().__init__()
        self._has_room = has_room
        self.sent: list[str] = []

    def encode(self, batch: Batch) -> Iterator[list[str]]:
        for event in batch:
            assert isinstance(event, OutputDelta)
            yield [*event.text]

    def send_nowait(self, data: list[str]) -> list[str]:
        if not self._has_room:
            return data
        self.sent += data
        return []

    async def send(self, data: list[str]) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += data


@pytest.mark.parametrize("has_room", [False, True])
@pytest.mark.parametrize("texts", [["", "", "a"], ["a", "", "", "b"], ["", "", "", "", ""], ["a", "b", ""]])
async def test_slices_that_are_there_for_a_checkpoint_hold_nothing_back(
    texts: list[str], has_room: bool
) -> None:
    sink = Slices(has_room=has_room)
    for number in (1, 2):
        sink.write([OutputDelta(0, text) for text in texts])
        await sink.flush()
        assert "".join(sink.sent) == "".join(texts) * number
        assert sink.flush_nowait()


class Writes(trio.abc.Instrument):
    """Counts the steps in which the connections of the server wrote."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith(("Failover.run", "RequestStream._run"))


async def test_a_large_batch_is_written_in_many_steps() -> None:
    deltas, _ = DELTAS["many"]
    writes = Writes()
    async with (
        open_upstream(plays(answer_of(deltas))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        trio.lowlevel.add_instrument(writes)
        await ask(client, chat())
        trio.lowlevel.remove_instrument(writes)
    assert writes.count >= EVENTS // 128
