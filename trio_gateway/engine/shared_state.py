"""Shared state: one task exchanges what gateways know of limits and breakers.

Requests decide by what the last exchange brought. A request waits for the next one only where it would be
refused for its rate, or kept from an upstream that may be probed. Where the exchange fails, this process
decides alone until one succeeds again. Without a :class:`SharedStore` there is no task at all.
"""

from __future__ import annotations

import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol

import structlog
import trio

from ..core.sharing import Member
from ..core.sharing.share import INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from ..core.sharing import ExchangeReply, Report, Share, SharedCircuit
    from .metrics import Metrics

__all__ = [
    "CONNECT_TIMEOUT",
    "EXCHANGE_TIMEOUT",
    "Exchange",
    "SharedState",
    "SharedStateError",
    "SharedStore",
]

log = structlog.get_logger("trio_gateway.shared_state")

EXCHANGE_TIMEOUT: Final = 0.4
"""Seconds after which an exchange has failed."""

CONNECT_TIMEOUT: Final = 2.0
"""Seconds after which a connection has failed: made, greeted and ready for an exchange."""

# The same where requests may wait for it: with the exchange that failed before, less than they wait.
_RECONNECT_TIMEOUT: Final = 0.5
# Seconds between two exchanges that were asked for: many requests share one.
_GAP: Final = 0.02
# Seconds for which a request, or the start, waits at the most. An exchange that fails ends the wait as well.
_LONGEST_WAIT: Final = 1.5
# What to do where nothing comes in time.
_SLOW: Final = MappingProxyType(
    {
        "gateways": "check whether the server of REDIS_URL hangs, and how long it and the way to it take",
        "workers": "the parent hangs, or this machine has too much to do",
    }
)


class SharedStateError(Exception):
    """The exchange failed; the message is fit for the log."""


class Exchange(Protocol):
    """One connection to an arbiter."""

    async def exchange(self, report: Report) -> ExchangeReply:
        """Trade *report* for what the arbiter grants and knows.

        Raises:
            SharedStateError: it failed, and the connection is of no use any more.
        """


class SharedStore(Protocol):
    """Where the arbiter is: Redis, or another process."""

    @property
    def between(self) -> Literal["gateways", "workers"]:
        """Who shares: gateways, through a server that may be away, or workers, through their parent."""

    def connect(self) -> AbstractAsyncContextManager[Exchange]:
        """Open a connection.

        Raises:
            SharedStateError: there is none to be had, or, at its end, it was lost.
        """


Changed: TypeAlias = "Callable[[], None]"


class SharedState:
    """This process's part of the shared state. *changed* is called after each exchange."""

    def __init__(self, store: SharedStore, metrics: Metrics, changed: Changed) -> None:
        self.member = Member(secrets.token_hex(8), self._hurry)
        self._store = store
        self._metrics = metrics
        self._changed = changed
        self._wanted = trio.Event()
        self._traded = trio.Event()
        self._reported: bool | None = None
        self._exchanges = 0
        if store.between == "gateways":
            metrics.watch_shared_state()

    async def run(self) -> None:
        """Exchange until cancelled."""
        while True:
            before = self._exchanges
            try:
                await self._trade()
            except SharedStateError as error:
                if self._exchanges > before:
                    # It was there until now: a new connection is tried before this process decides alone, as
                    # a pause of the event loop, or of a proxy, would else give each client its limits anew.
                    self.member.restore()
                    continue
                self._lose(str(error))
            except Exception as error:  # a mistake of ours ends no request
                if self._reported is not False:
                    log.exception("shared_state_failed")
                self._lose(f"{type(error).__name__}: {error}")
            await trio.sleep(INTERVAL)

    async def join(self) -> None:
        """Wait for the first exchange, which :meth:`run` makes beside; not for long.

        Requests that are let in before it are counted by this process alone.
        """
        with trio.move_on_after(_LONGEST_WAIT):
            await self._traded.wait()

    async def bring(self, lacking: Callable[[], Share | None], units: int) -> None:
        """Wait while *lacking* names a share that the next exchange may bring *units* to; not for long."""
        with trio.move_on_after(_LONGEST_WAIT):
            while (share := lacking()) is not None:
                share.waiting += units
                try:
                    self.member.touch(share, at_once=True)
                    await self._traded.wait()
                finally:
                    share.waiting -= units

    async def ask_probe(self, circuit: SharedCircuit) -> None:
        """Ask for the right to probe, and wait for the answer; not for long."""
        self.member.ask_probe(circuit)
        with trio.move_on_after(_LONGEST_WAIT):
            await self._traded.wait()

    def _hurry(self) -> None:
        self._wanted.set()

    async def _trade(self) -> None:
        seconds = _RECONNECT_TIMEOUT if self.member.joined else CONNECT_TIMEOUT
        with trio.move_on_after(seconds) as connecting:
            try:
                async with self._store.connect() as connection:
                    connecting.deadline = float("inf")
                    while True:
                        await self._exchange(connection)
                        with trio.move_on_after(INTERVAL):
                            await self._wanted.wait()
            except SharedStateError:
                # A store may make an error of its own of our impatience, which names no cause.
                if not connecting.cancel_called:
                    raise
        raise SharedStateError(
            f"no connection and greeting in {seconds:.12g} s: {_SLOW[self._store.between]}"
        )

    async def _exchange(self, connection: Exchange) -> None:
        self._wanted = trio.Event()
        report = self.member.report(trio.current_time())
        reply = None
        with trio.move_on_after(EXCHANGE_TIMEOUT) as scope:
            try:
                reply = await connection.exchange(report)
            except SharedStateError:
                if not scope.cancel_called:
                    raise
        if reply is None:
            raise SharedStateError(
                f"no answer to an exchange in {EXCHANGE_TIMEOUT:.12g} s: {_SLOW[self._store.between]}"
            )
        self._exchanges += 1
        self.member.receive(reply, trio.current_time())
        self._report(None)
        self._settle()
        await trio.sleep(_GAP)

    def _lose(self, reason: str) -> None:
        self.member.lose()
        self._report(reason)
        self._settle()

    def _settle(self) -> None:
        """Let requests that wait decide anew."""
        self._changed()
        self._traded.set()
        self._traded = trio.Event()

    def _report(self, reason: str | None) -> None:
        """Log once that the arbiter is there, or for which *reason* it is not."""
        up, before = reason is None, self._reported
        self._metrics.redis_up.set(up)
        self._reported = up
        if up is before:
            return
        if not up:
            effect = f"each {self._store.between.removesuffix('s')} decides alone"
            log.warning("shared_state_lost", reason=reason, effect=effect)
        elif before is False or self._store.between == "gateways":  # a worker has its parent from the start
            log.info("shared_state_joined")
