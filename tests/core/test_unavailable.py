"""What a request is answered that no upstream admits: who, which model, why, and for how long."""

from __future__ import annotations

import pytest

from trio_gateway.core.breaker import PauseCause, Refusal
from trio_gateway.core.breaker.unavailable import unavailable

OPEN = Refusal(3.2, "after 5 failures in a row; the last: connection refused")
LIMITED = Refusal(11.5, "by its rate limit (status 429)", PauseCause.RATE, "gpt-x")
SPENT = Refusal(60.0, "because the quota of its account is used up", PauseCause.QUOTA, "gpt-x")
KEYLESS = Refusal(0.2, "because it refuses the gateway's key (status 401)", PauseCause.KEY, "gpt-x")
FAILING = Refusal(5.0, "after 5 failures in a row; the last: status 500", PauseCause.FAILING, "gpt-x")


@pytest.mark.parametrize(
    ("refusal", "code", "status", "wait", "message"),
    [
        (
            OPEN,
            "circuit_open",
            503,
            3.2,
            'Upstream "main" is paused for 4 s after 5 failures in a row; the last: connection refused.',
        ),
        (
            LIMITED,
            "rate_limit_exceeded",
            429,
            11.5,
            'Upstream "main" is paused for model "gpt-x" for 12 s by its rate limit (status 429).',
        ),
        (
            SPENT,
            "insufficient_quota",
            429,
            60.0,
            'Upstream "main" is paused for model "gpt-x" for 60 s because the quota of its account is used up.',
        ),
        (
            KEYLESS,
            "circuit_open",
            503,
            1.0,
            'Upstream "main" is paused for model "gpt-x" for 1 s'
            " because it refuses the gateway's key (status 401).",
        ),
        (
            FAILING,
            "circuit_open",
            503,
            5.0,
            'Upstream "main" is paused for model "gpt-x" for 5 s'
            " after 5 failures in a row; the last: status 500.",
        ),
        (None, "overloaded", 503, 1.0, 'Upstream "main" has as many requests as max_concurrency allows.'),
    ],
)
def test_one_upstream(refusal: Refusal | None, code: str, status: int, wait: float, message: str) -> None:
    error = unavailable([("main", refusal)])
    assert (error.code, error.status, error.retry_after, error.message) == (code, status, wait, message)


def test_several_upstreams_are_all_named_and_the_soonest_return_is_promised() -> None:
    error = unavailable([("a", LIMITED), ("b", OPEN)])
    assert (error.code, error.retry_after) == ("circuit_open", 3.2)
    assert error.message.count("Upstream") == 2
    assert unavailable([("a", LIMITED), ("b", SPENT)]).code == "rate_limit_exceeded"
    busy = unavailable([("a", OPEN), ("b", None), ("c", None)])
    assert (busy.code, busy.retry_after) == ("overloaded", 1.0)
    assert busy.message == 'Upstream "b", "c" has as many requests as max_concurrency allows.'
