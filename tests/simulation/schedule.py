"""Runs one schedule: the real worker, application and upstream client between actors of ours, in one loop."""

from __future__ import annotations

import gc
import logging
import math
import random
import re
import traceback
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast
from unittest.mock import patch

import hypercorn.trio
import structlog
import trio
from hypercorn.config import Config, Sockets
from trio._core import _run as trio_loop
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.simulation.client import GATEWAY, run_client
from tests.simulation.inspection import (
    check_connections,
    check_gateway,
    check_openings,
    check_requests,
    check_sockets,
    tasks_of,
)
from tests.simulation.network import Network
from tests.simulation.oracles import check_answer
from tests.simulation.records import Records
from tests.simulation.upstream import ModelServer
from tests.support import settings
from trio_gateway import create_app

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable, Iterator
    from socket import socket

    from tests.simulation.plan import Plan

__all__ = ["Result", "run_plan"]

# Virtual seconds after which a schedule must be over, whatever happens in it.
_LONGEST: Final = 600.0
# Seconds in which the last request's tasks and connections must be gone; a connection that ends lingers for one.
_SETTLES_IN: Final = 1.5
# Seconds in which a server that is told to stop must have stopped, beyond the grace it gives to running requests.
_STOPS_IN: Final = 1.5
# The task of a client's connection on which no request is under way.
_IDLE: Final = "trio._highlevel_serve_listeners._run_handler"


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule came to."""

    trace: str
    violations: tuple[str, ...]


def run_plan(plan: Plan) -> Result:
    """Run *plan* from the server's start to its end, and judge."""
    records = Records()
    with _determined(plan.seed), _logs_to(records):
        try:
            trio.run(_run, plan, records, clock=MockClock(autojump_threshold=0))
        except Exception as error:  # of the server's, or of an actor's: either is a finding
            records.trace.append("".join(traceback.format_exception(error)))
            records.faults.append(f"crash: {error!r}")
    for transcript in records.transcripts:
        records.trace.append(f"== {transcript.asked.nonce}\n{_shown(bytes(transcript.body))}")
    return Result("\n".join(records.trace), tuple(records.faults))


async def _run(plan: Plan, records: Records) -> None:
    network = Network(random.Random(f"network {plan.seed}"))
    with network.installed(), trio.move_on_after(_LONGEST) as scope:
        async with trio.open_nursery() as nursery:
            for name in plan.upstreams:
                nursery.start_soon(ModelServer(name, plan, network, records).run)
            await _serve(plan, network, records)
            nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        records.faults.append("end: not over in all the time there is")


async def _serve(plan: Plan, network: Network, records: Records) -> None:
    app = create_app(settings(plan.toml))
    stop = _Stop(records)
    async with trio.open_nursery() as worker:
        serve = partial(hypercorn.trio.serve, app, _config(network, records), shutdown_trigger=stop.wait)
        worker.start_soon(stop.timed, serve)
        await stop.serving.wait()
        await wait_all_tasks_blocked()
        at_rest = tasks_of(worker)
        async with trio.open_nursery() as clients:
            answered = [await clients.start(run_client, each, network, records) for each in plan.clients]
            if plan.drain_at is not None:
                clients.start_soon(stop.later, plan.drain_at)
            for each in answered:
                await each.wait()
            idle = stop.told_at is None
            stop.planned.cancel()
            if idle:
                records.faults += await _settled(worker, at_rest, network)
                stop.now()
    took, allowed = stop.took, _STOPS_IN + (0.0 if idle else plan.grace)
    if took > allowed:
        records.faults.append(f"stop: took {took:.2f} s of {allowed:.2f}")
    records.faults += [*check_gateway(app, records), *check_requests(records), *check_connections(records)]
    records.faults += check_sockets(network, at_end=True)
    upstreams = app.gateway.config.upstreams.items()
    records.faults += check_openings(records, {name: each.breaker.window for name, each in upstreams})
    for transcript in records.transcripts:
        attempts = [attempt for attempt in records.attempts if attempt.nonce == transcript.asked.nonce]
        records.faults += check_answer(transcript, attempts, drained=not idle)


class _Stop:
    """The order to stop, and when it was given."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._told = trio.Event()
        self.wait = self._told.wait
        self.serving = trio.Event()
        self.told_at: float | None = None
        self.took = math.inf
        """Seconds from the order to the end."""
        self.planned = trio.CancelScope()
        """Of an order that is to be given later."""

    async def timed(self, serve: Callable[..., Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            self.serving.set()
        assert self.told_at is not None
        self.took = trio.current_time() - self.told_at

    async def later(self, seconds: float) -> None:
        with self.planned:
            await trio.sleep(seconds)
            self.now()

    def now(self) -> None:
        self._records.note("gateway", "is told to stop")
        self.told_at = trio.current_time()
        self._told.set()


async def _settled(worker: trio.Nursery, at_rest: Counter[str], network: Network) -> list[str]:
    """Wait until the gateway is as it was; what is not, when time is up."""
    with trio.move_on_after(_SETTLES_IN):
        while _unsettled(worker, at_rest, network):  # noqa: ASYNC110  (what is looked at has no event)
            await trio.sleep(0.25)
    return _unsettled(worker, at_rest, network)


def _unsettled(worker: trio.Nursery, at_rest: Counter[str], network: Network) -> list[str]:
    now = tasks_of(worker)
    idle = sum(sock.name == "gateway<" and sock.closed_at is None for sock in network.sockets)
    now[_IDLE] -= idle
    now.subtract(at_rest)
    more = {name: count for name, count in now.items() if count}
    return [*check_sockets(network, at_end=False), *([f"tasks: {more} more than at rest"] if more else [])]


class _Config(Config):
    """hypercorn's configuration, with a socket of the network's."""

    network: Network

    def create_sockets(self) -> Sockets:
        return Sockets([], [cast("socket", self.network.listen(GATEWAY).socket)], [])


def _config(network: Network, records: Records) -> Config:
    config = _Config()
    config.network = network
    config.errorlog = logger = logging.Logger("hypercorn.error", logging.ERROR)
    logger.addHandler(_Faults(records))
    return config


class _Faults(logging.Handler):
    """What hypercorn reports as an error is one."""

    def __init__(self, records: Records) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.trace.append(self.format(record))
        self._records.faults.append(f"hypercorn: {record.getMessage()}")


@contextmanager
def _determined(seed: int) -> Iterator[None]:
    """Every source of chance hangs on *seed*: the order of tasks, ``random``, and the collection of garbage.

    Trio orders the tasks of a turn by chance; the switch that makes this repeatable is the one its plug-in for
    Hypothesis uses. Which garbage is collected when decides when a forgotten generator is closed.
    """
    with ExitStack() as stack:
        stack.enter_context(patch.object(trio_loop, "_ALLOW_DETERMINISTIC_SCHEDULING", True))
        for source in (trio_loop._r, random):
            stack.callback(source.setstate, source.getstate())
            source.seed(seed)
        gc.disable()
        stack.callback(gc.enable)
        yield


@contextmanager
def _logs_to(records: Records) -> Iterator[None]:
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[records.log], logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)


def _shown(body: bytes) -> str:
    """The bytes of an answer, without what no seed decides: its id, and the time of day."""
    text = body.decode("utf-8", "replace")
    return re.sub(r'"id": "chatcmpl-\w+"|"created": \d+', "*", text)
