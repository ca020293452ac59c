"""Unavailable: the answer to a request that no upstream of its model admits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import ApiError, error_for
from ..json.strict import dumps
from . import PauseCause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from . import Refusal

__all__ = ["unavailable"]


def unavailable(refusals: Sequence[tuple[str, Refusal | None]]) -> ApiError:
    """One error for all upstreams that it names, with the paused model, the cause and the time that is left.

    *refusals*: by the upstream's name; None: it has as many requests as it may have. The error promises the
    soonest return.
    """
    paused = [(name, refusal) for name, refusal in refusals if refusal is not None]
    if len(paused) < len(refusals):
        names = ", ".join(dumps(name) for name, refusal in refusals if refusal is None)
        message = f"Upstream {names} has as many requests as max_concurrency allows."
        return error_for("overloaded", message, retry_after=1.0)
    message = " ".join(_sentence(name, refusal) for name, refusal in paused)
    wait = max(1.0, min(refusal.retry_after for _, refusal in paused))
    return error_for(_code({refusal.pause for _, refusal in paused}), message, retry_after=wait)


def _code(causes: set[PauseCause | None]) -> str:
    if causes == {PauseCause.QUOTA}:
        return "insufficient_quota"
    return "rate_limit_exceeded" if causes <= {PauseCause.RATE, PauseCause.QUOTA} else "circuit_open"


def _sentence(name: str, refusal: Refusal) -> str:
    model = f" for model {dumps(refusal.model)}" if refusal.pause is not None else ""
    seconds = max(1, math.ceil(refusal.retry_after))
    return f"Upstream {dumps(name)} is paused{model} for {seconds} s {refusal.why}."
