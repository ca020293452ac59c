"""Choice of the tracer: reads the standard OTEL_* variables, and imports nothing without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from ..engine.tracing import NO_TRACER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.tracing import Tracer

__all__ = ["tracer_of"]

log = structlog.get_logger("trio_gateway.server")

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"


def tracer_of(environ: Mapping[str, str]) -> Tracer:
    """The tracer that the variables of the process ask for.

    Many platforms set these variables for every process, so what cannot be done is no mistake that keeps the
    gateway from starting: it is a warning, and nothing is traced.
    """
    if not _is_wanted(environ):
        return NO_TRACER
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), _SPOKEN)
    if protocol != _SPOKEN:
        return _without(f"traces leave over {_SPOKEN} alone: set {_PROTOCOLS[1]} to it")
    try:
        from .otel import exporting
    except ImportError:
        return _without("no OpenTelemetry here: pip install 'trio-gateway[otel]'")
    try:
        return exporting()
    except Exception as error:
        # The SDK's own check of the variables. Its text may quote one, and a header of the exporter is a key.
        return _without(f"OpenTelemetry refuses the OTEL_* variables ({type(error).__name__})")


def _is_wanted(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = [each.strip() for each in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if each.strip()]
    return "otlp" in exporters if exporters else any(map(environ.get, _ENDPOINTS))


def _without(why: str) -> Tracer:
    log.warning("configuration", message=f"nothing is traced: {why}")
    return NO_TRACER
