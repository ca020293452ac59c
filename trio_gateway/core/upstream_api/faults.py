"""What an upstream's misbehaviour means: for the client, for its breaker, and for another try.

One table for faults of the connection, one for HTTP statuses. An error inside the stream is read as the
status it stands for. The statuses and codes are the gateway's public contract (see the API reference).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from ..breaker import Outcome, PauseCause, Verdict
from ..errors import ApiError, clean_text, error_for, redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .chunks import InbandError

__all__ = ["NAMELESS", "Fault", "Replay", "fault_of_error", "fault_of_page", "fault_of_transport"]

NAMELESS: Final = "The upstream "
"""How a message about an upstream begins, until its site is known: :meth:`Site.explain` names it."""


class Replay(Enum):
    """Where a failed attempt may be tried again before any output."""

    SAME = "on the same upstream, then on the next"
    NEXT = "on the next upstream only"
    WITHOUT_THINKING = "once more on the same upstream, asked not to think"
    NO = "nowhere: the request itself is at fault, or there is no time left"


class Fault(Struct, frozen=True):
    """One failed attempt, judged."""

    error: ApiError
    outcome: Outcome = Outcome.FAILURE
    replay: Replay = Replay.SAME
    unanswered: bool = False
    """No HTTP answer came: the failure is the upstream's, whoever asked, and whatever for."""
    answered: bool = False
    """The upstream itself answered with an error, as an HTTP status or inside the stream."""
    pauses: PauseCause | None = None
    """The upstream restricts the model: it is left alone for a while, apart from the breaker's state."""
    cause: str = ""
    """What happened, in a few words, for the message of requests that are refused because of it."""
    hint: str = ""
    """What to do next, for whoever runs the gateway: a text for :meth:`.site.Site.advice`."""

    @property
    def verdict(self) -> Verdict:
        """The same for the breaker."""
        error = self.error
        return Verdict(
            self.outcome,
            self.unanswered,
            self.pauses,
            error.retry_after,
            error.error_class,
            self.cause or error.error_class.replace("_", " "),
            self.answered,
        )

    def redacted(self, secrets: Sequence[str]) -> Fault:
        """The same fault, its error without *secrets*."""
        return replace(self, error=self.error.redacted(secrets))


_SIZE = frozenset({413, 414, 431})
_TIMEOUTS = frozenset({408, 425})
_BUSY = frozenset({503, 529})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})

# An in-band error without a status: the field's names for errors that have one, in small letters and without
# signs between them.
_STATUS_OF_NAME = {
    **dict.fromkeys(
        (
            *("ratelimitexceeded", "ratelimiterror", "ratelimit", "ratelimited", "toomanyrequests"),
            *("insufficientquota", "resourceexhausted", "throttling", "throttlingratequota"),
            *("throttlingallocationquota", "throttlingburstrate", "limitrequests"),
        ),
        429,
    ),
    **dict.fromkeys(("overloaded", "overloadederror", "unavailable", "serviceunavailable"), 503),
    **dict.fromkeys(
        (
            *("invalidrequest", "invalidrequesterror", "invalidargument", "invalidparameter", "badrequest"),
            *("contextlengthexceeded", "failedprecondition", "outofrange", "contentfilter"),
            *("datainspectionfailed", "validationerror", "badrequesterror", "invalidparametererror"),
        ),
        400,
    ),
    **dict.fromkeys(
        ("authenticationerror", "unauthenticated", "unauthorized", "invalidapikey", "invalidauthentication"),
        401,
    ),
    **dict.fromkeys(("insufficientbalance", "arrearage", "paymentrequired"), 402),
    **dict.fromkeys(("permissionerror", "permissiondenied", "accessdenied", "forbidden"), 403),
    **dict.fromkeys(("notfounderror", "notfound", "modelnotfound"), 404),
    **dict.fromkeys(("timeout", "timeouterror", "requesttimeout", "deadlineexceeded"), 408),
}

# Codes of faults before any HTTP answer; a connection may also be lost later, so that is said by the caller.
_UNANSWERED = frozenset({"upstream_unreachable", "upstream_connect_timeout", "upstream_tls"})

_CAUSES = {
    "upstream_unreachable": "no connection",
    "upstream_connect_timeout": "no connection in time",
    "upstream_tls": "no secure connection",
    "upstream_closed": "connection lost",
    "first_event_timeout": "no first event in time",
    "idle_timeout": "silence in an answer",
    "truncated": "an answer that broke off",
    "deadline": "an answer that was not complete in time",
}

_HINTS = {
    "first_event_timeout": "Does it load the model? {table}.first_event_timeout sets how long it may take.",
    "idle_timeout": "Its log may tell why; {table}.idle_timeout sets how long it may be silent.",
    "truncated": "Its log may tell why.",
    "upstream_protocol": "Is it an OpenAI-style API?",
    "upstream_empty": "Is it an OpenAI-style API?",
    "bad_content_type": "Is the path in {url} right?",
    "empty": "Is the path in {url} right?",
}

# As OpenAI and those that copy its API write: "... tokens per min (TPM): Limit 30000, Requested 45000. ..."
_ASKED_FOR = re.compile(r"\blimit:? {0,3}(\d{1,12}+)[^0-9]{1,60}?requested:? {0,3}(\d{1,12}+)", re.IGNORECASE)


def fault_of_transport(
    code: str, message: str, *, cause: str = "", hint: str = "", unanswered: bool = False
) -> Fault:
    """A fault of the connection or of the stream's form, under one of the contract's codes.

    *cause*: what happened in a few words, where that is more precise than the code. *hint*: as
    of :class:`Fault`.
    *unanswered*: the connection was lost before the first byte of an answer.
    """
    return Fault(
        error_for(code, message),
        replay=Replay.NO if code == "deadline" else Replay.SAME,
        unanswered=unanswered or code in _UNANSWERED,
        cause=cause or _CAUSES.get(code, ""),
        hint=hint or _HINTS.get(code, ""),
    )


def fault_of_page(status: int, kind: str, request: str) -> Fault:
    """A status 404 with a *kind* of body that no API sends: the path is wrong. *request*: method and path."""
    message = f"{NAMELESS}answered {status} with {kind} to {request}."
    error = error_for("upstream_error", message)
    hint = "Is the path in {url} right?"
    return Fault(error, Outcome.NEUTRAL, Replay.NEXT, cause=f"status {status} with {kind}", hint=hint)


def fault_of_error(
    described: InbandError, *, own_key: bool, retry_after: float | None = None, secrets: Sequence[str] = ()
) -> Fault:
    """An error the upstream reported, as an HTTP status or inside the stream (its status may be absent).

    *own_key*: the key was the gateway's, so a refusal of it is no concern of the client's.
    """
    status = described.status or _status_of(described.code) or _status_of(described.type)
    message = clean_text(redact(described.message, secrets))  # before the cut, which could halve a key
    report = _Report(described, status, message, own_key, retry_after)
    fault = _of_request(report) or _of_limit(report) or _of_upstream(report)
    cause = f"status {status}" if status else "an error in the answer"
    return replace(fault, cause=cause, answered=True).redacted(secrets)


def _status_of(name: str | None) -> int | None:
    return _STATUS_OF_NAME.get(re.sub(r"[^a-z]", "", (name or "").lower()))


class _Report(NamedTuple):
    """An error as the upstream reported it. *message* is fit to be shown."""

    error: InbandError
    status: int | None
    message: str
    own_key: bool
    retry_after: float | None

    def passed_on(self, shown: int, code: str | None = None) -> ApiError:
        """The client's own mistake, in the upstream's words."""
        kind = self.error.type or "invalid_request_error"
        return ApiError(self.message, self.error.code or code, kind, shown, self.error.param)

    def blamed(self, code: str, *, shown: int | None = None, pause: float | None = None) -> ApiError:
        """The upstream's failure."""
        what = f"answered {self.status}" if self.status else "reported an error"
        why = "" if self.message == f"status {self.status}" else f": {self.message}"
        return error_for(code, f"{NAMELESS}{what}{why or '.'}", status=shown, retry_after=pause)


def _of_request(report: _Report) -> Fault | None:
    """What is due to the request itself, and says nothing about the upstream."""
    match report.status:
        case 402 | 403 as status if status == 402 or report.error.code in _QUOTA_CODES:
            return Fault(report.blamed("insufficient_quota"), Outcome.NEUTRAL, Replay.NEXT)
        case 401 | 403 as status if not report.own_key:
            return Fault(report.passed_on(status), Outcome.NEUTRAL, Replay.NO)
        case 403:
            message = f"{NAMELESS}refused the request (status 403): {report.message}"
            return Fault(error_for("upstream_auth", message), Outcome.NEUTRAL, Replay.NEXT)
        case 404:
            return Fault(report.passed_on(404, "model_not_found"), Outcome.NEUTRAL, Replay.NEXT)
        case 429 if _is_too_large(report.message):
            # Another upstream may allow more; coming back to this one is of no use.
            return Fault(report.passed_on(429, "rate_limit_exceeded"), Outcome.NEUTRAL, Replay.NEXT)
        case status if status in _SIZE:
            return Fault(report.passed_on(413), Outcome.NEUTRAL, Replay.NO)
        case int(status) if 400 <= status < 500 and status not in {401, 429} | _TIMEOUTS:
            return Fault(report.passed_on(status), Outcome.NEUTRAL, Replay.NO)
    return None


def _of_limit(report: _Report) -> Fault | None:
    """What restricts the model for a while: a refused key, a spent quota, a rate limit."""
    if report.status == 401:
        error = error_for("upstream_auth", f"{NAMELESS}refused the gateway's key (status 401).")
        return Fault(error, Outcome.NEUTRAL, Replay.NEXT, pauses=PauseCause.KEY, hint="{key}.")
    if report.status != 429:
        return None
    if report.error.code in _QUOTA_CODES:
        error = report.blamed("insufficient_quota")
        return Fault(error, Outcome.NEUTRAL, Replay.NEXT, pauses=PauseCause.QUOTA)
    asked = report.retry_after
    error = report.blamed("rate_limit_exceeded", pause=1.0 if asked is None else asked)
    pauses = None if asked is None else PauseCause.RATE
    return Fault(error, Outcome.NEUTRAL, Replay.NEXT, pauses=pauses)


def _of_upstream(report: _Report) -> Fault:
    """What the upstream itself does wrong."""
    status = report.status
    if status in _TIMEOUTS:
        return Fault(report.blamed("upstream_error", shown=504))
    if status in _BUSY:
        return Fault(report.blamed("upstream_error", shown=503, pause=report.retry_after or 1.0))
    if status is not None and 300 <= status < 400:
        hint = "Redirects are not followed: is {url} right?"
        return Fault(report.blamed("upstream_error"), replay=Replay.NEXT, hint=hint)
    return Fault(report.blamed("upstream_error"))


def _is_too_large(message: str) -> bool:
    """Whether a rate limit says that this one request exceeds it.

    >>> _is_too_large("Rate limit reached on tokens per min (TPM): Limit 300, Used 290, Requested 20.")
    False
    """
    if "request too large" in message.lower():
        return True
    asked = _ASKED_FOR.search(message)
    return asked is not None and int(asked[2]) > int(asked[1])
