"""Parent: starts the workers, keeps them running, and answers for all of them.

It holds the listening socket, which the workers inherit, and serves nothing itself. When it decides what is
written in :mod:`.supervision`; this module carries it out. It reads the configuration, once for all: a
worker gets its settings over the channel, so that a file which is being changed never divides them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from ..banner import BANNER_PATIENCE, is_wanted, print_banner
from ..listening import STOP_SIGNALS, stop_at_signal
from ..process import follow_reloads
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
    Trade,
    Traded,
    WholeHealth,
    WholeMetrics,
)
from .rounds import Rounds
from .sharing import Arbitration
from .sums import lasting, page, total
from .supervision import Supervision
from .whole_health import whole_health

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...core.config.settings import Settings
    from .channel_messages import Question, Reply
    from .sums import Family

__all__ = ["Parent", "WorkersError"]

log = structlog.get_logger("trio_gateway.server")

_START: Final = 60.0
"""Seconds a worker has until it accepts connections."""
_ANSWER: Final = 1.0
"""Seconds a worker has to answer for itself; without an answer its last metrics count."""
_RELOAD: Final = 10.0
"""Seconds a worker has to take up a changed configuration before the log says that it is late."""
_OVERTIME: Final = 5.0
"""Seconds beyond the grace time after which a worker that was ordered to stop is ended."""
_LAST_WORDS: Final = 1.0
"""Seconds to read what a worker sent before its end."""
_END: Final = 5.0
"""Seconds from the end of a worker's channel to that of its process."""
_WORKER: Final = f"{__package__}.worker_process"


class WorkersError(Exception):
    """The workers cannot be kept running; the message is one line."""


class Parent:
    """The process that keeps so many *workers* serving on *listener*, which is reached at *url*."""

    def __init__(
        self, settings: Settings, listener: socket.socket, url: str, config_path: str | None, workers: int
    ) -> None:
        self._settings = settings
        self._serial = 0
        self._grace = settings.config.server.graceful_timeout
        self._listener = listener
        self._url = url
        self._config_path = config_path
        self._wanted = workers
        self._supervision = Supervision(workers)
        self._stopping = trio.Event()
        self._processes: dict[int, trio.Process] = {}
        self._channels: dict[int, ControlChannel] = {}
        self._answering: dict[int, ControlChannel] = {}
        """Channels of the workers that have started."""
        self._samples: dict[int, list[Family]] = {}
        """The last known metrics of each worker that runs."""
        self._past: list[Family] = []
        """What those that have ended counted."""
        self._arbitration = Arbitration()
        self._pages = Rounds(self._metrics)
        self._healths = Rounds(self._health)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then until the workers have finished what runs.

        Raises:
            WorkersError: one ended at each of its starts.
        """
        self._started_at = trio.current_time()
        self._warn()
        # Handlers come first: whoever reads that the gateway listens may stop it at once.
        with (
            trio.open_signal_receiver(*STOP_SIGNALS) as stops,
            trio.open_signal_receiver(signal.SIGHUP) as hangups,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop_at_signal, stops, self._stop)
                nursery.start_soon(follow_reloads, hangups, self._config_path, self._take_up)
                nursery.start_soon(self._pages.run)
                nursery.start_soon(self._healths.run)
                async with trio.open_nursery() as workers:
                    for number in range(self._wanted):
                        workers.start_soon(self._keep, number)
                nursery.cancel_scope.cancel()
        if self._supervision.trouble:
            raise WorkersError(self._supervision.trouble)

    def _stop(self) -> None:
        """Take no more connections, and have the workers finish what runs."""
        self._listener.close()  # theirs are closed as they begin to drain
        for number in self._supervision.stop():
            if number in self._processes:  # else it is being started, and ended then
                self._processes[number].terminate()
        self._stopping.set()

    async def _keep(self, number: int) -> None:
        """Start that worker, and again whenever it ends, until the gateway stops."""
        pause: float | None = 0.0
        while pause is not None:
            with trio.move_on_after(pause):
                await self._stopping.wait()
            if not self._supervision.due(number):
                return
            status = await self._run_once(number)
            pause = self._supervision.exited(number, trio.current_time())
            if self._stopping.is_set():
                return
            log.error("worker_ended", worker=number, status=status, restart_in_s=pause)
        self._stop()

    async def _run_once(self, number: int) -> str:
        """Run that worker until its process ends; how it did."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await _start(self._listener.fileno(), theirs.fileno())
            except OSError as error:
                ours.close()
                return f"not started: {error.strerror}"
        self._processes[number] = process
        channel = ControlChannel(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        try:
            if self._stopping.is_set():
                process.terminate()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._talk, number, process, channel)
                nursery.start_soon(self._adopted, number, process, channel)
                nursery.start_soon(self._end_in_time, number, process)
                await process.wait()
                with trio.move_on_after(_LAST_WORDS):
                    await channel.closed.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._forget(number)
        return _shown(process.returncode)

    async def _talk(self, number: int, process: trio.Process, channel: ControlChannel) -> None:
        await channel.run(partial(self._answer, number))
        # Either it ends, or it cannot be asked any more and would be missing from the sums: it is replaced.
        await trio.sleep(_END)
        process.terminate()

    async def _adopted(self, number: int, process: trio.Process, channel: ControlChannel) -> None:
        """Hand the settings to a worker, and wait until it accepts connections."""
        self._channels[number] = channel
        try:
            await channel.ask(Adopt(self._serial, _unwarned(self._settings)), Acknowledged, within=_START)
        except ChannelError as error:
            if not channel.closed.is_set():
                log.error("worker_not_ready", worker=number, message=str(error))
                process.kill()
            return
        self._answering[number] = channel
        if self._supervision.ready(number, trio.current_time()):
            await self._announce(channel)
        elif not self._stopping.is_set():
            log.info("worker_ready", worker=number, pid=process.pid)

    async def _announce(self, channel: ControlChannel) -> None:
        if is_wanted(self._settings):
            try:
                shown = await channel.ask(Banner(self._url), Lines, within=BANNER_PATIENCE + _ANSWER)
            except ChannelError:
                pass  # it has just ended
            else:
                print_banner([*shown.lines, f"  workers   {self._wanted}"])
                return
        log.info("listening", url=self._url, workers=self._wanted)

    async def _end_in_time(self, number: int, process: trio.Process) -> None:
        await self._stopping.wait()
        await trio.sleep(self._grace + _OVERTIME)
        log.error("worker_overdue", worker=number, pid=process.pid)
        process.kill()

    def _forget(self, number: int) -> None:
        """The process of that worker has ended. What it counted stays."""
        self._processes.pop(number, None)
        self._channels.pop(number, None)
        self._answering.pop(number, None)
        self._past = total([self._past, lasting(self._samples.pop(number, []))])
        self._arbitration.forget(number)

    async def _answer(self, number: int, question: Question) -> Reply:
        match question:
            case WholeMetrics():
                return MetricsText(await self._pages.get())
            case WholeHealth():
                return HealthBody(await self._healths.get())
            case KeepSamples(families):
                self._samples[number] = families
                return Acknowledged()
            case Trade(report):
                return Traded(self._arbitration.exchange(number, report, trio.current_time()))
            case _:
                return Failed(f"the parent does not answer {type(question).__name__}")

    async def _metrics(self) -> bytes:
        await self._ask_all(self._ask_samples)
        return page(total([self._past, *self._samples.values()]))

    async def _ask_samples(self, number: int, channel: ControlChannel) -> None:
        samples = await channel.ask(OwnSamples(), Samples, within=_ANSWER)
        if self._answering.get(number) is channel:  # else they are among those of the past already
            self._samples[number] = samples.families

    async def _health(self) -> dict[str, Any]:
        bodies: dict[int, dict[str, Any]] = {}

        async def ask(number: int, channel: ControlChannel) -> None:
            bodies[number] = (await channel.ask(OwnHealth(), HealthBody, within=_ANSWER)).body

        await self._ask_all(ask)
        if not bodies:
            raise ChannelError("no worker answers")
        return whole_health(
            [bodies[number] for number in sorted(bodies)],
            wanted=self._wanted,
            uptime=trio.current_time() - self._started_at,
            stopping=self._stopping.is_set(),
        )

    async def _ask_all(self, ask: Callable[[int, ControlChannel], Awaitable[object]]) -> None:
        """Have *ask* ask each worker that has started, all at once. One without an answer is passed over."""

        async def try_one(number: int, channel: ControlChannel) -> None:
            try:
                await ask(number, channel)
            except ChannelError as error:
                if not channel.closed.is_set():
                    log.warning("worker_silent", worker=number, message=str(error))

        async with trio.open_nursery() as nursery:
            for number, channel in self._answering.items():
                nursery.start_soon(try_one, number, channel)

    async def _take_up(self, settings: Settings) -> None:
        """Serve under *settings* from now on: all workers that run, and those that start later."""
        self._settings, self._serial = settings, self._serial + 1
        self._grace = max(self._grace, settings.config.server.graceful_timeout)
        self._warn()
        async with trio.open_nursery() as nursery:
            for number, channel in self._channels.items():
                nursery.start_soon(self._reload, number, channel)

    async def _reload(self, number: int, channel: ControlChannel) -> None:
        try:
            await channel.ask(Adopt(self._serial, _unwarned(self._settings)), Acknowledged, within=_RELOAD)
        except ChannelError as error:
            if not channel.closed.is_set():
                log.error("worker_not_reloaded", worker=number, message=str(error))

    def _warn(self) -> None:
        for warning in self._settings.warnings:
            log.warning("configuration", message=warning)


async def _start(listener: int, channel: int) -> trio.Process:
    """A worker's process, which inherits both descriptors."""
    root = str(Path(__file__).parents[_WORKER.count(".")])
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", _WORKER, str(listener), str(channel)],
        stdin=subprocess.DEVNULL,
        pass_fds=(listener, channel),
        # Ctrl-C and the end of a terminal are for the parent, which passes on what is meant for them.
        process_group=0,
        # The search path goes with it, as this package need not be installed.
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])},
    )


def _unwarned(settings: Settings) -> Settings:
    """*settings* for a worker: their warnings are logged by the parent."""
    return replace(settings, warnings=())


def _shown(status: int | None) -> str:
    """How a process ended, in words."""
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit {status}"
