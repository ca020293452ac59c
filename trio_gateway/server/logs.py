"""Logging: writes one line an event to stderr, as JSON or text.

Values may hold anything a client or an upstream sent: control characters are escaped in both formats, and the
gateway's own client keys are redacted, wherever they stand.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Final

import structlog

from ..core.errors import redact
from ..core.text.control_characters import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import EventDict, WrappedLogger

    from ..core.config.settings import LogFormat

__all__ = ["configure_logging", "line_formatter"]

# Fields that stand first in a text line, where the eye looks for them.
_FIRST: Final = ("timestamp", "level", "logger", "event")
# A printable value that needs no quotes: a space, a quote, an equals sign or a backslash could be misread.
_BARE: Final = re.compile(r'[^\s"=\\]+')


_SHARED: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
)


def configure_logging(level: str, log_format: LogFormat | None = None) -> None:
    """Send everything of at least *level* to stderr. For the process's entry points, not for libraries.

    *log_format* None: text where stderr is a terminal, else JSON.
    """
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(line_formatter(log_format or ("text" if sys.stderr.isatty() else "json")))
    # What a logger has written itself (hypercorn's does, under its own command) need not be said twice.
    handler.addFilter(lambda record: not logging.getLogger(record.name).handlers)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log every request, with its URL


def line_formatter(log_format: LogFormat) -> logging.Formatter:
    """Formatter that writes any record, structlog's or another library's, as one line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _json_line if log_format == "json" else _text_line,
        ],
    )


def _json_line(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    return _harmless(_dumps(fields))


def _text_line(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    return _harmless(" ".join(f"{name}={_text(fields[name])}" for name in _ordered(fields)))


def _ordered(fields: EventDict) -> Iterable[str]:
    yield from (name for name in _FIRST if name in fields)
    yield from (name for name in fields if name not in _FIRST)


def _text(value: object) -> str:
    is_bare = isinstance(value, str) and value.isprintable() and _BARE.fullmatch(value)
    return str(value) if is_bare else _dumps(value)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)


def _harmless(line: str) -> str:
    return escape_controls(redact(line, ()))
