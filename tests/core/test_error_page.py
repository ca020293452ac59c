"""What shows a wrong path, and what is an API's own refusal."""

from __future__ import annotations

import pytest

from trio_gateway.core.upstream_api.error_page import asks_for_tls, page_kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b" <!doctype html>", "HTML"),
        (b"404 page not found\n", "plain text"),
        (b"", "no body"),
        (b"{}", "JSON without an error"),
        (b'{"detail": "Not Found"}', "JSON without an error"),
        (b'{"error": "x"}', ""),
        (b'{"object": "error", "message": "The model does not exist."}', ""),
        (b'{"cut', ""),
        (b'[{"error": {}}]', ""),
        (b"[" * 100_000, ""),
        (b"\xff", "plain text"),
    ],
)
def test_kinds(body: bytes, kind: str) -> None:
    assert page_kind(body) == kind


def test_a_port_for_https() -> None:
    assert asks_for_tls(b"<html>400 The plain HTTP request was sent to HTTPS port")
    assert not asks_for_tls(b'{"error": "image_url: expected https"}')
    assert not asks_for_tls(b"bad request")
