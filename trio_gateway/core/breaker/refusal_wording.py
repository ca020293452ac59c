"""Wording of refusals: says why an upstream or a model is left alone."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from .calls import PauseCause
from .state import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORCED", "why_limited", "why_opened"]

FORCED: Final = 'because the configuration says force = "open"'

_KEY: Final = "because it refuses the gateway's key (status 401)"

_LIMITED: Final[Mapping[PauseCause, str]] = MappingProxyType(
    {
        PauseCause.RATE: "by its rate limit (status 429)",
        PauseCause.QUOTA: "because the quota of its account is used up",
        PauseCause.KEY: _KEY,
    }
)


def why_limited(cause: PauseCause) -> str:
    """The reason of a pause that the upstream's answer asked for."""
    return _LIMITED[cause]


def why_opened(reason: Reason, cause: str, *, bad: int = 0, calls: int = 0) -> str:
    """The reason of an opening, or of the pause of a model that took its place.

    *cause*: of the last failure, in a few words. *bad*: failures, or slow calls, of so many *calls*.

    >>> why_opened(Reason.CONSECUTIVE, "connection refused", bad=5)
    'after 5 failures in a row; the last: connection refused'
    """
    match reason:
        case Reason.CONSECUTIVE:
            return f"after {bad} failure{'s' * (bad != 1)} in a row; the last: {cause}"
        case Reason.FAILURE_RATE:
            return f"after {bad} of {calls} calls failed; the last: {cause}"
        case Reason.SLOW_RATE:
            return f"after {bad} of {calls} calls had no first event in time"
        case Reason.PROBE_FAILED:
            return f"because the call that tried it failed: {cause}"
        case Reason.PROBE_TIMEOUT | Reason.HALF_OPEN_OVER:
            return "because the call that tried it had no first event in time"
        case _:
            return _KEY
