"""Arbiter: hands out shares of buckets and the right to probe.

The rules of ``engine/redis_state`` are the same, in Lua; a test compares them. One exchange is one step: an
arbiter never waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..budgets.refill import ROUNDING, filled
from .exchange_messages import MAX_CIRCUITS, MAX_OPEN, BucketReport, CircuitNews, ExchangeReply, Grant

if TYPE_CHECKING:
    from .exchange_messages import CircuitOpening, Report, Wish

__all__ = ["KEEP", "Arbiter"]

KEEP: Final = 300.0
"""Seconds for which a circuit is remembered after its time is over, and after it was closed."""


@dataclass(slots=True)
class _Bucket:
    limit: int
    level: float
    at: float

    def settle(self, limit: int, now: float) -> None:
        """Fill up to *now*, and go on with *limit*, of which the same has been taken."""
        level = filled(self.level, self.limit, now - self.at)
        self.level, self.limit, self.at = level + limit - self.limit, limit, now

    def grant(self, report: BucketReport) -> Grant:
        self.level = min(self.limit, self.level)
        share = max(0, min(report.want, math.floor(self.level + ROUNDING)))
        self.level -= share
        return Grant(report.bucket, share, self.level)


@dataclass(slots=True)
class _Circuit:
    until: float
    serial: int
    open: bool = True
    why: str = ""
    cause: str = ""
    prober: str = ""
    probe_until: float = -math.inf

    def news(self, name: str, now: float) -> CircuitNews:
        return CircuitNews(
            name,
            self.serial,
            "open" if self.open else "closed",
            self.until - now,
            self.why,
            self.cause,
            self.prober,
            self.probe_until - now if self.prober else 0.0,
        )


class Arbiter:
    """Shared state in the memory of one process.

    Instants are seconds of any one clock. *epoch*: chance, unlike that of every arbiter before.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._serial = 0
        self._buckets: dict[str, _Bucket] = {}
        self._circuits: dict[str, _Circuit] = {}

    def exchange(self, report: Report, now: float) -> ExchangeReply:
        """Take in what one member reports, and answer it."""
        same = report.epoch == self._epoch
        self._forget(now)
        grants = tuple(self._bucket(each, now, same=same) for each in report.buckets)
        for opening in report.opened:
            self._open(opening, now)
        for name in report.closed:
            self._close(name, report.member, now)
        for name in report.released:
            self._release(name, report.member)
        for wish in report.wishes:
            self._wish(wish, report.member, now)
        seen = report.seen if same else 0
        news = [each.news(name, now) for name, each in self._circuits.items() if each.serial > seen]
        news += self._unchanged(report, seen, now)
        return ExchangeReply(self._epoch, self._serial, grants, tuple(news))

    def release(self, member: str) -> None:
        """*member* has ended: others may probe what it had the right to.

        What it was granted counts as spent, as it may have been.
        """
        for name in self._circuits:
            self._release(name, member)

    def _forget(self, now: float) -> None:
        """Drop what stands as if it had never been there."""
        full = [
            name
            for name, each in self._buckets.items()
            if filled(each.level, each.limit, now - each.at) >= each.limit
        ]
        for name in full:
            del self._buckets[name]
        for name in [name for name, each in self._circuits.items() if now >= each.until + KEEP]:
            del self._circuits[name]

    def _bucket(self, report: BucketReport, now: float, *, same: bool) -> Grant:
        bucket = self._buckets.get(report.bucket)
        fresh = bucket is None or not (same and report.known)
        if bucket is None:
            bucket = self._buckets[report.bucket] = _Bucket(report.limit, report.limit, now)
        bucket.settle(report.limit, now)
        bucket.level -= report.missing if fresh else report.take
        return bucket.grant(report)

    def _open(self, opening: CircuitOpening, now: float) -> None:
        until = now + min(max(0.0, opening.seconds), MAX_OPEN)
        old = self._circuits.pop(opening.circuit, None)
        if old is not None and old.open:
            until = max(until, old.until)
        elif len(self._circuits) >= MAX_CIRCUITS:
            del self._circuits[min(self._circuits, key=lambda name: (self._circuits[name].until, name))]
        self._serial += 1
        self._circuits[opening.circuit] = _Circuit(until, self._serial, why=opening.why, cause=opening.cause)

    def _close(self, name: str, member: str, now: float) -> None:
        circuit = self._circuits.get(name)
        if circuit is not None and circuit.open and circuit.prober == member:
            self._serial += 1
            self._circuits[name] = _Circuit(now, self._serial, open=False)

    def _release(self, name: str, member: str) -> None:
        circuit = self._circuits.get(name)
        if circuit is not None and circuit.open and circuit.prober == member:
            self._serial += 1
            circuit.serial, circuit.prober = self._serial, ""

    def _wish(self, wish: Wish, member: str, now: float) -> None:
        circuit = self._circuits.get(wish.circuit)
        if circuit is None or not circuit.open or now < circuit.until:
            return
        if circuit.prober in {"", member} or now >= circuit.probe_until:
            self._serial += 1
            circuit.serial, circuit.prober = self._serial, member
            circuit.probe_until = now + min(max(0.0, wish.seconds), MAX_OPEN)
            # An open circuit whose probes run for long is remembered all the same.
            circuit.until = now

    def _unchanged(self, report: Report, seen: int, now: float) -> list[CircuitNews]:
        """What was wished for, and has no news."""
        unchanged = []
        for wish in report.wishes:
            circuit = self._circuits.get(wish.circuit)
            if circuit is None:
                unchanged.append(CircuitNews(wish.circuit, 0, "unknown"))
            elif circuit.serial <= seen:
                unchanged.append(circuit.news(wish.circuit, now))
        return unchanged
