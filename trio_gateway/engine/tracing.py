"""Tracing: spans of requests, attempts and summaries; by default none is recorded.

A span is begun and ended once a request, an attempt or a summary, never once a token. None holds text of a
prompt, of reasoning or of an answer. The names are those of OpenTelemetry's conventions for generative AI
where it has one, else they begin with ``gateway.``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

from ..core.errors import INTERNAL_ERROR, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["NO_SPAN", "NO_TRACER", "CallSpan", "Span", "Tracer", "call_span", "chat_name", "step_span"]

Attributes: TypeAlias = "Mapping[str, str | int | float | bool]"

CHAT: Final[Attributes] = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
"""What is done, and whose API is spoken: that of OpenAI, whoever made the model."""
# Characters of a model's id that a span shows; a client may send any id.
_SHOWN_MODEL: Final = 128


class Span(Protocol):
    """Something that takes time, as part of one trace."""

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None: nothing is recorded, and none of the methods has an effect."""

    @property
    def traceparent(self) -> str | None:
        """The header's value (W3C Trace Context) by which an upstream continues the trace."""

    def begin(self, name: str, attributes: Attributes, *, calls: bool = False) -> Span:
        """Begin a part of this span. *calls*: it is a request to another server."""

    def event(self, name: str) -> None:
        """Note an instant: now."""

    def end(self, attributes: Attributes, *, name: str | None = None, error: str | None = None) -> None:
        """End the span now, under another *name* if one is given. *error*: its code, where it failed."""


class Tracer(Protocol):
    """What begins the span of each request."""

    def begin(self, name: str, attributes: Attributes, *, traceparent: str | None) -> Span:
        """Begin the span of a request. *traceparent*: the client's header value, of any text, or None."""

    async def aclose(self) -> None:
        """Hand over what was recorded, within a few seconds."""


class _NoSpan:
    trace_id = None
    traceparent = None

    def begin(self, name: str, attributes: Attributes, *, calls: bool = False) -> Span:
        return self

    def event(self, name: str) -> None:
        pass

    def end(self, attributes: Attributes, *, name: str | None = None, error: str | None = None) -> None:
        pass


class _NoTracer:
    def begin(self, name: str, attributes: Attributes, *, traceparent: str | None) -> Span:
        return NO_SPAN

    async def aclose(self) -> None:
        pass


NO_SPAN: Final[Span] = _NoSpan()
NO_TRACER: Final[Tracer] = _NoTracer()


def chat_name(model: str) -> str:
    """The name of a span about *model*: an id as a client or the configuration has it."""
    return f"chat {shown_model(model)}"


def shown_model(model: str) -> str:
    """A model's id made fit for a span."""
    return clean_text(model, _SHOWN_MODEL)


class CallSpan:
    """The span of one request to an upstream, which :func:`call_span` ends."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = span.traceparent
        """See :class:`Span`."""
        self.error: str | None = None
        """Code of the error that the call failed with."""
        self.outcome = "cancelled"
        """``ok``, ``error`` or ``cancelled``: nobody wants its answer any more."""

    def event(self, name: str) -> None:
        """Note an instant: now."""
        self._span.event(name)

    def conclude(self, error: str | None) -> None:
        """The call has ended by itself. *error*: code of the error that it failed with."""
        self.error = error
        self.outcome = "ok" if error is None else "error"

    def end(self) -> None:
        """End the span."""
        self._span.end({"gateway.outcome": self.outcome}, error=self.error)


@contextmanager
def call_span(parent: Span, *, model: str, url: str, attributes: Attributes) -> Iterator[CallSpan]:
    """A span for asking *model* of the upstream at *url*, of which the host and the port are recorded."""
    if parent.trace_id is None:
        span = parent  # nothing is recorded: what would be is not worked out
    else:
        span = parent.begin(chat_name(model), {**CHAT, **_where(model, url), **attributes}, calls=True)
    call = CallSpan(span)
    try:
        yield call
    except Exception:
        call.conclude(INTERNAL_ERROR.code)
        raise
    finally:
        call.end()


def _where(model: str, url: str) -> dict[str, str | int]:
    address = urlsplit(url)
    where: dict[str, str | int] = {
        "server.address": address.hostname or "",
        "gen_ai.request.model": shown_model(model),
    }
    if address.port is not None:
        where["server.port"] = address.port
    return where


@contextmanager
def step_span(parent: Span, name: str) -> Iterator[None]:
    """A span for a step of the gateway's own."""
    span = parent.begin(name, {})
    try:
        yield
    finally:
        span.end({})
