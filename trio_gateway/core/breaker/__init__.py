"""Circuit breaker of one upstream: pure and synchronous; clock and chance are arguments."""

from .calls import (
    ANONYMOUS,
    NEUTRAL,
    SUCCESS,
    CallIdentity,
    Outcome,
    PauseCause,
    Permit,
    Refusal,
    Verdict,
)
from .circuit import CircuitBreaker
from .pauses import PauseBegun
from .state import Reason, Snapshot, State, Transition

__all__ = [
    "ANONYMOUS",
    "NEUTRAL",
    "SUCCESS",
    "CallIdentity",
    "CircuitBreaker",
    "Outcome",
    "PauseBegun",
    "PauseCause",
    "Permit",
    "Reason",
    "Refusal",
    "Snapshot",
    "State",
    "Transition",
    "Verdict",
]
