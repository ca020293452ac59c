"""Errors as upstreams report them: in a refusal's body, in an event, in a choice.

Vendors agree on little but that there are words and something that stands for a status. So the words are
looked for under several names, and the vendors' own codes become the HTTP status that they mean.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from ..budgets.weight import weigh
from ..errors import clean_text
from ..json.strict import StrictJSONError, dumps, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_ERROR", "InbandError", "describe_error_event", "describe_http_error", "error_in"]

MAX_ERROR: Final = 64 * 1024
"""Characters, or weight, of an error that are looked at."""
_MAX_DEPTH: Final = 128
_MAX_MESSAGE: Final = 4096
"""Characters kept of an error's message: more than a client is shown, so that whoever shortens it can find
keys in it first."""
_MAX_NAME: Final = 128

_MESSAGES: Final = ("message", "msg", "detail", "status_msg", "error_msg")
_CODES: Final = ("code", "error_code")
_STATUS_FIELDS: Final = ("status", "status_code", "http_status_code", "code", "error_code")
_SUCCESS: Final = frozenset({"", "0", "200", "ok", "success"})
"""Codes, as text, of what is no error."""

_MINIMAX: Final[Mapping[int, int]] = MappingProxyType(
    {
        1001: 504,  # timeout
        1002: 429,  # rate limit
        1004: 401,  # not authorized
        1008: 402,  # insufficient balance
        1026: 400,  # the input is sensitive
        1027: 400,  # the output is
        1039: 400,  # token limit
        1041: 429,  # connection limit
        1042: 400,  # invisible characters
        2013: 400,  # invalid parameters
        2045: 429,  # requests grow too fast
        2049: 401,  # invalid key
        2056: 429,  # the plan's usage limit
    }
)
"""Statuses that the codes of ``base_resp`` stand for; every other one is a failure of theirs."""

Json = dict[str, Any]


class InbandError(Struct, frozen=True):
    """An error as the upstream reported it."""

    message: str
    """On one line, without control characters; it may be long and may hold a key: clean it again with the
    keys at hand before it is shown."""
    code: str | None = None
    """Its name for the error. A number is read as a status instead."""
    type: str | None = None
    param: str | None = None
    status: int | None = None
    """The HTTP status it stands for, if the upstream says."""


def error_in(value: object) -> InbandError | None:
    """The error that the JSON *value* of an event, or of an answer in one object, is or holds.

    >>> error_in({"code": "InvalidParameter", "message": "too long"}).message
    'too long'
    """
    if type(value) is list:
        return next(filter(None, map(error_in, value[:1])), None)
    if type(value) is not dict:
        return None
    if value.get("error") or value.get("object") == "error":
        return _told(value, "no reason given")
    choices = value.get("choices")
    if choices and type(choices) is list:
        for choice in choices:
            if type(choice) is dict and (error := choice.get("error")):
                return _told({"error": error}, "no reason given")
    if (base := value.get("base_resp")) is not None:
        return _of_minimax(base)
    if choices:
        return None
    if type(errors := value.get("errors")) is list and errors:
        return _told({"error": errors[0]}, "no reason given")
    return _told(value, "no reason given") if _is_bare(value) else None


def describe_http_error(status: int, body: bytes) -> InbandError:
    """The error in a refusal's *body*: an object, or a line of text. Of a page nothing is passed on."""
    report = _described(body.decode(errors="replace"), f"status {status}")
    return InbandError(report.message, report.code, report.type, report.param, status)


def describe_error_event(data: str) -> InbandError:
    """The error in the data of an event named ``error``, which may be an object or a line of text."""
    return _described(data, "an error without a message")


def _is_bare(value: Json) -> bool:
    """It has words and a code, and the code is not that of a success."""
    if not any(value.get(key) for key in _MESSAGES):
        return False
    codes = [value[key] for key in _CODES if type(value.get(key)) in {int, str}]
    if any(str(code).lower() not in _SUCCESS for code in codes):
        return True
    return any(_status(value.get(key)) for key in _STATUS_FIELDS)


def _of_minimax(base: object) -> InbandError | None:
    if type(base) is not dict or not base.get("status_code"):
        return None
    code = base["status_code"]
    report = _told({"message": base.get("status_msg")}, "no reason given")
    status = _MINIMAX.get(code, 500) if type(code) is int else 500
    return InbandError(report.message, status=status)


def _described(text: str, unsaid: str) -> InbandError:
    text = text.strip()
    try:
        value = parse(text, max_depth=_MAX_DEPTH, mend_surrogates=True)
    except StrictJSONError:  # a proxy's page or a plain line: the client gets the line, or that there is none
        value = None if text.startswith("<") else text
    if type(value) is list and value:
        value = value[0]  # some servers put the object in a list
    return _told(value if type(value) is dict else {"error": value}, unsaid)


def _told(value: Json, unsaid: str) -> InbandError:
    """The error in one of the shapes ``{"error": {…}}``, ``{"error": "…"}`` and ``{"message": …}``."""
    error = value.get("error")
    report = (
        {**value, **error} if type(error) is dict else {**value, "message": error or value.get("message")}
    )
    message = next((report[key] for key in _MESSAGES if report.get(key)), unsaid)
    if type(message) is not str:
        is_shown = type(message) is not bool and weigh(message, limit=MAX_ERROR) <= MAX_ERROR
        message = dumps(message) if is_shown else unsaid
    status = next(filter(None, (_status(report.get(key)) for key in _STATUS_FIELDS)), None)
    names = _CODES if status else (*_CODES, "status")
    return InbandError(
        clean_text(message[:MAX_ERROR], _MAX_MESSAGE) or unsaid,
        next(filter(None, (_name(report.get(key)) for key in names)), None),
        _name(report.get("type") or report.get("error_type")),
        _name(report.get("param")),
        status,
    )


def _name(value: object) -> str | None:
    if type(value) is not str or value.isdigit():
        return None
    return clean_text(value[:MAX_ERROR], _MAX_NAME) or None


def _status(value: object) -> int | None:
    """An HTTP status as a number or a string; of five digits (40301 and the like) the first three are one."""
    if type(value) not in {int, str} or not re.fullmatch(r"[45]\d\d(?:\d\d)?", str(value), re.ASCII):
        return None
    return int(str(value)[:3])
