"""The circuit breaker of one upstream: pure, synchronous, its clock and its chance given from outside."""

from .circuit import CircuitBreaker
from .state import Outcome, Permit, Reason, Refusal, Snapshot, State, Transition

__all__ = ["CircuitBreaker", "Outcome", "Permit", "Reason", "Refusal", "Snapshot", "State", "Transition"]
