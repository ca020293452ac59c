"""Leases: given back once, cancelled by a trip that another call caused, and never by their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from trio_gateway.core.breaker import State
from trio_gateway.core.chunks import InbandError
from trio_gateway.core.config import BreakerConfig, UpstreamConfig
from trio_gateway.core.faults import fault_of_error, fault_of_transport
from trio_gateway.engine.backend import Backend
from trio_gateway.engine.lease import Lease
from trio_gateway.engine.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from trio.testing import MockClock

    from trio_gateway.engine.upstream import Upstream

OPENS = fault_of_error(InbandError("x", status=401), own_key=True)
CUT = fault_of_transport("truncated", "x")


def backend(on_trip: Literal["unstarted", "all"] = "unstarted") -> Backend:
    config = UpstreamConfig(url="http://x/v1", breaker=BreakerConfig(on_trip=on_trip, jitter=0.0))
    return Backend("a", config, cast("Upstream", None), Metrics(dict))


def lease(of: Backend) -> Lease:
    admitted = of.admit()
    assert isinstance(admitted, Lease)
    return admitted


ENDS: dict[str, Callable[[Lease], None]] = {
    "succeed": lambda each: each.succeed(slow=False),
    "fail": lambda each: each.fail(CUT, slow=False),
    "release": lambda each: each.release(),
}


@pytest.mark.parametrize("first", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("second", ENDS.values(), ids=ENDS.keys())
async def test_the_first_end_counts_and_a_second_one_does_nothing(
    first: Callable[[Lease], None], second: Callable[[Lease], None]
) -> None:
    upstream = backend()
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
    cause.fail(OPENS, slow=False)
    assert [each.swept for each in (cause, unstarted, flowing)] == [False, True, False]
    with unstarted.scope:
        await trio.sleep(1)
    assert unstarted.scope.cancelled_caught
    assert trio.current_time() == 0


async def test_a_trip_may_cancel_those_that_flow_but_never_its_cause() -> None:
    upstream = backend("all")
    cause, flowing = lease(upstream), lease(upstream)
    cause.confirm()
    flowing.confirm()
    cause.fail(OPENS, slow=False)
    assert [each.swept for each in (cause, flowing)] == [False, True]


async def test_a_probe_is_decided_by_its_first_event_and_holds_its_place(autojump_clock: MockClock) -> None:
    upstream = backend()
    lease(upstream).fail(OPENS, slow=False)
    await trio.sleep(5.0)
    probe = lease(upstream)
    assert probe.deadline == 20.0
    probe.confirm()
    assert upstream.breaker.snapshot(5.0).state is State.CLOSED
    assert (probe.deadline, upstream.traffic.load) == (float("inf"), 1)
    probe.release()
    assert (upstream.traffic.load, upstream.breaker.snapshot(5.0).in_flight) == (0, 0)
