"""A gateway in front of upstreams that misbehave, and the laws that hold whatever they do."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from tests.faults.playing import Play, open_faulty
from tests.support import Answer, Client, Json, Upstream, open_gateway, settings, until, upstream_toml
from trio_gateway.core.phases import Phase, PhaseOrder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    from tests.faults.certificates import Certificates

__all__ = ["Books", "Scene", "check_ending", "open_scene"]

_HANG_UP = 0.05
"""Seconds in which an upstream is hung up on once its answer has been judged."""


class Books:
    """What the gateway has written down of one request."""

    def __init__(self, line: Json, metrics: str, health: Json, *, paused: bool) -> None:
        self.line = line
        """The request's log line."""
        self.paused = paused
        """A model has been paused."""
        self.metrics = metrics
        self.health = health

    def count(self, name: str, **labels: str) -> int:
        """The sum of a metric's samples with these labels."""
        samples = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", self.metrics, re.MULTILINE)
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return int(sum(float(value) for given, value in samples if wanted <= set(given.split(","))))

    def verdicts(self, upstream: str) -> dict[str, int]:
        """The breaker's outcomes that have come up."""
        outcomes = ("success", "failure", "neutral", "stale")
        counts = {
            outcome: self.count("gateway_breaker_calls_total", upstream=upstream, outcome=outcome)
            for outcome in outcomes
        }
        return {outcome: count for outcome, count in counts.items() if count}


class Scene:
    """The gateway's client, its upstreams (``a``, ``b``, …) and what it logs."""

    def __init__(
        self, client: Client, upstreams: list[Upstream], log: list[MutableMapping[str, object]]
    ) -> None:
        self.client = client
        self.upstreams = upstreams
        self.log = log

    async def close_books(self, *, within: float = _HANG_UP) -> Books:
        """What has been written down once the request is over.

        It must leave nothing: no connection *within* so many seconds, no permit, no place among the streams.
        """
        gateway = self.client.app.gateway
        upstreams = self.upstreams
        await until(lambda: not any(upstream.open_connections for upstream in upstreams), within)
        await until(lambda: gateway.active == 0 and self._requests() != [])
        (line,) = self._requests()
        metrics = (await self.client.get("/metrics")).text
        paused = any(each["event"] == "model_paused" for each in self.log)
        books = Books(line, metrics, (await self.client.get("/health")).json(), paused=paused)
        assert books.count("gateway_breaker_in_flight") == books.count("gateway_active_streams") == 0
        assert books.count("gateway_requests_total") == 1
        assert [each for each in self.log if "exc_info" in each or each["log_level"] == "error"] == []
        return books

    def _requests(self) -> list[Json]:
        return [dict(each) for each in self.log if each["event"] == "request"]


@asynccontextmanager
async def open_scene(
    *plays: Play,
    upstream: str | tuple[str, ...] = "max_attempts = 1",
    server: str = "",
    more: str = "",
    certificates: Certificates | None = None,
) -> AsyncIterator[Scene]:
    """A gateway and an upstream for each of *plays*, tried in that order. *more*: tables of the configuration.

    *upstream*: more of each one's configuration, or of all.
    """
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(open_faulty(play, certificates)) for play in plays]
        log = stack.enter_context(capture_logs())
        toml = upstream_toml(*(each.url for each in upstreams), upstream=upstream, server=server) + more
        client = await stack.enter_async_context(open_gateway(settings(toml)))
        yield Scene(client, upstreams, log)


def check_ending(answer: Answer) -> None:
    """A stream is one answer, in the order of the phases; it ends once, and says so."""
    order = PhaseOrder()
    for each in answer.objects:
        if "phase" in each:
            order.accept(Phase(each["phase"]))
    chunks = [each for each in answer.objects if "choices" in each]
    assert len({(each["id"], each["created"], each["model"]) for each in chunks}) == 1
    assert all(each.event in {"phase", "message", "error"} for each in answer.events)
    assert (answer.done, answer.events[-1].data) == (1, "[DONE]")
    assert answer.response.content.endswith(b"\n\ndata: [DONE]\n\n")
    assert len(answer.finish_reasons) <= 1
    if answer.error is not None:
        assert answer.events[-2].event == "error"
        assert answer.finish_reasons == ["error"]
        assert answer.objects[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
        assert answer.error["request_id"] == answer.response.headers["x-request-id"]
