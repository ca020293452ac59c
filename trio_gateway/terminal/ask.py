"""One answer, from its request to its end; over HTTP here, over WebSocket in ``websocket``.

It carries bytes to an ``Answer`` and pieces to a ``Screen``, and knows nothing of conversations or of stdin.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import trio

from ..core.sse import DONE, SSEDecoder
from .http_client import CHAT, STREAM_TIMEOUT, failures_noted, interruptible, open_client, refusal
from .reading import echo_off
from .received import Answer, to_json
from .websocket import exchange_frames

if TYPE_CHECKING:
    from argparse import Namespace

    import httpx

    from .screen import Screen

__all__ = ["ask"]

# Seconds. An answer in one piece says nothing before it is whole, a little within the gateway's own limit.
WHOLE_TIMEOUT = 960.0
# Seconds between two looks at what a terminal is to show while nothing comes.
TICK = 0.08


async def ask(options: Namespace, request: dict[str, Any], screen: Screen) -> Answer:
    """Send *request* and show the answer; whatever goes wrong is in ``Answer.error``."""
    answer = Answer()
    exchange = exchange_frames if options.ws else exchange_http
    screen.begin()
    failure: Exception | None = None
    with echo_off(), interruptible(answer):
        async with trio.open_nursery() as nursery:
            if screen.moves:
                nursery.start_soon(keep_ticking, screen)
            try:
                with failures_noted(answer, options.url):
                    await exchange(options, to_json(request), screen, answer)
            except Exception as exc:  # out of the nursery it would be a group
                failure = exc
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    screen.finish(answer)
    return answer


async def keep_ticking(screen: Screen) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone; what writes the answer sees it too
        while True:
            await trio.sleep(TICK)
            screen.tick()


async def exchange_http(options: Namespace, body: bytes, screen: Screen, answer: Answer) -> None:
    silence = WHOLE_TIMEOUT if options.no_stream else STREAM_TIMEOUT
    async with (
        open_client(options, silence=silence) as client,
        client.stream("POST", CHAT, content=body) as response,
    ):
        if response.status_code != 200:
            answer.error = refusal(response, await response.aread())
        elif options.no_stream:
            screen.arrived(await response.aread())
            for piece in answer.take_whole(response.content):
                screen.show(piece)
        else:
            await follow(response, screen, answer)


async def follow(response: httpx.Response, screen: Screen, answer: Answer) -> None:
    """Show a stream as it comes, up to its ``[DONE]``."""
    decoder = SSEDecoder()
    failure: Exception | None = None
    # Leaving the loop half-way would abandon the generators inside httpx; a cancelled read unwinds them.
    with trio.CancelScope() as reading:
        async for chunk in response.aiter_bytes():
            if reading.cancel_called:
                continue
            try:
                take(chunk, decoder, screen, answer)
            except Exception as exc:
                failure = exc
            if failure is not None or answer.done:
                reading.cancel()
    if failure is not None:
        raise failure
    if not answer.done and all(event.data != DONE for event in decoder.finish()):
        answer.fail("truncated", "the stream ended without [DONE]: the answer may be cut short")


def take(chunk: bytes, decoder: SSEDecoder, screen: Screen, answer: Answer) -> None:
    screen.arrived(chunk)
    for event in decoder.feed(chunk):
        screen.show(answer.feed(event))
    screen.count(answer.tokens)
