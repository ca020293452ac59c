"""Member: gathers what this process has to report, and takes in the arbiter's replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arbiter import KEEP
from .exchange_messages import MAX_BUCKETS, MAX_CIRCUITS, MAX_TEXT, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exchange_messages import CircuitOpening, ExchangeReply
    from .share import Share
    from .shared_circuit import SharedCircuit

__all__ = ["Member"]


class Member:
    """This process, as the arbiter knows it by *name*.

    The calls for an exchange are ``report``, then ``receive`` with the reply, or ``restore``, or ``lose``.
    *hurry* is called where an exchange is wanted at once. Instants are seconds of any one clock.
    """

    def __init__(self, name: str, hurry: Callable[[], None]) -> None:
        self.name = name
        self.joined = False
        """Whether the last exchange succeeded: shares and shared circuits count."""
        self._hurry = hurry
        self._epoch = ""
        self._seen = 0
        self._shares: dict[Share, None] = {}  # that have something to report
        self._circuits: dict[str, SharedCircuit] = {}
        self._opened: dict[tuple[str, str], None] = {}  # circuit and model
        self._ended: dict[str, bool] = {}  # probes, and whether they passed
        self._wishes: dict[str, None] = {}
        self._reported: tuple[Share, ...] = ()
        self._sent = Report("")
        self._announced: tuple[tuple[str, str], ...] = ()
        self._sent_at = 0.0

    def add(self, circuit: SharedCircuit) -> None:
        """A breaker takes part; one of the same name before it does not any more."""
        self._circuits[circuit.name] = circuit

    def remove(self, circuit: SharedCircuit) -> None:
        """A breaker does not take part any more."""
        if self._circuits.get(circuit.name) is circuit:
            del self._circuits[circuit.name]
        circuit.lose()

    def touch(self, share: Share, *, at_once: bool) -> None:
        """*share* has something to report."""
        self._shares[share] = None
        if at_once:
            self._hurry()

    def open(self, circuit: SharedCircuit, model: str) -> None:
        """A circuit has an opening to announce."""
        self._opened[circuit.name, model] = None
        self._hurry()

    def end_probe(self, circuit: str, *, passed: bool) -> None:
        """The probe that this process had the right to is over."""
        self._ended[circuit] = passed
        self._wishes.pop(circuit, None)
        self._hurry()

    def ask_probe(self, circuit: SharedCircuit) -> None:
        """A call could probe *circuit*, or does."""
        self._wishes[circuit.name] = None
        self._hurry()

    def report(self, now: float) -> Report:
        """What the next exchange carries."""
        self._sent_at = now
        self._reported = tuple(self._shares)[:MAX_BUCKETS]
        self._announced = tuple(self._opened)
        ended, self._ended = self._ended, {}
        self._sent = Report(
            self.name,
            self._epoch,
            self._seen,
            tuple(share.report(now, self._epoch) for share in self._reported),
            tuple(filter(None, (self._opening(*each, now) for each in self._opened))),
            tuple(name for name, passed in ended.items() if passed),
            tuple(name for name, passed in ended.items() if not passed),
            tuple(self._circuits[name].wish() for name in self._wishes if name in self._circuits),
        )
        self._opened, self._wishes = {}, {}
        return self._sent

    def receive(self, reply: ExchangeReply, now: float) -> None:
        """The exchange of the last report has succeeded."""
        self.joined = True
        epoch = reply.epoch[:MAX_TEXT]
        if self._epoch and epoch != self._epoch:
            self._announce_again()
        self._epoch, self._seen = epoch, reply.serial
        for share, grant in zip(self._reported, reply.grants, strict=False):
            share.receive(grant, epoch, now)
            self._shares.pop(share, None)
            if not share.rests:
                self._shares[share] = None  # behind those that were not reported yet
        for share in self._reported[len(reply.grants) :]:
            share.restore()
        self._reported, self._sent = (), Report("")
        for news in reply.circuits[:MAX_CIRCUITS]:
            name, _, model = news.circuit.partition("\n")
            circuit = self._circuits.get(name)
            if circuit is not None:
                circuit.receive(news, model, sent_at=self._sent_at, now=now)
        for circuit in self._circuits.values():
            circuit.forget_old(now, KEEP)
        if len(self._shares) > MAX_BUCKETS:
            self._hurry()

    def lose(self) -> None:
        """There is no arbiter any more: this process decides alone, until a reply comes."""
        self.restore()
        self.joined = False
        self._seen = 0
        for circuit in self._circuits.values():
            circuit.lose()

    def restore(self) -> None:
        """An exchange has failed, or took too long: whether it took effect is not known. Report it again."""
        for share in self._reported:
            share.restore()
        self._reported = ()
        self._ended = {
            **dict.fromkeys(self._sent.closed, True),
            **dict.fromkeys(self._sent.released, False),
            **self._ended,
        }
        self._sent = Report("")
        self._opened.update(dict.fromkeys(self._announced))
        self._announced = ()

    def _announce_again(self) -> None:
        """Tell an arbiter that knows nothing."""
        for name, circuit in self._circuits.items():
            self._opened.update(dict.fromkeys((name, model) for model in circuit.openings()))

    def _opening(self, name: str, model: str, now: float) -> CircuitOpening | None:
        circuit = self._circuits.get(name)
        return None if circuit is None else circuit.opening(model, now)
