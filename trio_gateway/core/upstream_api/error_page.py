"""Error pages: recognise a wrong path or scheme in an error's body."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["asks_for_tls", "page_kind"]

_LOOKED_AT: Final = 2048
"""Bytes of a page that are searched."""


def page_kind(body: bytes) -> str:
    """What the *body* of a status 404 or 405 is, where it is no API's error; empty where it is one.

    Web servers answer a path they do not know with a page or a line, FastAPI's programs with
    ``{"detail": "Not Found"}``, and APIs with an object that has an error or a message.

    >>> page_kind(b"<!doctype html>"), page_kind(b"404 page not found"), page_kind(b'{"detail": "Not Found"}')
    ('HTML', 'plain text', 'JSON without an error')
    >>> page_kind(b'{"error": {"message": "no such model"}}'), page_kind(b"")
    ('', 'no body')
    """
    text = body.strip()
    if not text:
        return "no body"
    if text.startswith(b"<"):
        return "HTML"
    try:
        keys = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "" if text.startswith((b"{", b"[")) else "plain text"
    return "" if {"error", "message"} & keys.keys() else "JSON without an error"


def asks_for_tls(body: bytes) -> bool:
    """Whether the *body* of a status 400 says that a plain request came to a port for HTTPS.

    >>> asks_for_tls(b"Client sent an HTTP request to an HTTPS server.")
    True
    """
    return b"https" in body[:_LOOKED_AT].lower() and page_kind(body) in {"HTML", "plain text"}
