"""World of one stream in virtual time: fake upstreams, a client that takes batches, what is left behind."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import trio

from tests.support import chat, sse_chunk
from trio_gateway.core.budgets.held_bytes import ByteBudget
from trio_gateway.core.client_api.chat_request import parse_chat_request
from trio_gateway.core.config import ModelConfig, ServerConfig, SummaryConfig, UpstreamConfig
from trio_gateway.core.errors import ApiError
from trio_gateway.core.events import Batch, Done, Event, Failure
from trio_gateway.core.json.strict import dumps
from trio_gateway.core.upstream_api.faults import Fault, fault_of_error
from trio_gateway.engine.backend import Backend
from trio_gateway.engine.bodies import Bodies, Payload
from trio_gateway.engine.call import Call
from trio_gateway.engine.clients import Clients
from trio_gateway.engine.memory import RequestMemory
from trio_gateway.engine.metrics import Metrics
from trio_gateway.engine.request_record import RequestRecord
from trio_gateway.engine.route import Route
from trio_gateway.engine.services import Running, Services
from trio_gateway.engine.stream import EventStream, open_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from trio_gateway.core.client_api.request import ChatRequest
    from trio_gateway.core.upstream_api.chunks import InbandError
    from trio_gateway.engine.summaries.summary_model import SummaryModel
    from trio_gateway.engine.upstream import Upstream
    from trio_gateway.engine.upstream_answer import UpstreamAnswer

Step: TypeAlias = bytes | float | Exception | trio.Event
MODEL = ModelConfig(markers=(("<think>", "</think>"),))
THINK = sse_chunk({"content": "<think>First I add two and two. Then I check the sum once more.\n"})
SPEAK = sse_chunk({"content": "</think>The answer"})
FINISH = sse_chunk(finish="stop")


class FakeUpstream:
    """Plays a script in each exchange: bytes are received, numbers are seconds of silence, exceptions are
    raised, events are waited for.

    At the script's end the body ends; a silence of infinity never does.
    """

    def __init__(self, *scripts: Sequence[Step], streamed: bool = True) -> None:
        self._scripts = list(scripts)
        self._streamed = streamed
        self.opened = 0
        self.bodies: list[Any] = []
        self.closed_at: list[float] = []

    @asynccontextmanager
    async def open_completion(
        self,
        body: Payload,
        *,
        authorization: str | None,
        streamed: bool = True,
        traceparent: str | None = None,
    ) -> AsyncIterator[UpstreamAnswer]:
        script = self._scripts[min(self.opened, len(self._scripts) - 1)]
        self.opened += 1
        self.bodies.append(json.loads(b"".join(body.pieces)))
        try:
            yield cast("UpstreamAnswer", _FakeAnswer(script, streamed=self._streamed))
        finally:
            self.closed_at.append(trio.current_time())

    def fault_in_stream(self, told: InbandError) -> Fault:
        return fault_of_error(told, own_key=True)


class _FakeAnswer:
    def __init__(self, script: Sequence[Step], *, streamed: bool) -> None:
        self._steps = iter(script)
        self.streamed = streamed

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for step in self._steps:
            match step:
                case bytes():
                    return step
                case Exception():
                    raise step
                case trio.Event():
                    await step.wait()
                case seconds:
                    await trio.sleep(seconds)
        return b""


class Batches:
    """A sink whose client takes one batch at a time; a batch that was not taken makes the stream wait."""

    def __init__(self) -> None:
        self.waiting: list[Batch] = []
        self._written = trio.Event()
        self._taken = trio.Event()
        self._over = False

    async def play(self, stream: EventStream) -> None:
        await stream.deliver(self)
        self._over = True
        self._written.set()

    def write(self, batch: Batch) -> None:
        self.waiting.append(batch)
        self._written.set()

    def flush_nowait(self) -> bool:
        return False

    async def flush(self) -> None:
        while self.waiting:
            await self._taken.wait()

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Batch:
        while not self.waiting:
            if self._over:
                raise StopAsyncIteration
            self._written = trio.Event()
            await self._written.wait()
        batch = self.waiting.pop(0)
        self._taken.set()
        self._taken = trio.Event()
        return batch


class World:
    """A backend for each upstream, and what a stream over them leaves behind."""

    def __init__(self, *upstreams: FakeUpstream, **config: object) -> None:
        self.metrics = Metrics(dict)
        self.model = MODEL
        self.upstreams = upstreams
        self.backends = [
            Backend(
                f"u{number}",
                UpstreamConfig(url="http://x/v1", **config),  # type: ignore[arg-type]
                cast("Upstream", upstream),
                self.metrics,
            )
            for number, upstream in enumerate(upstreams)
        ]
        self.running: set[Running] = set()
        self.record = RequestRecord(
            Clients(None).identify(None), request_id="r", accepted_at=trio.current_time()
        )
        self.server = ServerConfig()
        self.held = ByteBudget(10**9)
        self.buffered = False
        self.asked = 0
        self.left = 0

    @asynccontextmanager
    async def stream(
        self, request: ChatRequest | None = None, *, model: SummaryModel | None = None, **summary: object
    ) -> AsyncIterator[Batches]:
        """The batches of one answer, as a client takes them one by one."""
        route = Route(self.backends)
        first = route.first()
        assert not isinstance(first, ApiError)
        services = Services(
            self.server,
            SummaryConfig(**summary),  # type: ignore[arg-type]
            self.metrics,
            Bodies(ServerConfig().max_bodies),
            summary_model=model,
            running=self.running,
        )
        call = Call(
            request=request or parse_chat_request(dumps(chat()).encode()),
            record=self.record,
            services=services,
            model=self.model,
            memory=RequestMemory(self.server, self.held),
            buffered=self.buffered,
            route=route,
            deadline=trio.current_time() + services.server.request_timeout,
            first_lease=first,
            leave=self._leave,
        )
        self.asked += 1
        with closing(call):
            async with open_stream(call) as stream, trio.open_nursery() as nursery:
                batches = Batches()
                nursery.start_soon(batches.play, stream)
                yield batches
                nursery.cancel_scope.cancel()

    def _leave(self) -> None:
        self.left += 1

    async def answer(self, request: ChatRequest | None = None) -> list[tuple[float, Event]]:
        """The whole answer, each event with the second it came in."""
        told = await self.answer_unchecked(request)
        self.check()
        return told

    async def answer_unchecked(self, request: ChatRequest | None = None) -> list[tuple[float, Event]]:
        """As ``answer``, where others are under way."""
        told: list[tuple[float, Event]] = []
        async with self.stream(request) as batches:
            async for batch in batches:
                told += [(round(trio.current_time(), 3), event) for event in batch]
        return told

    def check(self) -> None:
        """Nothing is left: every permit is settled, every exchange closed, the place given back."""
        for backend, upstream in zip(self.backends, self.upstreams, strict=True):
            seen = backend.breaker.snapshot(trio.current_time())
            assert seen.in_flight == 0
            assert seen.admitted == seen.success + seen.failure + seen.neutral + seen.stale
            assert len(upstream.closed_at) == upstream.opened
        assert self.held.held == 0
        assert (self.left, self.running) == (self.asked, set())


def kinds(told: list[tuple[float, Event]]) -> list[type[Event]]:
    return [type(event) for _, event in told]


def failure(told: list[tuple[float, Event]]) -> tuple[float, str | None]:
    """When and with which code the answer failed; it must be its last word but one."""
    (when, failed), (_, done) = told[-2:]
    assert isinstance(failed, Failure)
    assert isinstance(done, Done)
    return when, failed.error.code
