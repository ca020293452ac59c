"""Question: makes one attempt's request, and again without what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.upstream_api.asking import Added, Asking, asking_of, asking_otherwise
from ..core.upstream_api.history import lacks_reasoning
from ..core.upstream_api.request_body import NO_THINKING, upstream_fields

if TYPE_CHECKING:
    from .bodies import Payload
    from .call import Call
    from .lease import Lease
    from .upstream_answer import UpstreamFailure

__all__ = ["Question"]


class Question:
    """The request of *call* for the upstream of *lease*.

    *traceparent*: the header's value by which the upstream continues the trace, if there is one.
    """

    def __init__(self, call: Call, lease: Lease, *, thinks: bool, traceparent: str | None = None) -> None:
        self.traceparent = traceparent
        self._call = call
        self._lease = lease
        self._thinks = thinks
        self._known = call.services.asking.get(lease.config.url, lease.model) or asking_of(
            call.model, lease.model
        )
        self._asking = self._known
        self._tried: set[Asking] = {self._known}

    @property
    def streamed(self) -> bool:
        """The answer is asked for as a stream."""
        return self._asking.stream or not self._call.buffered

    async def body(self) -> Payload:
        """The body to post."""
        return await self._call.services.bodies.encode(self._call.request, self._fields)

    def put_otherwise(self, failure: UpstreamFailure) -> bool:
        """Whether another body may help, which :meth:`body` gives from now on: the upstream refused something
        that the gateway has added."""
        if failure.report is None:
            return False
        otherwise = asking_otherwise(self._asking, self._added(), failure.report)
        if otherwise is None or otherwise in self._tried:
            return False
        self._tried.add(otherwise)
        self._asking = otherwise
        return True

    def accepted(self) -> None:
        """The upstream has begun to answer: remember what it takes."""
        if self._asking != self._known:
            self._call.services.asking.note(self._lease.config.url, self._lease.model, self._asking)

    def _added(self) -> Added:
        request, model = self._call.request, self._call.model
        asked_not_to_think = not self._thinks or request.body.get("reasoning_effort") in NO_THINKING
        return Added(
            usage=self._lease.config.ask_usage and self._asking.usage and not request.include_usage,
            stream=self._call.buffered and self._asking.stream,
            switch=bool(model.thinking_switch) and asked_not_to_think and self._asking.switch,
            lacks_reasoning=lacks_reasoning(request.messages),
        )

    def _fields(self) -> dict[str, Any]:
        model, asking = self._call.model, self._asking
        return upstream_fields(
            self._call.request,
            model=self._lease.model,
            ask_usage=self._lease.config.ask_usage and asking.usage,
            keep_reasoning=model.keep_reasoning,
            thinking_switch=model.thinking_switch if asking.switch else "",
            thinks=self._thinks,
            markers=model.markers,
            stream=self.streamed,
            fill_reasoning=asking.fill_reasoning,
        )
