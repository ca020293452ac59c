"""Errors: one table of codes, and one shape for clients.

The shape is OpenAI's, so that every SDK understands it. Text that came from an upstream is never
passed on as it stands: see :func:`clean_text`.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from .json.strict import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CODES",
    "INTERNAL_ERROR",
    "SHUTTING_DOWN",
    "ApiError",
    "RequestError",
    "clean_text",
    "error_for",
    "no_such_model",
    "redact",
    "refusal",
]

_REQUEST: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_UPSTREAM: Final = "upstream_error"

CODES: Final[Mapping[str | None, tuple[int, str]]] = MappingProxyType(
    {
        # The request is at fault. Without a code: ``param`` and the message say it all, as OpenAI does.
        None: (400, _REQUEST),
        "invalid_json": (400, _REQUEST),
        "too_many_values": (400, _REQUEST),  # an upstream's event: with status 502
        "invalid_api_key": (401, "authentication_error"),
        "forbidden": (403, "permission_error"),
        "not_found": (404, _REQUEST),
        "model_not_found": (404, _REQUEST),
        "method_not_allowed": (405, _REQUEST),
        "request_timeout": (408, _REQUEST),
        "request_in_progress": (409, _REQUEST),
        "request_too_large": (413, _REQUEST),
        "unsupported_media_type": (415, _REQUEST),
        "rate_limit_exceeded": (429, "rate_limit_error"),
        "insufficient_quota": (429, "insufficient_quota"),
        "cancelled": (499, _REQUEST),  # as proxies log a request its client took back
        # The gateway is at fault, or has no room.
        "internal_error": (500, _SERVER),
        "circuit_open": (503, _SERVER),
        "overloaded": (503, _SERVER),
        "shutting_down": (503, _SERVER),
        # The upstream is at fault.
        "upstream_unreachable": (502, _UPSTREAM),
        "upstream_tls": (502, _UPSTREAM),
        "upstream_closed": (502, _UPSTREAM),
        "upstream_protocol": (502, _UPSTREAM),
        "upstream_error": (502, _UPSTREAM),
        "upstream_auth": (502, _UPSTREAM),
        "upstream_empty": (502, _UPSTREAM),
        "empty": (502, _UPSTREAM),  # a 200 without any body
        "truncated": (502, _UPSTREAM),
        "line_too_long": (502, _UPSTREAM),
        "answer_too_large": (502, _UPSTREAM),
        "bad_content_type": (502, _UPSTREAM),
        "bad_content_encoding": (502, _UPSTREAM),
        "reasoning_limit": (502, _UPSTREAM),
        "upstream_connect_timeout": (504, _UPSTREAM),
        "first_event_timeout": (504, _UPSTREAM),
        "idle_timeout": (504, _UPSTREAM),
        "deadline": (504, _UPSTREAM),
    }
)
"""Error code to its usual HTTP status and OpenAI error type."""

_COME_BACK: Final = 1.0

# C0, DEL, C1; then what reorders or hides text: bidi marks, embeddings, isolates, the BOM; lone surrogates
# because no encoder takes them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")

_REDACTED: Final = "***"
_SHORT_SECRET: Final = 8
# Characters of a cut key that are not worth redacting: most keys of one maker share them ("sk-proj-").
_LEAST_HALF: Final = 6
# What ``trio-gateway keys add`` makes.
_CLIENT_KEY: Final = re.compile(r"gw-[A-Za-z0-9_-]{43}")
_LOOKED_AT: Final = 64 * 1024
"""Characters of a foreign text that are looked at, for a message that shows a few hundred."""


class ApiError(Struct, frozen=True):
    """One error as a client gets it, whether by status or inside a stream."""

    message: str
    code: str | None
    type: str
    status: int
    """HTTP status; inside a stream it is told as ``error.status``."""
    param: str | None = None
    """Place in the request, such as ``messages[2].content``."""
    retry_after: float | None = None
    """Seconds after which another try makes sense."""

    @property
    def error_class(self) -> str:
        """The code, for logs, metrics and ``/health``; one that an upstream made up is just ``error``."""
        return self.code if self.code is not None and self.code in CODES else "error"

    def redacted(self, secrets: Sequence[str]) -> ApiError:
        """The same error without *secrets*, in whichever field they stand."""
        return replace(
            self,
            message=redact(self.message, secrets),
            type=redact(self.type, secrets),
            code=self.code and redact(self.code, secrets),
            param=self.param and redact(self.param, secrets),
        )

    def body(self) -> dict[str, Any]:
        """The OpenAI error object, keys in OpenAI's order."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class RequestError(Exception):
    """A request that is refused; ``error`` is the answer to send."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def error_for(
    code: str | None,
    message: str,
    *,
    status: int | None = None,
    param: str | None = None,
    retry_after: float | None = None,
) -> ApiError:
    """The error of that *code*, with its usual type and status (or *status*).

    One whose code means 503 always says when to come back: after a second, where *retry_after* does not say.
    A *status* of 502 always means that the upstream is at fault, and the type is ``upstream_error`` then.

    Raises:
        KeyError: *code* is not in :data:`CODES`.
    """
    usual, kind = CODES[code]
    kind = _UPSTREAM if status == 502 else kind
    if usual == 503 and retry_after is None:
        retry_after = _COME_BACK
    return ApiError(message, code, kind, usual if status is None else status, param, retry_after)


SHUTTING_DOWN: Final = error_for("shutting_down", "The gateway is restarting.", retry_after=1.0)
INTERNAL_ERROR: Final = error_for("internal_error", "The gateway made a mistake.")


def no_such_model(model_id: str) -> RequestError:
    """The refusal of a model that is not on offer."""
    return RequestError(
        error_for("model_not_found", f"The model {model_id!r} does not exist.", param="model")
    )


def refusal(param: str, expected: str, got: object) -> RequestError:
    """The refusal of the value *got* (msgspec's ``UNSET``: there is none) of the field *param* (or the body).

    >>> str(refusal("n", "an integer from 1 to 8", 9))
    'n: expected an integer from 1 to 8, got number 9'
    """
    where = f"{param}: " if param else ""
    return RequestError(error_for(None, f"{where}expected {expected}, got {_told(got)}", param=param or None))


def _told(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"number {value}"
        case str():
            return f"string {dumps(clean_text(value, 40))}"
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "an object"
        case _:
            return "nothing (the field is missing)"


def clean_text(text: str, limit: int = 512, *, secrets: Sequence[str] = ()) -> str:
    """Foreign text made fit for a message: one line, no control or bidi characters, no key, cut at *limit*.

    Keys go after the control characters, which could hide one, and before the cut, which could halve one.
    """
    line = _UNSAFE.sub("", " ".join(text[:_LOOKED_AT].split()))
    return redact(line, secrets)[:limit]


def redact(text: str, secrets: Sequence[str]) -> str:
    """*text* with ``***`` in the place of each of *secrets*, and of each key the gateway makes for clients.

    A secret shorter than 8 characters is replaced only where it stands as a word of its own: some clients
    send "x" or "none" for a key, and a text without those letters could not be read. Where *text* ends in the
    beginning of a secret, the text was cut there, and that goes as well.
    """
    # Longest first: a key that begins with another one must not leave its tail behind.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = _without(text, secret)
    return _CLIENT_KEY.sub(_REDACTED, text)


def _without(text: str, secret: str) -> str:
    if len(secret) < _SHORT_SECRET:
        return re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", _REDACTED, text)
    text = text.replace(secret, _REDACTED)
    for length in range(min(len(secret) - 1, len(text)), _LEAST_HALF - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + _REDACTED
    return text
