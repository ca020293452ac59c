"""The way a request takes through its model's upstreams, and what it is told when none admits it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import pytest
import trio

from trio_gateway.core.client_api.request import RequestIdentity
from trio_gateway.core.config import BreakerConfig, UpstreamConfig
from trio_gateway.core.errors import ApiError
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import Fault, Replay, fault_of_error, fault_of_transport
from trio_gateway.engine.backend import Backend, Crowded
from trio_gateway.engine.lease import Lease
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.route import Route

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_gateway.engine.upstream import Upstream

CUT = fault_of_transport("truncated", "x")
LOST = fault_of_transport("upstream_unreachable", "x")
REFUSED = fault_of_error(InbandError("x", status=401), own_key=True)
LIMITED = fault_of_error(InbandError("x", status=429), own_key=True, retry_after=9.0)
BUSY = fault_of_error(InbandError("x", status=503), own_key=True, retry_after=30.0)
BAD_REQUEST = fault_of_error(InbandError("x", status=400), own_key=True)


def backend(name: str = "a", *, consecutive: int = 5, **config: int) -> Backend:
    breaker = BreakerConfig(jitter=0.0, consecutive=consecutive)
    upstream = UpstreamConfig(url="http://x/v1", breaker=breaker, **config)  # type: ignore[arg-type]
    return Backend(name, upstream, cast("Upstream", None), Metrics(dict))


def start(route: Route) -> Lease:
    first = route.first()
    assert isinstance(first, Lease)
    return first


def fail(lease: Lease, fault: Fault) -> None:
    lease.fail(fault)


def follow(route: Route, lease: Lease, fault: Fault) -> str | None:
    """The name of the upstream that is tried after the attempt of *lease* failed so."""
    fail(lease, fault)
    following = after(route, fault)
    return None if following is None else following.name


def after(route: Route, fault: Fault) -> Lease | None:
    """The attempt that follows, the pause before it left out."""
    if fault.replay is Replay.NO:
        return None
    return (route.again() if route.pause(fault, math.inf) is not None else None) or route.next()


async def test_each_upstream_has_its_tries_then_the_next_has_its_own() -> None:
    route = Route([backend("a"), backend("b", max_attempts=1), backend("c")])
    lease: Lease | None = start(route)
    names = []
    while lease is not None:
        names.append(lease.name)
        fail(lease, CUT)
        lease = after(route, CUT)
    assert names == ["a", "a", "b", "c", "c"]


@pytest.mark.parametrize(
    ("fault", "name"), [(CUT, "a"), (REFUSED, "b"), (LIMITED, "b"), (BUSY, "b"), (BAD_REQUEST, None)]
)
async def test_where_a_fault_leads(fault: Fault, name: str | None) -> None:
    route = Route([backend("a"), backend("b")])
    assert follow(route, start(route), fault) == name


async def test_a_pause_that_is_too_long_is_not_waited_out() -> None:
    route = Route([backend("a")])
    assert follow(route, start(route), BUSY) is None


async def test_a_short_pause_is_waited_out() -> None:
    soon = fault_of_error(InbandError("x", status=503), own_key=True, retry_after=3.0)
    route = Route([backend("a")])
    fail(start(route), soon)
    assert route.pause(soon, time_left=3.1) == 3.0
    assert route.pause(soon, time_left=2.9) is None


async def test_another_try_waits_a_little_and_the_next_upstream_does_not() -> None:
    route = Route([backend("a"), backend("b")])
    fail(start(route), CUT)
    pause = route.pause(CUT, math.inf)
    assert pause is not None
    assert 0 <= pause <= 0.5
    again = route.again()
    assert again is not None
    fail(again, CUT)
    assert route.pause(CUT, math.inf) is None
    other = route.next()
    assert other is not None
    assert (other.name, other.extra) == ("b", False)


async def test_repeats_and_hedges_share_a_budget_of_three_or_a_fifth() -> None:
    a, b = backend("a"), backend("b")
    routes = [Route([a, b]) for _ in range(40)]
    for route in routes[:15]:
        start(route)
    repeats = [route.again() for route in routes[:4]]
    assert [repeat is not None for repeat in repeats] == [True, True, True, False]
    # At twenty requests a fifth is more than three.
    for route in routes[15:17]:
        start(route)
    assert routes[3].again() is not None
    assert routes[4].again() is None
    assert repeats[0] is not None
    repeats[0].release()
    repeats[0].release()
    assert routes[4].again() is not None
    # A hedge counts where it runs; going on to the next upstream counts nowhere.
    assert [route.next(extra=True) is not None for route in routes[5:9]] == [True, True, True, False]
    assert all(route.next() is not None for route in routes[9:15])


async def test_an_upstream_that_does_not_admit_is_passed_over() -> None:
    a, b, c = backend("a", consecutive=1), backend("b", max_concurrency=1), backend("c")
    fail(start(Route([a])), LOST)
    assert isinstance(b.admit(), Lease)
    assert isinstance(b.admit(), Crowded)
    route = Route([a, b, c])
    first = start(route)
    assert first.name == "c"
    assert follow(route, first, REFUSED) is None


async def refused(*backends: Backend) -> ApiError:
    error = Route(list(backends)).first()
    assert isinstance(error, ApiError)
    return error


async def test_what_a_request_is_told_that_none_admits(autojump_clock: MockClock) -> None:
    open_, limited, full = backend(consecutive=1), backend("b"), backend("c", max_concurrency=1)
    fail(start(Route([open_])), LOST)
    fail(start(Route([limited])), LIMITED)
    start(Route([full]))
    await trio.sleep(2.0)
    told = [await refused(*each) for each in ([open_], [limited], [full], [open_, limited], [open_, full])]
    assert [(error.code, error.status, error.retry_after) for error in told] == [
        ("circuit_open", 503, 3.0),
        ("rate_limit_exceeded", 429, 7.0),
        ("overloaded", 503, 1.0),
        ("circuit_open", 503, 3.0),
        ("overloaded", 503, 1.0),
    ]
    assert told[3].message == (
        'Upstream "a" is paused for 3 s after 1 failure in a row; the last: no connection.'
        ' Upstream "b" is paused for model "default" for 7 s by its rate limit (status 429).'
    )


async def test_a_return_that_is_due_is_still_a_second_away(autojump_clock: MockClock) -> None:
    open_ = backend(consecutive=1)
    fail(start(Route([open_])), LOST)
    await trio.sleep(4.9)
    assert (await refused(open_)).retry_after == 1.0


# Who asks for what


ALICE = RequestIdentity("alice", b"body", b"alice's key")


def refusal_for(upstream: Backend, identity: RequestIdentity, model_id: str) -> str | None:
    first = Route([upstream], identity, model_id=model_id).first()
    if isinstance(first, Lease):
        first.release()
        return None
    return first.code


async def test_a_limit_holds_for_its_model_alone() -> None:
    upstream = backend()
    fail(start(Route([upstream], ALICE, model_id="x")), LIMITED)
    assert refusal_for(upstream, ALICE, "x") == "rate_limit_exceeded"
    assert refusal_for(upstream, RequestIdentity("bob"), "x") == "rate_limit_exceeded"
    assert refusal_for(upstream, ALICE, "y") is None


async def test_with_a_key_of_the_clients_own_a_limit_holds_for_that_key() -> None:
    upstream = backend(pass_through_key=True)
    fail(start(Route([upstream], ALICE, model_id="x")), LIMITED)
    assert refusal_for(upstream, ALICE, "x") == "rate_limit_exceeded"
    assert refusal_for(upstream, RequestIdentity("alice", b"", b"another"), "x") is None


async def test_the_configured_name_of_a_model_is_what_the_upstream_is_asked_for() -> None:
    upstream = backend()
    names = [("x", "y", ()), ("x", "", ("a",)), ("default", "", ("a",)), ("default", "", ("a", "b"))]
    asked = []
    for model_id, upstream_model, listed in names:
        upstream.traffic.models = listed
        lease = Route([upstream], model_id=model_id, upstream_model=upstream_model).first()
        assert isinstance(lease, Lease)
        asked.append(lease.model)
    assert asked == ["y", "x", "a", "default"]


async def test_repeats_of_one_request_are_one_call() -> None:
    upstream = backend()
    for _ in range(20):
        fail(start(Route([upstream], ALICE)), CUT)
    assert upstream.breaker.snapshot(0.0).calls == 1
    for _ in range(20):
        fail(start(Route([upstream], RequestIdentity("bob", b"%d" % len(ALICE.digest)))), CUT)
    assert upstream.can_admit()


async def test_another_key_of_the_gateways_ends_what_the_old_one_led_to() -> None:
    upstream = backend()
    for model_id in ("x", "y"):
        fail(start(Route([upstream], ALICE, model_id=model_id)), REFUSED)
    assert not upstream.can_admit()
    same = upstream.renewed(upstream.config, upstream.upstream)
    assert not same.can_admit()
    other = upstream.renewed(upstream.config, cast("Upstream", object()))
    assert other.can_admit()
    assert refusal_for(other, ALICE, "x") is None
