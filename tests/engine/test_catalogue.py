"""The catalogue: what an upstream lists is taken over, and what it cannot list is logged once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from structlog.testing import capture_logs

from trio_gateway.core.config import GatewayConfig, UpstreamConfig
from trio_gateway.core.learning import StartMemory
from trio_gateway.engine.backend import Backend
from trio_gateway.engine.catalogue import Catalogue
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.upstream import Upstream, UpstreamFailure

if TYPE_CHECKING:
    from trio.testing import MockClock


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
