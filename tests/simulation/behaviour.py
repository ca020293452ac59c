"""How an upstream behaves at one attempt: drawn from the seed and the attempt's name alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from random import Random

__all__ = ["GOOD", "Behaviour", "Door", "Framing", "Kind", "draw_behaviour", "draw_door"]


Framing: TypeAlias = Literal["chunked", "length", "close"]


class Door(StrEnum):
    """What becomes of an attempt to connect."""

    OPEN = "open"
    SLOW = "slow"
    REFUSED = "refused"
    SILENT = "silent"
    """Nobody answers, as where packets are dropped."""
    SLAMMED = "slammed"
    """Accepted, and closed at once."""


class Kind(StrEnum):
    """What becomes of a request that has arrived. Those of the second half strike somewhere in the answer."""

    CLEAN = "clean"
    WHOLE = "whole"
    """One JSON object instead of a stream."""
    NO_HEAD = "no_head"
    NO_BODY = "no_body"
    CLOSED = "closed"
    STATUS = "status"
    HTML = "html"
    EMPTY = "empty"
    NOT_HTTP = "not_http"

    CUT = "cut"
    RESET = "reset"
    STALL = "stall"
    TOLD = "told"
    """An error inside the stream."""
    GARBAGE = "garbage"
    COMMENTS = "comments"
    """Signs of life for ever, and nothing else."""
    DRIP = "drip"
    """The rest comes a few bytes at a time."""
    ENDLESS = "endless"
    """Thinks for ever."""
    DONE_EARLY = "done_early"
    NO_DONE = "no_done"
    LINGERS = "lingers"
    """``[DONE]``, and then the body does not end."""


GOOD = (Kind.CLEAN, Kind.CLEAN, Kind.CLEAN, Kind.WHOLE, Kind.NO_DONE, Kind.LINGERS)
_BAD = (
    Kind.NO_HEAD,
    Kind.NO_BODY,
    Kind.CLOSED,
    Kind.STATUS,
    Kind.STATUS,
    Kind.HTML,
    Kind.EMPTY,
    Kind.NOT_HTTP,
    *(Kind.CUT, Kind.RESET, Kind.STALL, Kind.TOLD) * 2,
    Kind.GARBAGE,
    Kind.COMMENTS,
    Kind.DRIP,
    Kind.ENDLESS,
    Kind.DONE_EARLY,
)

# They send more than was promised.
_OF_NO_LENGTH = {Kind.TOLD, Kind.GARBAGE, Kind.COMMENTS, Kind.ENDLESS}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One attempt's. *strikes_at* is a place in the answer, from 0 to 1; spans are seconds."""

    kind: Kind
    framing: Framing
    line_end: str
    events_a_write: int
    head_after: float
    pause: float
    strikes_at: float
    variant: int

    def __str__(self) -> str:
        return (
            f"{self.kind}.{self.variant} at {self.strikes_at:.2f}, {self.framing}, head after {self.head_after:g},"
            f" {self.events_a_write} events every {self.pause:g}"
        )


def draw_behaviour(rng: Random, weather: float) -> Behaviour:
    """*weather* is the share of attempts that go wrong."""
    kind = rng.choice(_BAD if rng.random() < weather else GOOD)
    framings: tuple[Framing, ...] = ("chunked", "chunked", "close", "length")
    return Behaviour(
        kind=kind,
        framing=rng.choice(framings[: 3 if kind in _OF_NO_LENGTH else 4]),
        line_end=rng.choice(("\n", "\n", "\r\n")),
        events_a_write=rng.choice((1, 1, 4, 50)),
        head_after=rng.choice((0.0, 0.0, 0.01, 0.2, round(rng.uniform(0.0, 1.5), 2))),
        pause=rng.choice((0.0, 0.0, 0.001, 0.01, 0.05, 0.25)),
        strikes_at=rng.random(),
        variant=rng.randrange(100),
    )


def draw_door(rng: Random, weather: float) -> Door:
    """Doors fail half as often as what is behind them."""
    if rng.random() >= weather / 2:
        return Door.OPEN
    return rng.choice((Door.SLOW, Door.SLOW, Door.REFUSED, Door.REFUSED, Door.SILENT, Door.SLAMMED))
