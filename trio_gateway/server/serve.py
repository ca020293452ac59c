"""Server process: opens the socket, runs hypercorn and handles signals."""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING

import hypercorn.trio
import structlog
import trio
from hypercorn.config import Config

from .app import create_app
from .banner import is_wanted, show_banner
from .process import reload_at_signal, spare_the_start

if TYPE_CHECKING:
    from ..core.config import ServerConfig
    from ..core.config.settings import Settings

__all__ = ["PortError", "run_server"]

log = structlog.get_logger("trio_gateway.server")

# Connections the kernel keeps while the loop is busy; Linux cuts it to net.core.somaxconn.
_BACKLOG = 1024


class PortError(Exception):
    """The address cannot be listened on; the message is one line, with the remedy."""


def run_server(settings: Settings, *, config_path: str | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let running streams finish within the grace time.

    At SIGHUP the configuration is read again, from the file at *config_path* (else ``GATEWAY_CONFIG``).

    Raises:
        PortError: the address is taken or not ours.
    """
    with _listen(settings.config.server) as listener:
        trio.run(_serve, settings, listener, config_path)


async def _serve(settings: Settings, listener: socket.socket, config_path: str | None) -> None:
    server, url = settings.config.server, _url_of(listener)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = server.graceful_timeout
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)  # where it listens is told already
    stop = trio.Event()
    app = create_app(settings)
    if is_wanted(settings):
        show_banner(app, url)
    else:
        log.info("listening", url=url)
    reload_at_signal(app, config_path)
    spare_the_start(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_at_signal, stop)
        await hypercorn.trio.serve(app, config, shutdown_trigger=stop.wait)
        nursery.cancel_scope.cancel()


async def _stop_at_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            stop.set()


def _listen(server: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        listener = socket.create_server((server.host, server.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        where = f"{server.host}:{server.port}"
        reason = str(error.strerror).partition(" (while")[0]  # create_server repeats the address there
        raise PortError(f"cannot listen on {where}: {reason}; set PORT or HOST to a free address") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
