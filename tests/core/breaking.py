"""What tests of the breaker share: breakers, calls, and calls that end."""

from __future__ import annotations

from itertools import count

from trio_gateway.core.breaker import (
    NEUTRAL,
    SUCCESS,
    CallIdentity,
    CircuitBreaker,
    Outcome,
    PauseCause,
    Permit,
    State,
    Verdict,
)
from trio_gateway.core.config import BreakerConfig

__all__ = [
    "DEFAULT",
    "FAILED",
    "LIMITED",
    "LOST",
    "NEUTRAL",
    "NO_KEY",
    "NO_QUOTA",
    "SUCCESS",
    "call",
    "end",
    "make",
    "permit",
    "state",
    "tripped",
]

DEFAULT = BreakerConfig()
FAILED = Verdict(Outcome.FAILURE, error_class="upstream_error", cause="status 500")
LOST = Verdict(
    Outcome.FAILURE, unanswered=True, error_class="upstream_unreachable", cause="connection refused"
)
LIMITED = Verdict(Outcome.NEUTRAL, pauses=PauseCause.RATE, retry_after=9.0, error_class="rate_limit_exceeded")
NO_QUOTA = Verdict(Outcome.NEUTRAL, pauses=PauseCause.QUOTA, error_class="insufficient_quota")
NO_KEY = Verdict(Outcome.NEUTRAL, pauses=PauseCause.KEY, error_class="upstream_auth")

_bodies = count()


def make(config: BreakerConfig = DEFAULT) -> CircuitBreaker:
    """A breaker whose random source is in the middle: no spread."""
    return CircuitBreaker(config, random=lambda: 0.5)


def call(client: str = "a", model: str = "x", body: object = None, *, key: bytes = b"") -> CallIdentity:
    """A call; without *body* it is unlike any other."""
    digest = str(next(_bodies) if body is None else f"body {body}").encode()
    return CallIdentity(model, client, digest, key)


def permit(breaker: CircuitBreaker, now: float, identity: CallIdentity | None = None) -> Permit:
    """The permit for a call, which must be admitted."""
    answer = breaker.admit(now, call() if identity is None else identity)
    assert isinstance(answer, Permit)
    return answer


def end(breaker: CircuitBreaker, verdict: Verdict, now: float, identity: CallIdentity | None = None) -> bool:
    """A call that ends as soon as it has begun; whether the breaker is open then."""
    return breaker.settle(permit(breaker, now, identity), verdict, now)


def state(breaker: CircuitBreaker) -> State:
    """The breaker's state."""
    return breaker.snapshot(0.0).state


def tripped(config: BreakerConfig = DEFAULT) -> CircuitBreaker:
    """A breaker that has opened at 0, for 5 seconds, as no connection could be made."""
    breaker = make(config)
    for _ in range(config.consecutive):
        end(breaker, LOST, 0.0)
    assert state(breaker) is State.OPEN
    return breaker
