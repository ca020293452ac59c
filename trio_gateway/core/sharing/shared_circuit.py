"""Shared circuit: connects a breaker of this process with those of others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import clean_text
from .exchange_messages import MAX_CIRCUITS, MAX_OPEN, MAX_TEXT, CircuitOpening, Wish

if TYPE_CHECKING:
    from .exchange_messages import CircuitNews

__all__ = ["CircuitBook", "SharedBreaker", "SharedCircuit"]


class SharedBreaker(Protocol):
    """What a shared circuit does to a breaker. Instants are those of the breaker's clock."""

    @property
    def generation(self) -> int:
        """Number of the present state; each change of state has the next one."""

    @property
    def probe_term(self) -> float:
        """Seconds that probing may take at the most."""

    def impose(self, until: float, why: str, now: float) -> None:
        """Open, or stay open, until that instant: the upstream failed elsewhere."""

    def impose_pause(self, model: str, cause: str, until: float, why: str, now: float) -> None:
        """Leave one model alone until that instant."""

    def relieve(self, now: float) -> None:
        """Close: a probe passed elsewhere."""

    def reserve(self, free_until: float) -> None:
        """Begin probing before that instant only."""

    def awaits_probe(self, now: float) -> bool:
        """Whether it is open, its time is over, and only the right to probe is missing."""

    def is_probing(self) -> bool:
        """Whether it is half-open."""


class CircuitBook(Protocol):
    """All shared circuits of this process."""

    name: str
    """The member's name."""
    joined: bool
    """Whether there is an arbiter."""

    def open(self, circuit: SharedCircuit, model: str) -> None:
        """A circuit has an opening to announce."""

    def end_probe(self, circuit: str, *, passed: bool) -> None:
        """The probe that this process had the right to is over."""

    def ask_probe(self, circuit: SharedCircuit) -> None:
        """A call could probe *circuit*, or does."""


# Seconds for which a process may keep the right to probe without a call that does.
_UNUSED: Final = 2.0


@dataclass(slots=True)
class _Known:
    """The open circuit as of the last news. Instants are this process's."""

    until: float
    probe_until: float
    mine: bool


class SharedCircuit:
    """Breaker of one upstream, called *name* in all processes with the same key."""

    def __init__(self, name: str, breaker: SharedBreaker, book: CircuitBook) -> None:
        self.name = name
        self._breaker = breaker
        self._book = book
        self._known: _Known | None = None
        self._tied = -1
        """Generation of the breaker whose opening is the shared one."""
        self._announced: dict[str, tuple[float, str, str]] = {}
        """By model, or empty for the breaker: until when, why and for which cause this process announced."""

    def announce(self, until: float, why: str, *, model: str = "", cause: str = "") -> None:
        """The upstream, or one model of it, is left alone until that instant because of what it answered."""
        if not model:
            self._tied, self._known = self._breaker.generation, None
        if len(self._announced) >= MAX_CIRCUITS:
            del self._announced[min(self._announced, key=lambda each: self._announced[each][0])]
        self._announced[model] = (until, why, cause)
        self._book.open(self, model)

    def begin_probing(self) -> None:
        """The breaker is half-open now: the right to probe is needed for as long as that may take."""
        if self._known is not None:
            self._book.ask_probe(self)

    def conclude(self, *, passed: bool) -> None:
        """The breaker has left half-open; *passed*: to closed."""
        if self._known is not None and self._known.mine:
            self._known = None
            self._breaker.reserve(math.inf if passed else -math.inf)
            self._book.end_probe(self.name, passed=passed)

    def opening(self, model: str, now: float) -> CircuitOpening | None:
        """What was announced, as it stands now; None: its time is over."""
        until, why, cause = self._announced.get(model, (-math.inf, "", ""))
        if until <= now or (not model and self._breaker.generation != self._tied):
            self._announced.pop(model, None)
            return None
        return CircuitOpening(name_of(self.name, model), min(until - now, MAX_OPEN), why[:MAX_TEXT], cause)

    def openings(self) -> tuple[str, ...]:
        """All that was announced and may not be over: models, or empty for the breaker."""
        return tuple(self._announced)

    def needs_right(self, now: float) -> bool:
        """Whether a call could probe now if this process had the right to, which no process has."""
        known = self._known
        return (
            self._book.joined
            and known is not None
            and (known.mine or known.probe_until <= now)
            and self._breaker.awaits_probe(now)
        )

    def ask(self) -> None:
        """Ask for the right to probe."""
        self._book.ask_probe(self)

    def wish(self) -> Wish:
        """The wish for the right to probe."""
        return Wish(self.name, self._breaker.probe_term if self._breaker.is_probing() else _UNUSED)

    def receive(self, news: CircuitNews, model: str, *, sent_at: float, now: float) -> None:
        """The arbiter's news of this circuit, or of one *model* of it, asked for at *sent_at*."""
        left, why = min(news.left, MAX_OPEN), clean_text(news.why, MAX_TEXT)
        if model:
            if news.state == "open" and left > 0:
                self._breaker.impose_pause(model, news.cause, now + left, why, now)
            return
        match news.state:
            case "open":
                if left > 0:
                    self._impose(now + left, why, now)
                mine = news.prober == self._book.name
                # What is ours ends here no later than with the arbiter, and what is another's no earlier.
                since = sent_at if mine else now
                probe_until = since + min(news.probe_left, MAX_OPEN) if news.prober else -math.inf
                self._known = _Known(now + left, probe_until, mine)
            case "closed":
                self._known = None
                self._announced.pop("", None)
                if self._breaker.generation == self._tied:
                    self._breaker.relieve(now)
            case "unknown":
                self._known = None
        self._reserve()

    def lose(self) -> None:
        """There is no arbiter any more: the breaker decides alone."""
        self._known = None
        self._reserve()

    def forget_old(self, now: float, keep: float) -> None:
        """Drop an open circuit that the arbiter has forgotten as well, *keep* seconds after its time."""
        if self._known is not None and now >= max(self._known.until, self._known.probe_until) + keep:
            self.lose()

    def _impose(self, until: float, why: str, now: float) -> None:
        before = self._breaker.generation
        self._breaker.impose(until, why, now)
        if self._breaker.generation != before:
            self._tied = self._breaker.generation

    def _reserve(self) -> None:
        known = self._known
        if known is None:
            self._breaker.reserve(math.inf)
        else:
            self._breaker.reserve(known.probe_until if known.mine else -math.inf)


def name_of(circuit: str, model: str) -> str:
    """Name of one model's part of a circuit; of the circuit itself for the empty model."""
    return f"{circuit}\n{model}"[:MAX_TEXT] if model else circuit
