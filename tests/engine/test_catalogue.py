"""Lists of models in virtual time: when they are asked for, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from structlog.testing import capture_logs

from trio_gateway.core.breaker import CallIdentity, State
from trio_gateway.core.config import BreakerConfig, GatewayConfig, UpstreamConfig
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import fault_of_error
from trio_gateway.core.upstream_api.learning import StartMemory
from trio_gateway.engine.backend import Backend
from trio_gateway.engine.catalogue import Catalogue
from trio_gateway.engine.lease import Lease
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.upstream_answer import UpstreamFailure

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_gateway.engine.upstream import Upstream

NO_KEY = fault_of_error(InbandError("no", status=401), own_key=True)


class Lists:
    """An upstream that lists two models, or answers with a status; and when it was asked."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.asked_at: list[float] = []

    async def list_models(self) -> list[str]:
        self.asked_at.append(trio.current_time())
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        await trio.lowlevel.checkpoint()
        if status != 200:
            raise UpstreamFailure(fault_of_error(InbandError("no", status=status), own_key=True))
        return ["x", "y"]


async def play(
    lists: Lists, *refused: tuple[float, str], until: float = 100.0, works: bool = False
) -> Backend:
    """Run a catalogue for so many seconds, in which calls for these models are refused with 401.

    *works*: a call for another model succeeds after each.
    """
    config = UpstreamConfig(url="http://x/v1", breaker=BreakerConfig(jitter=0.0))
    backend = Backend("a", config, cast("Upstream", lists), Metrics(dict))
    catalogue = Catalogue(GatewayConfig(), [backend], StartMemory())
    with trio.move_on_after(until):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(catalogue.run)
            for at, model in refused:
                await trio.sleep_until(at)
                begin(backend, model).fail(NO_KEY)
                if works:
                    await trio.sleep(1 / 1024)
                    begin(backend, "good").confirm()
    return backend


def begin(backend: Backend, model: str) -> Lease:
    lease = backend.admit(CallIdentity(model))
    assert isinstance(lease, Lease)
    return lease


async def test_a_list_is_kept_for_a_minute(autojump_clock: MockClock) -> None:
    lists = Lists(200)
    backend = await play(lists)
    assert lists.asked_at == [0.0, 60.0]
    assert (backend.traffic.models, backend.traffic.has_listed) == (("x", "y"), True)


async def test_one_that_does_not_come_is_asked_for_again_less_and_less_often(
    autojump_clock: MockClock,
) -> None:
    lists = Lists(500)
    backend = await play(lists, until=200.0)
    assert lists.asked_at == [0.0, 2.0, 6.0, 14.0, 30.0, 62.0, 122.0, 182.0]
    assert backend.breaker.snapshot(200.0).opened_total == 0


async def test_a_call_that_is_refused_has_it_asked_for_at_once(autojump_clock: MockClock) -> None:
    lists = Lists(200)
    backend = await play(lists, (10.0, "x"))
    assert lists.asked_at == [0.0, 10.0, 70.0]
    assert backend.breaker.snapshot(100.0).state is State.CLOSED


async def test_however_many_are_refused_it_is_not_asked_for_without_pause(autojump_clock: MockClock) -> None:
    lists = Lists(200)
    refused = [(10.0 + number / 64, f"{number}") for number in range(64)]
    await play(lists, *refused, until=60.0, works=True)
    assert lists.asked_at == [0.0, 10.0, 10.5, 11.0]


@pytest.mark.parametrize("before", [200, 401, 500])
async def test_a_list_that_is_refused_as_well_opens_the_breaker(
    before: int, autojump_clock: MockClock
) -> None:
    lists = Lists(before, 401)
    backend = await play(lists, (1.0, "x"), until=1.5)
    assert lists.asked_at == [0.0, 1.0]
    assert backend.breaker.snapshot(1.5).state is State.OPEN
    assert backend.breaker.why == "because it refuses the gateway's key (status 401)"


async def test_a_list_that_is_refused_while_no_call_was_means_nothing(autojump_clock: MockClock) -> None:
    backend = await play(Lists(401))
    assert backend.breaker.snapshot(100.0).state is State.CLOSED


class Listing:
    """An upstream that answers with one list after the other, and then with the last one."""

    def __init__(self, *answers: list[str] | str) -> None:
        self._answers = list(answers)

    async def list_models(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, str):
            raise UpstreamFailure.of(answer, "no")
        return answer


async def models_after(seconds: float, *answers: list[str] | str) -> tuple[list[str], list[str]]:
    """The ids that are on offer so many seconds after the start, and the events that were logged as warnings."""
    config = UpstreamConfig(url="http://x/v1")
    backend = Backend("u", config, cast("Upstream", Listing(*answers)), Metrics(dict))
    catalogue = Catalogue(GatewayConfig(upstreams={"u": config}), [backend], StartMemory())
    with capture_logs() as log, trio.move_on_after(seconds):
        await catalogue.run()
    warned = [line["event"] for line in log if line["log_level"] == "warning"]
    return [entry["id"] for entry in catalogue.entries()], warned


async def test_a_list_is_taken_over_and_kept_fresh(autojump_clock: MockClock) -> None:
    assert (await models_after(50, ["a", "b"], ["c"]))[0] == ["a", "b"]
    assert (await models_after(70, ["a", "b"], ["c"]))[0] == ["c"]


async def test_a_list_that_is_too_large_is_logged_once_and_the_one_before_stays(
    autojump_clock: MockClock,
) -> None:
    assert await models_after(600, ["a"], "answer_too_large") == (["a"], ["models_ignored"])
    assert await models_after(600, ["a"], "bad_content_encoding") == (["a"], ["models_ignored"])


async def test_an_upstream_that_does_not_answer_is_no_news(autojump_clock: MockClock) -> None:
    assert await models_after(600, ["a"], "upstream_closed", ["b"]) == (["b"], [])
