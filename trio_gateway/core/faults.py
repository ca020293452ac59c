"""What an upstream's misbehaviour means: for the client, for its breaker, and for another try.

One table for faults of the connection, one for HTTP statuses. An error inside the stream is read as the
status it stands for. The statuses and codes are the gateway's public contract (see the API reference).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .breaker import Outcome
from .errors import ApiError, clean_text, error_for, redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .chunks import InbandError

__all__ = ["Fault", "Replay", "fault_of_error", "fault_of_transport"]


class Replay(Enum):
    """Where a failed attempt may be tried again, as long as the client has seen no output."""

    SAME = "on the same upstream, then on the next"
    NEXT = "on the next upstream only"
    WITHOUT_THINKING = "once more on the same upstream, asked not to think"
    NO = "nowhere: the request itself is at fault, or there is no time left"


class Fault(Struct, frozen=True):
    """One failed attempt, judged."""

    error: ApiError
    outcome: Outcome = Outcome.FAILURE
    replay: Replay = Replay.SAME
    opens: bool = False
    """The breaker opens at once: a key that is refused, or a quota that is spent, stays so for a while."""
    throttles: bool = False
    """The upstream asked for a pause (429): it gets one, apart from its breaker."""

    def redacted(self, secrets: Sequence[str]) -> Fault:
        """The same fault, its error without *secrets*."""
        return replace(self, error=self.error.redacted(secrets))


_OPEN_AUTH = frozenset({401, 403})
_SIZE = frozenset({413, 414, 431})
_TIMEOUTS = frozenset({408, 425})
_BUSY = frozenset({503, 529})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})

# An in-band error without a status: the field's names for errors that have one.
_STATUS_OF_NAME = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded": 503,
    "overloaded_error": 503,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
}


def fault_of_transport(code: str, message: str) -> Fault:
    """A fault of the connection or of the stream's form, under one of the contract's codes."""
    return Fault(error_for(code, message), replay=Replay.NO if code == "deadline" else Replay.SAME)


def fault_of_error(
    told: InbandError, *, own_key: bool, retry_after: float | None = None, secrets: Sequence[str] = ()
) -> Fault:
    """An error the upstream told, as an HTTP status or inside the stream (*told.status* may be absent).

    *own_key*: the key was the gateway's, so a refusal of it is no concern of the client's.
    """
    message = clean_text(redact(told.message, secrets))  # before the cut, which could halve a key
    status = told.status or _STATUS_OF_NAME.get(told.code or "") or _STATUS_OF_NAME.get(told.type or "")

    def as_told(shown: int, code: str | None = None) -> ApiError:
        """The client's own mistake: told on in the upstream's words."""
        kind = told.type or "invalid_request_error"
        error = ApiError(message=message, code=told.code or code, type=kind, status=shown, param=told.param)
        return error.redacted(secrets)

    def ours(code: str, *, shown: int | None = None, pause: float | None = None) -> ApiError:
        return error_for(code, f"The upstream failed: {message}", status=shown, retry_after=pause)

    quota = status == 402 or (status in {402, 403, 429} and told.code in _QUOTA_CODES)
    if quota:
        return Fault(ours("insufficient_quota"), replay=Replay.NEXT, opens=True)
    if status in _OPEN_AUTH:
        if not own_key:
            return Fault(as_told(status), Outcome.NEUTRAL, Replay.NO)
        return Fault(
            error_for("upstream_auth", "The upstream refused the gateway's key."),
            replay=Replay.NEXT,
            opens=True,
        )
    if status == 429:
        told_pause = retry_after is not None
        error = ours("rate_limit_exceeded", pause=retry_after if told_pause else 1.0)
        return Fault(error, replay=Replay.NEXT, throttles=told_pause)
    if status == 404:
        return Fault(as_told(404, "model_not_found"), Outcome.NEUTRAL, Replay.NEXT)
    if status in _TIMEOUTS:
        return Fault(ours("upstream_error", shown=504))
    if status in _BUSY:
        return Fault(ours("upstream_error", shown=503, pause=retry_after or 1.0))
    if status in _SIZE:
        return Fault(as_told(413), Outcome.NEUTRAL, Replay.NO)
    if status is not None and 400 <= status < 500:
        return Fault(as_told(status), Outcome.NEUTRAL, Replay.NO)
    if status is not None and 300 <= status < 400:
        return Fault(ours("upstream_error"), replay=Replay.NEXT)
    return Fault(ours("upstream_error"))
