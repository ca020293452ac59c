"""Listening: has hypercorn serve an application on a socket until it is stopped."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import hypercorn.trio
import structlog
import trio
from hypercorn.config import Config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .app import GatewayApp

__all__ = ["STOP_SIGNALS", "serve_on", "stop_at_signal"]

log = structlog.get_logger("trio_gateway.server")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve_on(  # hypercorn calls started()
    descriptor: int,
    app: GatewayApp,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *app* on the listening socket *descriptor*, which becomes ours, until *stop*; then drain.

    Started means: the application has started, and connections are accepted.
    """
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.graceful_timeout = app.settings.config.server.graceful_timeout
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)  # where it listens is told already
    await hypercorn.trio.serve(app, config, shutdown_trigger=stop.wait, task_status=task_status)


async def stop_at_signal(signals: AsyncIterator[int], stop: trio.Event) -> None:
    """Set *stop* at the first of *signals*, and log each."""
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()
