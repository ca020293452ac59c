"""Worker: one of several processes that serve; ``python -m`` starts it, for the parent alone.

Its arguments are the descriptors of the listening socket and of the channel. The first message holds its
settings. When the parent has gone it finishes what runs, and ends.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from ...core.errors import RequestError, error_for
from ..app import create_app
from ..banner import awaited_banner
from ..listening import STOP_SIGNALS, serve_on, stop_at_signal
from ..logs import configure_logging
from ..process import keep_collections_short
from .channel import ChannelError, ControlChannel
from .channel_messages import (
    Acknowledged,
    Adopt,
    Banner,
    Failed,
    HealthBody,
    KeepSamples,
    Lines,
    MetricsText,
    OwnHealth,
    OwnSamples,
    Samples,
    WholeHealth,
    WholeMetrics,
)
from .rounds import Rounds
from .sharing import ParentStore
from .sums import samples_of

if TYPE_CHECKING:
    from ...core.config.settings import Settings
    from ..app import GatewayApp
    from .channel_messages import Question, Reply

__all__ = ["Worker", "main"]

log = structlog.get_logger("trio_gateway.server")

_PARENT: Final = 3.0
"""Seconds the parent has to answer: it asks every worker, after a round that may be running."""
_LAST: Final = 1.0
"""The same for the last metrics."""

_NOT_GATHERED: Final = error_for(
    "overloaded", "The metrics of the other processes could not be gathered: try again.", retry_after=1.0
)


class Worker:
    """One worker, which serves on the listening socket *listener*."""

    def __init__(self, listener: int, channel: ControlChannel) -> None:
        self._listener = listener
        self._channel = channel
        self._stop = trio.Event()
        self._app: GatewayApp | None = None
        self._started = trio.Event()
        self._serial = -1
        self._adopting = trio.StrictFIFOLock()
        self._first = trio.Event()
        self._settings: Settings | None = None
        self._whole = _Whole(self, channel)

    async def run(self) -> None:
        """Serve under the settings that the parent sends, until SIGTERM, or until the parent has gone."""
        with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop_at_signal, signals, self._stop.set)
                nursery.start_soon(self._talk)
                nursery.start_soon(self._whole.run)
                await self._serve()
                nursery.cancel_scope.cancel()

    async def _serve(self) -> None:
        settings = await self._first_settings()
        if settings is None:
            return
        configure_logging(settings.log_level, settings.log_format)
        app = create_app(settings)
        app.whole = self._whole
        if app.store is None:  # else all workers share, with other gateways, where the settings say
            app.store = ParentStore(self._channel)
        keep_collections_short(app)
        async with trio.open_nursery() as serving:
            await serving.start(serve_on(self._listener, app, self._stop))
            self._app = app
            self._started.set()
        await self._leave_samples(app)

    async def _first_settings(self) -> Settings | None:
        """The settings to start under; None: it has to stop before there are any."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at, self._stop, nursery.cancel_scope)
            await self._first.wait()
            nursery.cancel_scope.cancel()
        return self._settings

    async def _leave_samples(self, app: GatewayApp) -> None:
        try:
            last = KeepSamples(samples_of(app.gateway.metrics.registry))
            await self._channel.ask(last, Acknowledged, within=_LAST)
        except ChannelError:
            pass  # the parent has gone; nobody asks any more

    async def _talk(self) -> None:
        await self._channel.run(self._answer)
        if not self._stop.is_set():
            log.info("stopping", reason="the parent has ended")
            self._stop.set()

    async def _answer(self, question: Question) -> Reply:
        if isinstance(question, Adopt):
            await self._adopt(question.settings, question.serial)
            return Acknowledged()
        if self._app is None:
            return Failed("it has not started")
        match question:
            case OwnSamples():
                return Samples(samples_of(self._app.gateway.metrics.registry))
            case OwnHealth():
                return HealthBody(self._app.gateway.health())
            case Banner(url):
                return Lines(await awaited_banner(self._app, url))
            case _:
                return Failed(f"a worker does not answer {type(question).__name__}")

    async def _adopt(self, settings: Settings, serial: int) -> None:
        if self._settings is None:
            self._settings, self._serial = settings, serial
            self._first.set()
        await self._started.wait()
        async with self._adopting:
            if serial > self._serial:
                assert self._app is not None  # noqa: S101  # it has started
                self._serial = serial
                configure_logging(settings.log_level, settings.log_format)
                await self._app.reload(settings)

    def own_health(self) -> dict[str, Any]:
        """Body of this worker's own ``/health``, while it serves."""
        assert self._app is not None  # noqa: S101
        return self._app.gateway.health()


class _Whole:
    """All processes, as the parent shows them."""

    def __init__(self, worker: Worker, channel: ControlChannel) -> None:
        self._worker = worker
        self._channel = channel
        self._pages = Rounds(self._page)
        self._healths = Rounds(self._health)

    async def run(self) -> None:
        """Ask the parent whenever a client asks; until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pages.run)
            nursery.start_soon(self._healths.run)

    async def metrics(self) -> bytes:
        """The text of ``/metrics``; never of this worker alone, as its counters are lower.

        Raises:
            RequestError: 503, the parent does not answer.
        """
        try:
            return await self._pages.get()
        except ChannelError:
            raise RequestError(_NOT_GATHERED) from None

    async def health(self) -> dict[str, Any]:
        """The body of ``/health``; of this worker alone where the parent does not answer."""
        try:
            return await self._healths.get()
        except ChannelError:
            return self._worker.own_health()

    async def _page(self) -> bytes:
        return (await self._channel.ask(WholeMetrics(), MetricsText, within=_PARENT)).text

    async def _health(self) -> dict[str, Any]:
        return (await self._channel.ask(WholeHealth(), HealthBody, within=_PARENT)).body


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _run(listener: int, channel: int) -> None:
    ours = trio.socket.from_stdlib_socket(socket.socket(fileno=channel))
    await Worker(listener, ControlChannel(trio.SocketStream(ours))).run()


def main() -> None:
    """Run the worker that the arguments describe."""
    # The parent reads the configuration, whoever else gets the signal.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listener, channel = map(int, sys.argv[1:])
    trio.run(_run, listener, channel)


if __name__ == "__main__":
    main()
