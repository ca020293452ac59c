"""Upstreams that think and speak, and the status of an answer."""

from __future__ import annotations

from tests.support import (
    HEAD,
    sse_chunk,
)

THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two.\n"})


SPEAKS = THINKS + sse_chunk({"content": "</think>The answer"})


JSON_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def status(line: bytes, body: bytes = b"{}") -> bytes:
    return JSON_HEAD % (line, len(body), body)
