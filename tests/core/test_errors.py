from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from trio_gateway.core.errors import CODES, ApiError, RequestError, clean_text, error_for, redact, refusal

LISTED = """
    upstream_unreachable upstream_connect_timeout upstream_tls first_event_timeout idle_timeout deadline
    upstream_closed truncated upstream_protocol line_too_long bad_content_type bad_content_encoding
    upstream_error upstream_auth upstream_empty rate_limit_exceeded insufficient_quota model_not_found
    circuit_open overloaded reasoning_limit shutting_down cancelled request_in_progress invalid_api_key
    invalid_json too_many_values answer_too_large
"""


def test_every_documented_code_has_a_status_and_a_type() -> None:
    assert set(LISTED.split()) <= CODES.keys()
    assert all(400 <= status < 600 and kind for status, kind in CODES.values())


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (None, 400, "invalid_request_error"),
        ("invalid_api_key", 401, "authentication_error"),
        ("model_not_found", 404, "invalid_request_error"),
        ("rate_limit_exceeded", 429, "rate_limit_error"),
        ("upstream_auth", 502, "upstream_error"),
        ("idle_timeout", 504, "upstream_error"),
    ],
)
def test_error_for(code: str | None, status: int, kind: str) -> None:
    assert error_for(code, "why") == ApiError("why", code, kind, status)


@pytest.mark.parametrize("code", [code for code, (status, _) in CODES.items() if status == 503])
def test_a_503_says_when_to_come_back(code: str) -> None:
    assert error_for(code, "why") == ApiError("why", code, "server_error", 503, None, 1.0)
    assert error_for(code, "why", retry_after=7.0).retry_after == 7.0


def test_error_for_with_everything() -> None:
    error = error_for("upstream_error", "why", status=504, param="n", retry_after=1.5)
    assert error == ApiError("why", "upstream_error", "upstream_error", 504, "n", 1.5)


def test_a_502_is_the_upstreams_fault_whatever_the_code() -> None:
    assert error_for("too_many_values", "why").type == "invalid_request_error"
    assert error_for("too_many_values", "why", status=502).type == "upstream_error"


def test_body_is_openais_and_in_its_order() -> None:
    body = error_for(None, "why", param="messages[2].content").body()
    assert list(body) == ["error"]
    assert list(body["error"].items()) == [
        ("message", "why"),
        ("type", "invalid_request_error"),
        ("param", "messages[2].content"),
        ("code", None),
    ]


def test_an_upstreams_own_code_is_no_class() -> None:
    told = [error_for("truncated", "x"), error_for(None, "x"), replace(error_for(None, "x"), code="made_up")]
    assert [error.error_class for error in told] == ["truncated", "error", "error"]


def test_request_error_carries_the_answer() -> None:
    error = error_for(None, "why")
    assert RequestError(error).error is error
    assert str(RequestError(error)) == "why"


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (UNSET, "nothing (the field is missing)"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "number 5"),
        (1.5, "number 1.5"),
        ("", 'string ""'),
        ('a\n"b"', 'string "a \\"b\\""'),
        ("é" * 99, f'string "{"é" * 40}"'),
        ([], "an empty list"),
        ([1], "a list"),
        ({}, "an object"),
    ],
)
def test_refusal_says_what_was_expected_and_what_came(got: object, said: str) -> None:
    error = refusal("n", "a file", got).error
    assert error == error_for(None, f"n: expected a file, got {said}", param="n")
    assert refusal("", "a file", got).error == error_for(None, f"expected a file, got {said}")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("model not found", "model not found"),
        ("  two\r\nlines\tand\u2028more ", "two lines and more"),
        ("\x1b[31mred\x1b[0m\x00\x7f\x9f", "[31mred[0m"),
        ("a\u202eb\u2066c\u200fd\u061ce\ufefff", "abcdef"),
        ("\ud800x", "x"),
        ("Zwölf 漢字 👩‍👩‍👧", "Zwölf 漢字 👩‍👩‍👧"),
        ("x" * 600, "x" * 512),
    ],
)
def test_clean_text(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@given(st.text(st.characters(), max_size=60), st.integers(0, 20))
def test_clean_text_is_one_short_harmless_line(text: str, limit: int) -> None:
    cleaned = clean_text(text, limit)
    assert len(cleaned) <= limit
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in cleaned)
    assert not any(
        unicodedata.bidirectional(char) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
        for char in cleaned
    )
    assert cleaned.encode().decode() == cleaned


def test_a_key_is_neither_hidden_from_the_redaction_nor_halved_by_the_cut() -> None:
    key = "sk-0123456789"
    assert clean_text("bad key sk-01234\x0056789!", secrets=(key,)) == "bad key ***!"
    assert clean_text("x" * 505 + key, secrets=(key,)) == "x" * 505 + "***"


def test_redact() -> None:
    assert redact("a sk-1 b sk-12 c", ("sk-1", "", "sk-12")) == "a *** b *** c"
    assert redact("nothing", ()) == "nothing"


KEY = "sk-proj-0123456789"
CLIENT_KEY = "gw-" + "aB3_-" * 8 + "xyz"


@pytest.mark.parametrize(
    ("text", "secrets", "left"),
    [
        (f"({KEY}){KEY}", [KEY], "(***)***"),
        # cut in the middle
        ("bad key sk-proj-01234", [KEY], "bad key ***"),
        ("bad key sk-pro", [KEY], "bad key ***"),
        ("bad key sk-pr", [KEY], "bad key sk-pr"),
        ("sk-proj-01234 is bad", [KEY], "sk-proj-01234 is bad"),
        # short ones are words
        ("none of these, xnone, none-such", ["none"], "*** of these, xnone, none-such"),
        ("x axle (x)", ["x"], "*** axle (***)"),
        ("1234567 a1234567", ["1234567"], "*** a1234567"),
        ("12345678 a12345678", ["12345678"], "*** a***"),
        # keys of the gateway's own making need not be known
        (f"{CLIENT_KEY},", [], "***,"),
        (CLIENT_KEY[:-1], [], CLIENT_KEY[:-1]),
    ],
)
def test_what_of_a_key_is_redacted(text: str, secrets: list[str], left: str) -> None:
    assert redact(text, secrets) == left


@given(st.text(), st.text(), st.integers(0, 60))
def test_a_text_that_is_cut_anywhere_shows_no_more_of_a_key_than_its_makers_prefix(
    before: str, after: str, cut: int
) -> None:
    assert KEY[:6] not in redact(f"{before}{KEY}{after}"[:cut], [KEY]).replace(after, "")


def test_every_field_of_an_error_is_redacted() -> None:
    error = ApiError(f"m {KEY}", f"c{KEY}", f"{KEY}t", 400, f"messages[0].{KEY}", 1.0)
    assert error.redacted([KEY]) == ApiError("m ***", "c***", "***t", 400, "messages[0].***", 1.0)
    bare = ApiError("m", None, "t", 400)
    assert bare.redacted([KEY]) == bare
