"""Shared state: what several gateways, or workers of one, know of each other.

Two things are shared and no others: the rate limits of client keys, and the openings of breakers with their
probes. Decisions stay local and synchronous. A task beside them exchanges a :class:`Report` for an
:class:`ExchangeReply` with an arbiter: :class:`Arbiter` in any process, or the same rules in Redis.
"""

from .arbiter import Arbiter
from .exchange_messages import BucketReport, CircuitNews, CircuitOpening, ExchangeReply, Grant, Report, Wish
from .member import Member
from .share import Share, ShareBook
from .shared_circuit import CircuitBook, SharedBreaker, SharedCircuit

__all__ = [
    "Arbiter",
    "BucketReport",
    "CircuitBook",
    "CircuitNews",
    "CircuitOpening",
    "ExchangeReply",
    "Grant",
    "Member",
    "Report",
    "Share",
    "ShareBook",
    "SharedBreaker",
    "SharedCircuit",
    "Wish",
]
