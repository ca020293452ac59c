"""Exchange messages: plain structs, fit for JSON, for a pipe or Redis.

Times are seconds from the moment of the message, so that no two machines need the same clock.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "MAX_BUCKETS",
    "MAX_CIRCUITS",
    "MAX_OPEN",
    "MAX_TEXT",
    "BucketReport",
    "CircuitNews",
    "CircuitOpening",
    "CircuitState",
    "ExchangeReply",
    "Grant",
    "Report",
    "Wish",
]

MAX_BUCKETS: Final = 500
"""Buckets in one report; what is left waits for the next."""

MAX_CIRCUITS: Final = 256
"""Circuits that an arbiter remembers, and news that a member takes from one reply."""

MAX_OPEN: Final = 3600.0
"""Seconds for which another gateway's report may close an upstream here."""

MAX_TEXT: Final = 512
"""Characters of a circuit's name, or of the reason of an opening."""

CircuitState: TypeAlias = Literal["open", "closed", "unknown"]


class BucketReport(Struct, frozen=True):
    """What one process has to say about one limit of one client key."""

    bucket: str
    """Name of the key and of the limit, the same in every process."""
    limit: int
    """Units a minute, which is also what the bucket holds."""
    take: int
    """Units spent beyond the share; negative: units of the share that are given back."""
    want: int
    """Units that the process would like to be granted."""
    missing: int
    """Units that this process alone has taken out of a full bucket, for an arbiter that does not know it."""
    known: bool
    """The arbiter of the report's epoch has counted this process's use so far."""


class CircuitOpening(Struct, frozen=True):
    """Opening of a breaker, or pause of one model, because of an answer."""

    circuit: str
    seconds: float
    why: str
    """As the end of a sentence."""
    cause: str = ""
    """The value of a :class:`.PauseCause`; empty: the breaker itself opened."""


class Wish(Struct, frozen=True):
    """A process has a call that could probe an open circuit whose time is over."""

    circuit: str
    seconds: float
    """How long the probe may take."""


class Report(Struct, frozen=True):
    """What one process announces and asks for."""

    member: str
    """Name of the process: chance, made at its start."""
    epoch: str = ""
    """The arbiter's epoch as of the last reply."""
    seen: int = 0
    """The serial as of the last reply: newer news are wanted."""
    buckets: tuple[BucketReport, ...] = ()
    opened: tuple[CircuitOpening, ...] = ()
    closed: tuple[str, ...] = ()
    """Circuits that this process's probe has closed."""
    released: tuple[str, ...] = ()
    """Circuits whose probe here has decided nothing."""
    wishes: tuple[Wish, ...] = ()


class Grant(Struct, frozen=True):
    """Answer to one :class:`BucketReport`."""

    bucket: str
    share: int
    """Units that the process may spend from now on."""
    level: float
    """Units left for everybody; negative: overdrawn."""


class CircuitNews(Struct, frozen=True):
    """A circuit as it stands with the arbiter."""

    circuit: str
    serial: int
    """Each change of any circuit has the next number."""
    state: CircuitState
    left: float = 0.0
    """Seconds until an open circuit may be probed; not positive: now."""
    why: str = ""
    cause: str = ""
    prober: str = ""
    """The member that probes it."""
    probe_left: float = 0.0
    """Seconds until another member may probe in its place."""


class ExchangeReply(Struct, frozen=True):
    """What the arbiter grants and knows."""

    epoch: str
    """Chance, made when the arbiter began to remember: another one has forgotten everything."""
    serial: int
    grants: tuple[Grant, ...] = ()
    """One for each bucket of the report, in its order."""
    circuits: tuple[CircuitNews, ...] = ()
    """What changed since ``seen``, and what was wished for; all, for another epoch."""
