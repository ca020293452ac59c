"""Batches of thousands of events, or with megabytes in one: they leave in slices, and others are served."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from tests.support import DONE, HEAD, Json, ask, chat, open_gateway, open_upstream, plays, settings, sse_chunk
from tests.websocket.talking import open_socket

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
