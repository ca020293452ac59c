"""Server process: opens the socket, runs hypercorn and handles signals."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import structlog
import trio

from .app import create_app
from .banner import is_wanted, show_banner
from .listening import STOP_SIGNALS, serve_on, stop_at_signal
from .process import keep_collections_short, reload_at_signal
from .transport.hardening import BACKLOG
from .workers.parent import Parent, WorkersError

if TYPE_CHECKING:
    from ..core.config import ServerConfig
    from ..core.config.settings import Settings

__all__ = ["PortError", "WorkersError", "run_server"]

log = structlog.get_logger("trio_gateway.server")


class PortError(Exception):
    """The address cannot be listened on; the message is one line, with the remedy."""


def run_server(settings: Settings, *, config_path: str | None = None, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, then let running streams finish within the grace time.

    *workers*: processes that serve; with more than one this one is their parent.

    At SIGHUP the configuration is read again, from the file at *config_path* (else ``GATEWAY_CONFIG``).

    Raises:
        PortError: the address is taken or not ours.
        WorkersError: a worker ended at each of its starts.
    """
    with _listen(settings.config.server) as listener:
        if workers == 1:
            trio.run(_serve, settings, listener, config_path)
        else:
            trio.run(Parent(settings, listener, _url_of(listener), config_path, workers).run)


async def _serve(settings: Settings, listener: socket.socket, config_path: str | None) -> None:
    url = _url_of(listener)
    stop = trio.Event()
    app = create_app(settings)
    reload_at_signal(app, config_path)
    wants_banner = is_wanted(settings)
    if wants_banner:
        show_banner(app, url)
    keep_collections_short(app)
    # Handlers come first: whoever reads that the gateway listens may stop it at once.
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as watching:
            watching.start_soon(stop_at_signal, signals, stop.set)
            async with trio.open_nursery() as serving:
                await serving.start(serve_on(listener.detach(), app, stop))
                if not wants_banner:
                    log.info("listening", url=url)
            watching.cancel_scope.cancel()


def _listen(server: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        listener = socket.create_server((server.host, server.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"{server.host}:{server.port}"
        reason = str(error.strerror).partition(" (while")[0]  # create_server repeats the address there
        raise PortError(f"cannot listen on {where}: {reason}; set PORT or HOST to a free address") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
