"""Whether an upstream answers: what shows it, and when a trouble begins and ends."""

from __future__ import annotations

import pytest

from trio_gateway.core.breaker import Outcome
from trio_gateway.core.errors import error_for
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import (
    Fault,
    Replay,
    fault_of_error,
    fault_of_page,
    fault_of_transport,
)
from trio_gateway.core.upstream_api.standing import Standing

REFUSED = fault_of_transport("upstream_unreachable", "x", cause="connection refused", hint="Check {url}.")
TLS = fault_of_transport("upstream_tls", "x", hint="Check {url}.")
MUTE = fault_of_transport("first_event_timeout", "x")
QUEUED = Fault(error_for("first_event_timeout", "x"), Outcome.NEUTRAL, Replay.NEXT)
PAGE = fault_of_page(404, "HTML", "POST /")
KEY = fault_of_error(InbandError("x", status=401), own_key=True)
BROKEN = fault_of_error(InbandError("x", status=500), own_key=True)
SWEPT = Fault(error_for("circuit_open", "x"), Outcome.NEUTRAL, Replay.NEXT)


def test_nothing_is_known_at_first() -> None:
    standing = Standing()
    assert (standing.reachable, standing.age(5.0)) == (None, None)
    assert not standing.note_failure(SWEPT, 1.0)
    assert standing.reachable is None


@pytest.mark.parametrize(
    ("fault", "reachable", "is_trouble", "ends_with_list"),
    [
        (REFUSED, False, True, True),
        (TLS, False, True, True),
        (MUTE, False, True, False),
        (QUEUED, True, False, False),
        (PAGE, True, True, False),
        (KEY, True, True, True),
        (BROKEN, True, False, False),
    ],
)
def test_a_failure(fault: Fault, reachable: bool, is_trouble: bool, ends_with_list: bool) -> None:
    standing = Standing()
    assert standing.note_failure(fault, 1.0) is is_trouble
    assert not standing.note_failure(fault, 2.0)
    assert (standing.reachable, standing.age(5.0)) == (reachable, 3.0)
    assert standing.note_list(6.0) is ends_with_list
    assert standing.note_event(7.0) is (is_trouble and not ends_with_list)
    assert (standing.reachable, standing.age(7.0)) == (True, 0.0)
    assert not standing.note_event(8.0)


def test_another_reason_is_another_trouble() -> None:
    standing = Standing()
    assert [standing.note_failure(fault, 1.0) for fault in (REFUSED, REFUSED, TLS, REFUSED)] == [1, 0, 1, 1]
    assert standing.note_event(2.0)


def test_a_list_that_does_not_come() -> None:
    standing = Standing()
    assert standing.note_silence(1.0, "no list")
    assert not standing.note_silence(2.0, "no list")
    assert standing.reachable is False
    assert standing.note_list(3.0)
    assert standing.note_failure(REFUSED, 4.0)
    assert not standing.note_silence(5.0, "no list")
