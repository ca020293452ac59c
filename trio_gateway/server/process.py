"""Process set-up: reads settings, reports mistakes in one line, configures the log."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import structlog
import trio

from ..core.config import ConfigError
from .app import GatewayApp, create_app
from .garbage import freezing_survivors, look_again
from .load_settings import load_settings
from .logs import configure_logging
from .transport.private_names import PrivateNameError, check_private_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ..core.config.settings import Settings

__all__ = ["follow_reloads", "keep_collections_short", "make_app", "reload_at_signal", "settings_or_exit"]

log = structlog.get_logger("trio_gateway.server")


def settings_or_exit(config_path: str | None = None) -> Settings:
    """Read the settings of the environment and the file.

    A mistake in them, or a library on which the transport cannot stand, ends the process with exit code 2 and
    one line.
    """
    try:
        check_private_names()
        return load_settings(config_path)
    except (ConfigError, PrivateNameError) as error:
        print(error, file=sys.stderr, flush=True)
        # Not sys.exit: a worker of hypercorn's would bury the line under a traceback. Nothing runs yet.
        os._exit(2)


def make_app() -> GatewayApp:
    """The application of a worker that hypercorn started."""
    settings = settings_or_exit()
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(settings)
    reload_at_signal(app)
    keep_collections_short(app)
    return app


def keep_collections_short(app: GatewayApp) -> None:
    """Have garbage collected in short steps while *app* serves, in a process that serves nothing else."""

    async def collect(task_status: trio.TaskStatus[None]) -> None:
        with freezing_survivors() as at_start:
            task_status.started()
            await look_again(at_start, lambda: app.gateway.active)

    async def begin() -> None:
        await app.nursery.start(collect)

    app.before_serving(begin)


def reload_at_signal(app: GatewayApp, config_path: str | None = None) -> None:
    """Have *app* take up what the configuration says at each SIGHUP. A mistake in it changes nothing.

    By the end of the app's start the signal is handled: without a handler it would end the process.
    """

    async def watch() -> None:
        await app.nursery.start(_reload_at_signal, app, config_path)

    app.before_serving(watch)


async def _reload_at_signal(
    app: GatewayApp, config_path: str | None, *, task_status: trio.TaskStatus[None]
) -> None:
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        await follow_reloads(signals, config_path, app.reload)


async def follow_reloads(
    signals: AsyncIterator[int], config_path: str | None, take_up: Callable[[Settings], Awaitable[None]]
) -> None:
    """Read the configuration at each of *signals*, and await *take_up* with it.

    A mistake in it is one line of the log, and changes nothing.
    """
    async for _ in signals:
        try:
            settings = load_settings(config_path)
        except ConfigError as error:
            log.error("reload_refused", message=str(error))
            continue
        configure_logging(settings.log_level, settings.log_format)
        await take_up(settings)
        log.info("reloaded")
