"""The law of delay: what summaries cost the first byte of the final output. It must be next to nothing.

Runs the gateway against an upstream that thinks for 0.3 s and then answers, with summaries off and in each
mode, in turn, and prints the time from the upstream's first piece of output to the client's, in milliseconds:

    python benchmarks/delay.py [REQUESTS_PER_MODE]
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support import (
    DONE,
    HEAD,
    Client,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
)

THOUGHT = "First I compare both options by their price, and by their weight. Then I check the sum once more. "
TOML = """
[upstreams.main]
url = "{}"
[upstreams.small]
url = "{}"
[summary]
prompt = "{}"
reasoning = "{}"
upstream = "small"
model = "tiny"
interval = 0.1
"""
LATE = b""
MODES = {
    "off": ("off", text_answer("x")),
    "extractive": ("extractive", text_answer("x")),
    "model, fast": ("model", text_answer("Comparing the options.")),
    "model, hangs": ("model", LATE),
    "model, fails": ("model", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
}


async def thinks(stream: trio.SocketStream, _number: int) -> None:
    """Think for 300 ms, then answer with the instant the answer left."""
    await stream.send_all(HEAD + sse_chunk({"content": "<think>"}))
    for _ in range(6):
        await stream.send_all(sse_chunk({"content": THOUGHT}))
        await trio.sleep(0.05)
    now = str(time.perf_counter())
    await stream.send_all(sse_chunk({"content": f"</think>{now}"}, finish="stop") + DONE)


async def delay(client: Client) -> float:
    """Milliseconds from the upstream's first piece of output to the client's."""
    body = chat("Please compare these two options for me. " * 20)
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        text, seen = "", 0.0
        async for chunk in response.aiter_text():
            text += chunk
            if not seen and '"phase": "final_output"}\n\ndata: {' in text:
                seen = time.perf_counter()
    told = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    output = [each for each in told if each.get("phase") == "final_output" and "choices" in each]
    return 1000 * (seen - float(output[0]["choices"][0]["delta"]["content"]))


async def main(count: int) -> None:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(open_upstream(thinks))
        clients = {}
        for name, (mode, sent) in MODES.items():
            small = await stack.enter_async_context(open_upstream(plays(sent, hold=sent is LATE)))
            toml = TOML.format(upstream.url, small.url, mode, mode)
            clients[name] = await stack.enter_async_context(open_gateway(settings(toml)))
        times: dict[str, list[float]] = {name: [] for name in MODES}
        for _ in range(count):
            for name, client in clients.items():
                times[name].append(await delay(client))
    base = sorted(times["off"])
    print(f"{'':14}{'median':>10}{'p99':>10}{'- off':>10}{'p99 - off':>10}   (ms, {count} requests each)")
    for name, each in times.items():
        each.sort()
        median, worst = statistics.median(each), each[int(0.99 * count)]
        more = (median - statistics.median(base), worst - base[int(0.99 * count)])
        print(f"{name:14}{median:10.2f}{worst:10.2f}{more[0]:10.2f}{more[1]:10.2f}")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
