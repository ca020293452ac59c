"""Shared state: what several gateways, or workers of one, know of each other.

Two things are shared and no others: the rate limits of client keys, and the openings of breakers with their
probes. Decisions stay local and synchronous. A task beside them exchanges a :class:`Report` for a
:class:`Reply` with an arbiter: :class:`Arbiter`, in whatever process it is, or the same rules in Redis.
"""

from .arbiter import Arbiter
from .circuit import CircuitBook, SharedBreaker, SharedCircuit
from .member import Member
from .messages import BucketReport, CircuitNews, Grant, Opening, Reply, Report, Wish
from .share import Share, ShareBook

__all__ = [
    "Arbiter",
    "BucketReport",
    "CircuitBook",
    "CircuitNews",
    "Grant",
    "Member",
    "Opening",
    "Reply",
    "Report",
    "Share",
    "ShareBook",
    "SharedBreaker",
    "SharedCircuit",
    "Wish",
]
