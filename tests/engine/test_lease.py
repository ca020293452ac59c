"""Leases: given back once, cancelled by a trip that another call caused, and never by their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from trio_gateway.core.breaker import CallIdentity, State
from trio_gateway.core.config import BreakerConfig, UpstreamConfig
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import fault_of_error, fault_of_transport
from trio_gateway.engine.backend import Backend
from trio_gateway.engine.lease import Lease
from trio_gateway.engine.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from trio.testing import MockClock

    from trio_gateway.engine.upstream import Upstream

LOST = fault_of_transport("upstream_unreachable", "x", cause="connection refused")
CUT = fault_of_transport("truncated", "x")


def backend(on_trip: Literal["unstarted", "all"] = "unstarted", consecutive: int = 1) -> Backend:
    breaker = BreakerConfig(on_trip=on_trip, jitter=0.0, consecutive=consecutive)
    config = UpstreamConfig(url="http://x/v1", breaker=breaker)
    return Backend("a", config, cast("Upstream", None), Metrics(dict))


def lease(of: Backend, model: str = "x") -> Lease:
    admitted = of.admit(CallIdentity(model, digest=b"1"))
    assert isinstance(admitted, Lease)
    return admitted


ENDS: dict[str, Callable[[Lease], None]] = {
    "succeed": lambda each: each.succeed(),
    "fail": lambda each: each.fail(CUT),
    "release": lambda each: each.release(),
}


@pytest.mark.parametrize("first", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("second", ENDS.values(), ids=ENDS.keys())
async def test_the_first_end_counts_and_a_second_one_does_nothing(
    first: Callable[[Lease], None], second: Callable[[Lease], None]
) -> None:
    upstream = backend(consecutive=5)
    ended, other = lease(upstream), lease(upstream)
    first(ended)
    shown = upstream.breaker.snapshot(trio.current_time())
    second(ended)
    assert upstream.breaker.snapshot(trio.current_time()) == shown
    assert (upstream.traffic.load, upstream.traffic.waiting) == (1, {other})


async def test_a_trip_cancels_calls_without_a_first_event_even_before_they_began(
    autojump_clock: MockClock,
) -> None:
    upstream = backend()
    cause, unstarted, flowing = (lease(upstream) for _ in range(3))
    flowing.confirm()
    cause.fail(LOST)
    why = "after 1 failure in a row; the last: connection refused"
    assert [each.swept for each in (cause, unstarted, flowing)] == [None, why, None]
    with unstarted.scope:
        await trio.sleep(1)
    assert unstarted.scope.cancelled_caught
    assert trio.current_time() == 0


async def test_a_trip_may_cancel_those_that_flow_but_never_its_cause() -> None:
    upstream = backend("all")
    cause, flowing = lease(upstream), lease(upstream)
    cause.confirm()
    flowing.confirm()
    cause.fail(LOST)
    assert [each.swept is None for each in (cause, flowing)] == [True, False]


async def test_a_probe_is_decided_by_its_first_event_and_holds_its_place(autojump_clock: MockClock) -> None:
    upstream = backend()
    lease(upstream).fail(LOST)
    await trio.sleep(5.0)
    probe = lease(upstream)
    assert probe.deadline == 20.0
    probe.confirm()
    assert upstream.breaker.snapshot(5.0).state is State.CLOSED
    assert (probe.deadline, upstream.traffic.load) == (float("inf"), 1)
    probe.release()
    assert (upstream.traffic.load, upstream.breaker.snapshot(5.0).in_flight) == (0, 0)


async def test_where_one_model_is_paused_the_calls_that_wait_for_it_are_cancelled() -> None:
    upstream = backend()
    lease(upstream, "y").succeed()
    cause, waiting, other = lease(upstream, "x"), lease(upstream, "x"), lease(upstream, "y")
    cause.fail(CUT)
    assert [each.swept is None for each in (cause, waiting, other)] == [True, False, True]
    assert upstream.can_admit()


async def test_a_limit_cancels_nothing_and_a_refused_key_has_the_list_asked_for() -> None:
    upstream = backend()
    limited, refused, waiting = lease(upstream, "x"), lease(upstream, "y"), lease(upstream, "x")
    limited.fail(fault_of_error(InbandError("x", status=429), own_key=True, retry_after=9.0))
    assert not upstream.traffic.list_wanted.is_set()
    refused.fail(fault_of_error(InbandError("x", status=401), own_key=True))
    assert upstream.traffic.list_wanted.is_set()
    assert waiting.swept is None


async def test_a_second_event_confirms_nothing(autojump_clock: MockClock) -> None:
    upstream = backend()
    one = lease(upstream)
    one.confirm()
    await trio.sleep(40.0)
    one.confirm()
    one.succeed()
    one.confirm()
    assert upstream.breaker.snapshot(40.0).slow_rate == 0.0
    assert not upstream.traffic.flowing
