"""Listening: has hypercorn serve an application on a socket until it is stopped."""

from __future__ import annotations

import logging
import select
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

import hypercorn.trio
import structlog
import trio
from hypercorn.config import Config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .app import GatewayApp

__all__ = ["KEEP_ALIVE", "STOP_SIGNALS", "serve_on", "stop_at_signal"]

log = structlog.get_logger("trio_gateway.server")

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

KEEP_ALIVE: Final = 75.0
"""Seconds that a connection may be idle between requests: more than clients keep theirs (httpx 5, Node.js 4
to 60, nginx 60), as a request that meets the closing is lost. nginx has the same towards its clients."""
_EMPTYING: Final = 2.0
"""Seconds for which connections are accepted at most after the order to stop."""
_LOOK_AGAIN: Final = 0.005


def serve_on(descriptor: int, app: GatewayApp, stop: trio.Event) -> Callable[..., Awaitable[None]]:
    """What serves *app* on the listening socket *descriptor*, which it takes over, until *stop*, and drains.

    It is for :meth:`trio.Nursery.start`. Started means: the application has started, and connections are
    accepted.
    """
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = KEEP_ALIVE
    config.graceful_timeout = app.settings.config.server.graceful_timeout
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)  # where it listens is told already
    return partial(hypercorn.trio.serve, app, config, shutdown_trigger=partial(_emptied, descriptor, stop))


async def _emptied(descriptor: int, stop: trio.Event) -> None:
    """Wait for *stop*, and then until those that had connected before are accepted.

    To close the socket resets the connections that wait in it, with the requests that were sent over them.
    """
    await stop.wait()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    with trio.move_on_after(_EMPTYING):
        while waiting.poll(0):  # noqa: ASYNC110  (there is no event: the loop accepts meanwhile)
            await trio.sleep(_LOOK_AGAIN)


async def stop_at_signal(signals: AsyncIterator[int], stop: Callable[[], None]) -> None:
    """Call *stop* at each of *signals*, and log it."""
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        stop()
