"""Errors as HTTP answers: always a status and an OpenAI error object, never HTML."""

from __future__ import annotations

import math
from typing import Final

import structlog
from quart import Response, current_app, g, has_request_context, request, websocket
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ..core.client_api import FORMATS, OPEN_PATHS
from ..core.errors import INTERNAL_ERROR, ApiError, RequestError, clean_text, error_for
from ..core.json.strict import dumps
from .paths import nearest_route, other_api

__all__ = ["code_of", "error_response", "http_error", "internal_error", "request_error"]

# Characters of a path, and of a method, that its error shows.
_SHOWN_PATH: Final = 100
_SHOWN_METHOD: Final = 20
log = structlog.get_logger("trio_gateway.server")

_CHAT: Final = (*OPEN_PATHS, *(path for each in FORMATS.values() for path in each.paths))
_ANY = next(iter(FORMATS.values()))
# The refusals that the web framework knows, their codes, and what they say where no more is known.
_NAMED = {
    405: ("method_not_allowed", "This path does not take this method."),
    408: ("request_timeout", "The request body did not arrive in time."),
    413: ("request_too_large", "The request body is too large."),
    415: ("unsupported_media_type", "The body must be JSON: send Content-Type: application/json."),
}


def error_response(error: ApiError) -> Response:
    """*error* as a whole answer, in the shape of the format that the path stands for."""
    wire_format = g.get("path_format") or _ANY
    response = Response(
        dumps(wire_format.error_body(error)), status=error.status, content_type="application/json"
    )
    if error.retry_after is not None:
        # Whole seconds are all the header can say: round up, or the client comes back too early.
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.code == "insufficient_quota" or (error.status == 429 and error.retry_after is None):
        # OpenAI's clients try every other 429 again. A limit without a time to come back is one that the
        # request itself exceeds.
        response.headers["x-should-retry"] = "false"
    return response


async def request_error(error: RequestError) -> Response:
    """A request that one of our own checks refused."""
    return error_response(error.error)


async def http_error(error: HTTPException) -> Response:
    """A request that the framework refused: no route, wrong method, body too large or too slow."""
    status = error.code or 500
    if status == 404:
        return error_response(error_for("not_found", _no_route()))
    code, message = _NAMED.get(status, (None, error.description or error.name))
    if error.description and error.description != type(error).description:  # one of our own
        message = error.description
    allowed: list[str] = []
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        allowed = sorted(error.valid_methods)
        message = _wrong_method(allowed)
    response = error_response(error_for(code, message, status=status))
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response


def code_of(error: HTTPException) -> str:
    """The code of the error that :func:`http_error` answers with, or the name of one that has none."""
    code, _ = _NAMED.get(error.code or 500, (None, ""))
    return code or error.name.lower().replace(" ", "_")


def _wrong_method(allowed: list[str]) -> str:
    path, method = clean_text(request.path, _SHOWN_PATH), clean_text(request.method, _SHOWN_METHOD)
    # HEAD is there for monitors; who asks for a method means one with an answer.
    names = " or ".join(name for name in allowed if name != "HEAD")
    return f"{path} takes {names}, not {method}; see /docs."


def _no_route() -> str:
    """What to ask instead of the path that was asked for."""
    http = has_request_context()
    path = request.path if http else websocket.path
    api = other_api(path)
    if api is not None:
        chat = " and ".join(f"POST {each}" for each in _CHAT)
        return (
            f"No route {clean_text(path, _SHOWN_PATH)}: {api} is not offered yet. "
            f"Chat is at {chat}, models are at GET /v1/models; see /docs."
        )
    nearest = nearest_route(path, request.method if http else None, current_app.url_map.iter_rules())
    where = f"The nearest is {nearest}" if nearest else f"Chat is at POST {OPEN_PATHS[0]}"
    return f"No route {clean_text(path, _SHOWN_PATH)}. {where}; see /docs."


async def internal_error(error: Exception) -> Response:
    """A bug of ours. The log gets the traceback, the client does not."""
    log.error("view_failed", exc_info=error)
    return error_response(INTERNAL_ERROR)
