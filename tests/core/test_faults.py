"""The table of upstream faults: what the client is told, how the breaker counts it, where it is tried again."""

import pytest

from trio_gateway.core.breaker import Outcome, PauseCause, Verdict
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import Fault, Replay, fault_of_error, fault_of_transport

FAILURE, NEUTRAL = Outcome.FAILURE, Outcome.NEUTRAL
SAME, NEXT, NO = Replay.SAME, Replay.NEXT, Replay.NO


@pytest.mark.parametrize(
    ("code", "status", "replay"),
    [
        ("upstream_unreachable", 502, SAME),
        ("upstream_connect_timeout", 504, SAME),
        ("first_event_timeout", 504, SAME),
        ("idle_timeout", 504, SAME),
        ("truncated", 502, SAME),
        ("deadline", 504, NO),
    ],
)
def test_faults_of_the_connection(code: str, status: int, replay: Replay) -> None:
    fault = fault_of_transport(code, "It broke.")
    assert fault.unanswered is (code in {"upstream_unreachable", "upstream_connect_timeout"})
    assert (fault.error.code, fault.error.status, fault.error.message) == (code, status, "It broke.")
    assert (fault.outcome, fault.replay, fault.pauses) == (FAILURE, replay, None)


STATUSES = [
    (301, "upstream_error", 502, FAILURE, NEXT),
    (400, None, 400, NEUTRAL, NO),
    (401, "upstream_auth", 502, NEUTRAL, NEXT),
    (402, "insufficient_quota", 429, NEUTRAL, NEXT),
    (403, "upstream_auth", 502, NEUTRAL, NEXT),
    (404, "model_not_found", 404, NEUTRAL, NEXT),
    (405, None, 405, NEUTRAL, NO),
    (408, "upstream_error", 504, FAILURE, SAME),
    (409, None, 409, NEUTRAL, NO),
    (413, None, 413, NEUTRAL, NO),
    (414, None, 413, NEUTRAL, NO),
    (418, None, 418, NEUTRAL, NO),
    (422, None, 422, NEUTRAL, NO),
    (425, "upstream_error", 504, FAILURE, SAME),
    (429, "rate_limit_exceeded", 429, NEUTRAL, NEXT),
    (431, None, 413, NEUTRAL, NO),
    (500, "upstream_error", 502, FAILURE, SAME),
    (502, "upstream_error", 502, FAILURE, SAME),
    (503, "upstream_error", 503, FAILURE, SAME),
    (504, "upstream_error", 502, FAILURE, SAME),
    (529, "upstream_error", 503, FAILURE, SAME),
    (599, "upstream_error", 502, FAILURE, SAME),
    (101, "upstream_error", 502, FAILURE, SAME),
    (None, "upstream_error", 502, FAILURE, SAME),
]


@pytest.mark.parametrize(("told", "code", "status", "outcome", "replay"), STATUSES)
def test_statuses(told: int | None, code: str | None, status: int, outcome: Outcome, replay: Replay) -> None:
    fault = fault_of_error(InbandError("why", status=told), own_key=True)
    assert (fault.error.code, fault.error.status) == (code, status)
    assert (fault.outcome, fault.replay) == (outcome, replay)


@pytest.mark.parametrize(
    ("error", "retry_after", "pauses"),
    [
        (InbandError("why", status=401), None, PauseCause.KEY),
        (InbandError("why", type="authentication_error"), None, PauseCause.KEY),
        (InbandError("why", status=402), 9.0, None),
        (InbandError("why", status=402, code="insufficient_quota"), None, None),
        (InbandError("why", status=403), 9.0, None),
        (InbandError("why", status=403, code="insufficient_quota"), None, None),
        (InbandError("why", status=429), None, None),
        (InbandError("why", status=429), 0.0, PauseCause.RATE),
        (InbandError("why", status=429), 9.0, PauseCause.RATE),
        (InbandError("why", status=429, code="insufficient_quota"), 9.0, PauseCause.QUOTA),
        (InbandError("why", code="billing_hard_limit_reached", status=429), None, PauseCause.QUOTA),
        (InbandError("why", status=503), 9.0, None),
        (InbandError("why", status=500), None, None),
    ],
)
def test_what_pauses_a_model(
    error: InbandError, retry_after: float | None, pauses: PauseCause | None
) -> None:
    assert fault_of_error(error, own_key=True, retry_after=retry_after).pauses is pauses


TOO_LARGE = (
    "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 45000."
    " The input or output tokens must be reduced in order to run successfully."
)


@pytest.mark.parametrize(
    ("message", "too_large"),
    [
        (TOO_LARGE, True),
        ("request TOO LARGE", True),
        (
            "Rate limit reached ... tokens per min (TPM): Limit 30000, Used 29000, Requested 1500. Try again",
            False,
        ),
        ("Rate limit reached ... tokens per min (TPM): Limit: 30000, Requested: 30001.", True),
        ("Limit 30000, Requested 30000", False),
        ("Limit " + "9" * 300, False),
        ("slow down", False),
    ],
)
def test_a_limit_that_one_request_exceeds_is_the_requests_own(message: str, too_large: bool) -> None:
    fault = fault_of_error(InbandError(message, status=429), own_key=True, retry_after=9.0)
    assert (fault.error.status, fault.error.code, fault.outcome) == (429, "rate_limit_exceeded", NEUTRAL)
    assert (fault.pauses is None, fault.error.retry_after is None) == (too_large, too_large)
    assert fault.replay is NEXT


def test_the_client_is_told_the_whole_time() -> None:
    fault = fault_of_error(InbandError("slow down", status=429), own_key=True, retry_after=3600.0)
    assert fault.error.retry_after == 3600.0


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_what_a_clients_own_key_meets_says_nothing_about_the_upstream(status: int) -> None:
    fault = fault_of_error(InbandError("no", status=status), own_key=False, retry_after=9.0)
    assert fault.outcome is NEUTRAL
    assert fault.pauses is (PauseCause.RATE if status == 429 else None)


@pytest.mark.parametrize("status", [401, 403])
def test_the_clients_own_key_is_the_clients_own_concern(status: int) -> None:
    fault = fault_of_error(InbandError("bad key", status=status, code="invalid_api_key"), own_key=False)
    assert (fault.error.status, fault.error.code, fault.error.message) == (
        status,
        "invalid_api_key",
        "bad key",
    )
    assert (fault.outcome, fault.replay, fault.pauses) == (NEUTRAL, NO, None)


def test_the_gateways_key_is_not_the_clients_concern() -> None:
    fault = fault_of_error(InbandError("Incorrect API key: sk-123", status=401), own_key=True)
    assert "sk-123" not in fault.error.message


def test_a_pause_asked_for_is_told_on() -> None:
    limited = fault_of_error(InbandError("slow down", status=429), own_key=True, retry_after=7.0)
    assert (limited.error.retry_after, limited.pauses) == (7.0, PauseCause.RATE)
    assert fault_of_error(InbandError("slow", status=429), own_key=True).error.retry_after == 1.0
    busy = fault_of_error(InbandError("busy", status=503), own_key=True, retry_after=3.0)
    assert (busy.error.retry_after, busy.pauses) == (3.0, None)
    assert fault_of_error(InbandError("busy", status=503), own_key=True).error.retry_after == 1.0


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("rate_limit_exceeded", 429),
        ("overloaded_error", 503),
        ("context_length_exceeded", 400),
        ("model_not_found", 404),
        ("server_error", 502),
    ],
)
@pytest.mark.parametrize("place", ["code", "type"])
def test_an_error_without_a_status_goes_by_its_name(name: str, status: int, place: str) -> None:
    told = InbandError("why", **{place: name})  # type: ignore[arg-type]
    assert fault_of_error(told, own_key=True).error.status == status


@pytest.mark.parametrize("status", [None, 429, 403])
def test_a_spent_quota_is_known_by_its_code(status: int | None) -> None:
    fault = fault_of_error(InbandError("pay", status=status, code="insufficient_quota"), own_key=True)
    assert (fault.error.code, fault.error.status, fault.outcome) == ("insufficient_quota", 429, NEUTRAL)


def test_a_clients_mistake_is_told_in_the_upstreams_words_without_keys() -> None:
    told = InbandError(
        "bad \x1b[31mvalue\n for sk-secret", "bad_value", "invalid_request_error", "top_p", 400
    )
    error = fault_of_error(told, own_key=True, secrets=("sk-secret",)).error
    assert error.message == "bad [31mvalue for ***"
    assert (error.code, error.type, error.param) == ("bad_value", "invalid_request_error", "top_p")


def test_a_403_has_the_upstreams_reason() -> None:
    error = fault_of_error(InbandError("flagged by moderation", status=403), own_key=True).error
    assert error.message == "The upstream refused the request (status 403): flagged by moderation"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (fault_of_transport("upstream_unreachable", "x", cause="connection refused"), "connection refused"),
        (fault_of_transport("upstream_tls", "x"), "no secure connection"),
        (fault_of_transport("upstream_protocol", "x"), "upstream protocol"),
        (fault_of_error(InbandError("x", status=500), own_key=True), "status 500"),
        (fault_of_error(InbandError("x"), own_key=True), "an error in the answer"),
    ],
)
def test_a_verdict_has_a_cause_in_few_words(fault: Fault, cause: str) -> None:
    assert fault.verdict.cause == cause


def test_a_verdict_says_all_that_the_breaker_needs() -> None:
    lost = fault_of_transport("upstream_closed", "x", unanswered=True)
    assert lost.verdict == Verdict(
        FAILURE, unanswered=True, error_class="upstream_closed", cause="connection lost"
    )
    limited = fault_of_error(InbandError("x", status=429), own_key=True, retry_after=9.0)
    assert limited.verdict == Verdict(
        NEUTRAL,
        pauses=PauseCause.RATE,
        retry_after=9.0,
        error_class="rate_limit_exceeded",
        cause="status 429",
        answered=True,
    )


@pytest.mark.parametrize("status", [None, 400, 403, 404, 413, 422, 429, 500, 503])
@pytest.mark.parametrize("own_key", [True, False])
def test_no_field_of_an_error_holds_a_key(status: int | None, own_key: bool) -> None:
    key = "sk-secret-0123456789"
    told = InbandError(f"bad {key}", f"code_{key}", key, f"a.{key}", status)
    error = fault_of_error(told, own_key=own_key, secrets=(key,)).error
    assert key not in f"{error}"


def test_a_key_that_a_cut_has_halved_is_redacted_all_the_same() -> None:
    key = "sk-secret-0123456789"
    told = InbandError("m" * 505 + key, "c" * 118 + key[:10], "t", "p" * 118 + key[:10], 400)
    error = fault_of_error(told, own_key=True, secrets=(key,)).error
    assert (error.message, error.code, error.param) == (
        "m" * 505 + "***",
        "c" * 118 + "***",
        "p" * 118 + "***",
    )


def test_a_fault_is_redacted_with_its_error() -> None:
    fault = fault_of_error(InbandError("bad sk-secret", status=400), own_key=False)
    assert fault.redacted(("sk-secret",)).error.message == "bad ***"
