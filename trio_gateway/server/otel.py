"""OpenTelemetry: records spans and sends them to a collector in a thread of its own.

Nothing else imports the SDK, and this module is imported only where the environment asks for traces.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from ..version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

    from ..engine.tracing import Attributes

__all__ = ["OtelTracer", "exporting"]

log = structlog.get_logger("trio_gateway.server")

# Seconds that the gateway waits at its end for a collector that is slow to take the last spans.
_LAST_EXPORT: Final = 3.0
# Characters of a client's header; a value of the version in use has 55.
_MAX_TRACEPARENT: Final = 128

# Logger above all of the exporter's.
_EXPORTER: Final = "opentelemetry.exporter.otlp"

# What failed where the exporter names nothing: it gave up in the end.
_GAVE_UP: Final = "timeout"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtelTracer:
    """Tracer whose spans end in *processor*. What the environment says of sampling and limits holds."""

    def __init__(self, processor: SpanProcessor) -> None:
        # The end of the process is ours to time: at exit the SDK would wait for as long as half a minute.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("trio_gateway", __version__)

    def begin(self, name: str, attributes: Attributes, *, traceparent: str | None) -> OtelSpan:
        """See :class:`~trio_gateway.engine.tracing.Tracer`. A header that is none begins a new trace."""
        context = Context()
        if traceparent is not None and len(traceparent) <= _MAX_TRACEPARENT:
            context = _PROPAGATOR.extract({"traceparent": traceparent}, context)
        span = self._tracer.start_span(name, context, SpanKind.SERVER, dict(attributes))
        return OtelSpan(self._tracer, span)

    async def aclose(self) -> None:
        """Hand over what was recorded, within a few seconds."""
        with trio.move_on_after(_LAST_EXPORT):
            await trio.to_thread.run_sync(self._provider.shutdown, abandon_on_cancel=True)


class OtelSpan:
    """A span of the SDK's."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"

    def begin(self, name: str, attributes: Attributes, *, calls: bool = False) -> OtelSpan:
        """See :class:`~trio_gateway.engine.tracing.Span`."""
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        # The parent is named each time: what is current in a task says nothing here, where tasks are shared.
        parent = set_span_in_context(self._span, Context())
        return OtelSpan(self._tracer, self._tracer.start_span(name, parent, kind, dict(attributes)))

    def event(self, name: str) -> None:
        """Note an instant: now."""
        self._span.add_event(name)

    def end(self, attributes: Attributes, *, name: str | None = None, error: str | None = None) -> None:
        """End the span now."""
        more: dict[str, Any] = dict(attributes)
        if name is not None:
            self._span.update_name(name)
        if error is not None:
            more["error.type"] = error
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attributes(more)
        self._span.end()


def exporting() -> OtelTracer:
    """The tracer that sends its spans in batches, over OTLP, to where the environment says."""
    return OtelTracer(BatchSpanProcessor(_Reporting(OTLPSpanExporter())))


class _Reporting(SpanExporter):
    """Exporter around *inner*, which logs when it begins to fail, and when it is back.

    Its own log lines are dropped: they quote the collector's address, which may hold a key, and its answer.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._fails = False
        self._cause = _Cause()
        self._logger = logging.getLogger(_EXPORTER)
        self._logger.addHandler(self._cause)
        self._logger.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send *spans*, in the thread that calls."""
        result = self._inner.export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            log.warning("traces_not_taken", reason=self._cause.last)
        elif self._fails and not fails:
            log.info("traces_taken")
            self._cause.last = _GAVE_UP
        self._fails = fails
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._inner.shutdown()
        self._logger.removeHandler(self._cause)
        self._logger.propagate = not self._logger.handlers

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return self._inner.force_flush(timeout_millis)


class _Cause(logging.Handler):
    """Handler that writes nothing and keeps a status, or the class of an error."""

    def __init__(self) -> None:
        super().__init__()
        self.last = _GAVE_UP

    def emit(self, record: logging.LogRecord) -> None:
        """Look at *record*."""
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, Exception):
                self.last = type(value).__name__
            elif isinstance(value, int):
                self.last = f"status {value}"


def _resource() -> Resource:
    """What the environment says of this process, completed."""
    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "trio-gateway"}))
    return resource
