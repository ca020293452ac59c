"""What a call holds, and gives back once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from trio_gateway.core.config import ModelConfig, UpstreamConfig
from trio_gateway.engine.backend import Backend
from trio_gateway.engine.call import Call
from trio_gateway.engine.lease import Lease
from trio_gateway.engine.memory import RequestMemory
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.route import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_gateway.core.client_api.request import ChatRequest
    from trio_gateway.engine.request_record import RequestRecord
    from trio_gateway.engine.services import Services
    from trio_gateway.engine.upstream import Upstream


def backend() -> Backend:
    return Backend("a", UpstreamConfig(url="http://x/v1"), cast("Upstream", None), Metrics(dict))


def call(upstream: Backend, leave: Callable[[], None]) -> Call:
    route = Route([upstream])
    lease = route.first()
    assert isinstance(lease, Lease)
    return Call(
        request=cast("ChatRequest", None),
        record=cast("RequestRecord", None),
        services=cast("Services", None),
        model=ModelConfig(),
        memory=RequestMemory(),
        route=route,
        deadline=0.0,
        first_lease=lease,
        leave=leave,
    )


async def test_a_call_gives_back_a_lease_that_was_not_taken() -> None:
    left: list[str] = []
    upstream = backend()
    unused = call(upstream, lambda: left.append("unused"))
    unused.close()
    unused.close()
    assert (left, upstream.breaker.snapshot(0.0).neutral) == (["unused"], 1)
    with pytest.raises(RuntimeError):
        unused.take_first_lease()


async def test_a_lease_that_was_taken_is_the_takers() -> None:
    upstream = backend()
    taken_from = call(upstream, lambda: None)
    taken = taken_from.take_first_lease()
    taken_from.close()
    assert upstream.breaker.snapshot(trio.current_time()).in_flight == 1
    taken.release()
    taken.release()
    assert (upstream.breaker.snapshot(0.0).in_flight, upstream.can_admit()) == (0, True)
