"""Everything an upstream was seen to do wrong, or oddly, and what the client gets. One row a fault.

``FAULTS`` end in an error. ``ODDITIES`` are borne: the client gets a whole answer.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tests.faults.playing import Door, Flood, Over, Play, Script
from tests.support import DONE, HEAD, sse_chunk, text_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FAULTS", "ODDITIES", "STOP", "Fault", "Oddity"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What an upstream does, and what it leads to while it is the only one."""

    plays: Play
    code: str | None
    """The error's code, and its class in the log and in the metrics (there ``error`` for None)."""
    status: int
    """HTTP status where one can still be sent, ``error.status`` in a stream."""
    breaker: Literal["failure", "neutral", "paused"] = "failure"
    """The verdict on the upstream; paused: neutral, and the model is left alone for a while."""
    retry: Literal["again", "next", "no"] = "again"
    """Until output has been shown: tried again there and then on the next upstream, on the next one only, or
    told to the client."""
    phase: str = "prompt_summary"
    """How far the stream has come."""
    begun: bool = False
    """An event has come before it, so even a stream of OpenAI's format has its status line."""
    output: str = ""
    """The final output that had come by then: the client gets it."""
    retry_after: str | None = None
    """The header of that name."""
    upstream: str = ""
    """More of the upstream's configuration."""
    server: str = ""
    """More of the server's."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """What an upstream does, and the answer that is made of it."""

    plays: Play
    output: str = "4"
    finish: str | None = "stop"
    counted: str = ""
    """The metric that has counted it."""
    holds: str = ""
    """Something else that the stream holds."""
    upstream: str = ""
    server: str = ""


# Bytes

THINKS = HEAD + sse_chunk({"content": "<think>First I add two and two.\n"})
SPEAKS = THINKS + sse_chunk({"content": "</think>The answer"})
CHUNKED = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
FOUR = sse_chunk({"content": "4"})
STOP = sse_chunk(finish="stop")
ANSWER = text_answer("4").removeprefix(HEAD)
WHOLE = b'{"choices": [{"index": 0, "message": {"content": "<think>Hm.</think>4"}, "finish_reason": "stop"}]}'

QUICK = "first_event_timeout = 0.2\nidle_timeout = 0.2\n"
"""For upstreams that fall silent."""
QUEUED: Script = (b": queued\n\n", 0.3) * 4
"""Longer than the second that silence may last, by parts that a busy machine does not make as long."""
QUEUES = QUICK + "queue_timeout = 0.3\n"
"""For upstreams that say that they queue a request."""
HASTY = "connect_timeout = 0.2\n"
"""For those that cannot be reached."""


PADDING = b": " + b"x" * 997 + b"\n"
"""A comment of a thousand bytes, which compress to a few."""


def _status(line: str, body: bytes = b"{}", *fields: str, kind: str = "application/json") -> Script:
    length = f"Content-Length: {len(body)}"
    head = [f"HTTP/1.1 {line}", f"Content-Type: {kind}", length, "Connection: close", *fields, "", ""]
    return ("\r\n".join(head).encode() + body, Over.OPEN)


def _error(**fields: object) -> bytes:
    return json.dumps({"error": fields}).encode()


def _head(*fields: str) -> bytes:
    """The beginning of a stream with more fields in its head."""
    return HEAD.replace(b"\r\n\r\n", "".join(f"\r\n{field}" for field in fields).encode() + b"\r\n\r\n")


def _chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _zipped(encoding: str, data: bytes) -> bytes:
    return _head(f"Content-Encoding: {encoding}") + data


# Faults that can come at any time of a stream: what comes after it has begun.

MIDSTREAM: dict[str, Fault] = {
    "reset": Fault((Over.RESET,), "upstream_closed", 502),
    "end without an end": Fault((), "truncated", 502),
    "end of one side without an end": Fault((Over.HALF_CLOSED,), "truncated", 502),
    "no JSON": Fault((_event(b"{oops"), Over.OPEN), "upstream_protocol", 502),
    "a number": Fault((_event(b"5"), Over.OPEN), "upstream_protocol", 502),
    "null": Fault((_event(b"null"), Over.OPEN), "upstream_protocol", 502),
    "a list": Fault((_event(b"[]"), Over.OPEN), "upstream_protocol", 502),
    "NaN": Fault((_event(b'{"choices": [], "x": NaN}'), Over.OPEN), "upstream_protocol", 502),
    "Infinity": Fault((_event(b'{"choices": [], "x": -Infinity}'), Over.OPEN), "upstream_protocol", 502),
    "a doubled key": Fault((_event(b'{"choices": [], "choices": []}'), Over.OPEN), "upstream_protocol", 502),
    "depth of 10,000": Fault(
        (_event(b'{"choices": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"), Over.OPEN), "upstream_protocol", 502
    ),
    "integer of 10,000 digits": Fault(
        (_event(b'{"choices": [], "x": ' + b"9" * 10_000 + b"}"), Over.OPEN), "upstream_protocol", 502
    ),
    "choices that are none": Fault((_event(b'{"choices": "4"}'), Over.OPEN), "upstream_protocol", 502),
    "a line without end": Fault(
        (b"data: ", Flood(b"x" * 65536)), "line_too_long", 502, server="max_event = 1_000_000"
    ),
    "an event without end": Fault(
        (Flood((b"data: " + b"x" * 100 + b"\n") * 600),), "line_too_long", 502, server="max_event = 1_000_000"
    ),
    "too many values in an event": Fault(
        (_event(b'{"choices": [], "x": [' + b"[]," * 100_000 + b"0]}"), Over.OPEN), "upstream_protocol", 502
    ),
    "a large event that is no JSON": Fault(
        (_event(b'{"choices": [], "x": "' + b"y" * 100_000 + b'", oops}'), Over.OPEN),
        "upstream_protocol",
        502,
    ),
    "large events beyond what is held of all": Fault(
        (_event(b'{"choices": [], "x": "' + b"y" * 100_000 + b'"}'), Over.OPEN),
        "answer_too_large",
        502,
        "neutral",
        retry="no",
        server="max_held = 90_000",
    ),
    "a choice that was not asked for": Fault(
        (sse_chunk({"content": "4"}, index=1), Over.OPEN), "upstream_protocol", 502, "neutral", retry="next"
    ),
    "a choice of a high number": Fault(
        (sse_chunk({"content": "4"}, index=10**9), Over.OPEN),
        "upstream_protocol",
        502,
        "neutral",
        retry="next",
    ),
    "a thousand choices": Fault(
        (_event(b'{"choices": [' + b"{}," * 1000 + b"{}]}"), Over.OPEN),
        "upstream_protocol",
        502,
        "neutral",
        retry="next",
    ),
    "an error": Fault((_event(_error(message="boom", code=500)), Over.OPEN), "upstream_error", 502),
    "an error without a reason": Fault((_event(b'{"error": true}'), Over.OPEN), "upstream_error", 502),
    "an error event of text": Fault((b"event: error\ndata: boom\n\n", Over.OPEN), "upstream_error", 502),
    "an error event of JSON": Fault(
        (b"event: error\n" + _event(_error(message="boom")), Over.OPEN), "upstream_error", 502
    ),
    "an error line": Fault((b'error: {"message": "boom"}\n\n', Over.OPEN), "upstream_error", 502),
    "an error that is the client's": Fault(
        (_event(_error(message="too long", code="context_length_exceeded")), Over.OPEN),
        "context_length_exceeded",
        400,
        "neutral",
        retry="no",
    ),
    "a rate limit": Fault(
        (_event(_error(message="slow down", code=429)), Over.OPEN),
        "rate_limit_exceeded",
        429,
        "neutral",
        retry="next",
        retry_after="1",
    ),
    "a spent quota": Fault(
        (_event(_error(message="pay", code="insufficient_quota")), Over.OPEN),
        "insufficient_quota",
        429,
        "paused",
        retry="next",
    ),
    "a busy server": Fault(
        (_event(_error(message="busy", type="overloaded_error")), Over.OPEN),
        "upstream_error",
        503,
        retry_after="1",
    ),
}


def _in_each_phase() -> Iterator[tuple[str, Fault]]:
    for name, fault in MIDSTREAM.items():
        assert isinstance(fault.plays, tuple)
        yield f"{name}, before anything", replace(fault, plays=(HEAD, *fault.plays))
        yield (
            f"{name}, in mid-thought",
            replace(fault, plays=(THINKS, *fault.plays), phase="reasoning_summary"),
        )
        yield (
            f"{name}, in the answer",
            replace(fault, plays=(SPEAKS, *fault.plays), phase="final_output", output="The answer"),
        )


FAULTS: dict[str, Fault] = {
    # No connection
    "nobody listens": Fault(Door.NOBODY_LISTENS, "upstream_unreachable", 502),
    "nobody accepts": Fault(Door.NOBODY_ACCEPTS, "upstream_connect_timeout", 504, upstream=HASTY),
    "no such name": Fault(Door.NO_SUCH_NAME, "upstream_unreachable", 502),
    "the name server fails": Fault(Door.NAME_SERVER_FAILS, "upstream_unreachable", 502),
    "the name server is silent": Fault(
        Door.NAME_SERVER_IS_SILENT, "upstream_connect_timeout", 504, upstream=HASTY
    ),
    "plain HTTP where TLS should be": Fault(Door.TLS_IS_NOT_SPOKEN, "upstream_tls", 502),
    "TLS is refused": Fault(Door.TLS_IS_REFUSED, "upstream_tls", 502),
    "TLS is silent": Fault(Door.TLS_IS_SILENT, "upstream_connect_timeout", 504, upstream=HASTY),
    "a certificate nobody vouches for": Fault(Door.UNKNOWN_CERTIFICATE, "upstream_tls", 502),
    "an expired certificate": Fault(Door.EXPIRED_CERTIFICATE, "upstream_tls", 502),
    "another host's certificate": Fault(Door.ANOTHER_HOSTS_CERTIFICATE, "upstream_tls", 502),
    # No answer
    "never answers": Fault((Over.OPEN,), "first_event_timeout", 504, upstream=QUICK),
    "closes at once": Fault((), "upstream_closed", 502),
    "resets at once": Fault((Over.RESET,), "upstream_closed", 502),
    "closes in the head": Fault((b"HTTP/1.1 200 OK\r\nContent-Ty",), "upstream_closed", 502),
    "stops in the head": Fault(
        (b"HTTP/1.1 200 OK\r\nContent-Ty", Over.OPEN), "first_event_timeout", 504, upstream=QUICK
    ),
    "speaks something else": Fault((b"220 mail.example ESMTP\r\n\r\n", Over.OPEN), "upstream_protocol", 502),
    "speaks HTTP/2": Fault((b"\0\0\x12\4\0\0\0\0\0" + b"\0" * 18, Over.OPEN), "upstream_protocol", 502),
    # Silence
    "a head and nothing else": Fault((HEAD, Over.OPEN), "first_event_timeout", 504, upstream=QUICK),
    "comments for ever": Fault(
        (HEAD, Flood(b": still here\n\n", 0.02)),
        "first_event_timeout",
        504,
        "neutral",
        retry="next",
        upstream=QUEUES,
    ),
    "empty events for ever": Fault(
        (HEAD, Flood(b"data:\n\n", 0.02)),
        "first_event_timeout",
        504,
        "neutral",
        retry="next",
        upstream=QUEUES,
    ),
    "a comment and nothing else": Fault(
        (HEAD, b": hi\n\n", Over.OPEN), "first_event_timeout", 504, upstream=QUEUES
    ),
    "a drip that is no event": Fault(
        (HEAD, b"data: ", Flood(b" ", 0.02)), "first_event_timeout", 504, upstream=QUICK
    ),
    "silence in mid-thought": Fault(
        (THINKS, Over.OPEN), "idle_timeout", 504, phase="reasoning_summary", upstream=QUICK
    ),
    "comments for ever in mid-thought": Fault(
        (THINKS, Flood(b": still here\n\n", 0.02)),
        "idle_timeout",
        504,
        "neutral",
        retry="next",
        phase="reasoning_summary",
        upstream=QUEUES,
    ),
    "silence in the answer": Fault(
        (SPEAKS, Over.OPEN), "idle_timeout", 504, phase="final_output", output="The answer", upstream=QUICK
    ),
    "a drip that is no event, in the answer": Fault(
        (SPEAKS, b"data: ", Flood(b" ", 0.02)),
        "idle_timeout",
        504,
        phase="final_output",
        output="The answer",
        upstream=QUICK,
    ),
    "thinks beyond the request's deadline": Fault(
        (THINKS, Flood(sse_chunk({"content": "More thoughts about it. "}), 0.02)),
        "deadline",
        504,
        retry="no",
        phase="reasoning_summary",
        server="request_timeout = 0.3",
    ),
    # The head of the answer
    "redirects": Fault(
        _status("307 There", b"{}", "Location: http://127.0.0.1:1/"), "upstream_error", 502, retry="next"
    ),
    "redirects for good": Fault(
        _status("301 There", b"{}", "Location: http://127.0.0.1:1/"), "upstream_error", 502, retry="next"
    ),
    "switches protocols": Fault(
        (b"HTTP/1.1 101 Well\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", Over.OPEN),
        "upstream_protocol",
        502,
    ),
    "a web page": Fault(_status("200 OK", b"<p>secret</p>", kind="text/html"), "bad_content_type", 502),
    "no body": Fault(_status("200 OK", b""), "empty", 502),
    "no content": Fault((b"HTTP/1.1 204 No Content\r\n\r\n", Over.OPEN), "empty", 502),
    "an encoding that was not asked for": Fault(
        (_zipped("br", b"xx"), Over.OPEN), "bad_content_encoding", 502
    ),
    "gzip that is none": Fault((_zipped("gzip", b"no gzip"), Over.OPEN), "bad_content_encoding", 502),
    "gzip that explodes": Fault(
        (_zipped("gzip", gzip.compress(PADDING * 30_000)), Over.OPEN), "bad_content_encoding", 502
    ),
    "gzip twice": Fault(
        (_zipped("gzip, gzip", gzip.compress(gzip.compress(b": \n"))), Over.OPEN), "bad_content_encoding", 502
    ),
    "gzip and, in another field, gzip": Fault(
        (_head("Content-Encoding: gzip", "Content-Encoding: gzip") + gzip.compress(b": \n"), Over.OPEN),
        "bad_content_encoding",
        502,
    ),
    "deflate that explodes": Fault(
        (_zipped("deflate", zlib.compress(PADDING * 30_000)), Over.OPEN), "bad_content_encoding", 502
    ),
    "a length twice": Fault(
        (_head("Content-Length: 5", "Content-Length: 5"), Over.OPEN), "upstream_protocol", 502
    ),
    "a list of lengths": Fault((_head("Content-Length: 5, 5"), Over.OPEN), "upstream_protocol", 502),
    "a length that is no number": Fault((_head("Content-Length: +5"), Over.OPEN), "upstream_protocol", 502),
    "chunks twice": Fault(
        (_head("Transfer-Encoding: chunked, chunked"), Over.OPEN), "upstream_protocol", 502
    ),
    "a folded field": Fault((_head("X: a", " b"), ANSWER, Over.OPEN), "upstream_protocol", 502),
    "a head of bare line feeds": Fault(
        (HEAD.replace(b"\r\n", b"\n"), ANSWER, Over.OPEN), "upstream_protocol", 502
    ),
    "a carriage return in a field": Fault((_head("X: a\rb"), Over.OPEN), "upstream_protocol", 502),
    "statuses before the status without end": Fault(
        (Flood(b"HTTP/1.1 103 On\r\nLink: <x>\r\n\r\n" * 500),), "upstream_protocol", 502
    ),
    "seventeen statuses before the status": Fault(
        (b"HTTP/1.1 100 On\r\n\r\n" * 17, HEAD, ANSWER, Over.OPEN), "upstream_protocol", 502
    ),
    "two lengths": Fault(
        (_head("Content-Length: 5", "Content-Length: 6"), Over.OPEN), "upstream_protocol", 502
    ),
    "both ways of framing": Fault(
        (_head("Content-Length: 500", "Transfer-Encoding: chunked") + _chunks(FOUR, STOP, DONE), Over.OPEN),
        "upstream_protocol",
        502,
    ),
    "a field without a colon": Fault((_head("X: a", "b"), Over.OPEN), "upstream_protocol", 502),
    "a head of 70 KB": Fault((_head("X: " + "a" * 70_000), Over.OPEN), "upstream_protocol", 502),
    "a head without end": Fault((HEAD[:-2] + b"X: ", Flood(b"a" * 65536)), "upstream_protocol", 502),
    "10,000 fields": Fault((_head(*["X: a"] * 10_000), Over.OPEN), "upstream_protocol", 502),
    # Statuses
    "400": Fault(_status("400 Bad", _error(message="no", code="bad")), "bad", 400, "neutral", retry="no"),
    "400 without a code": Fault(_status("400 Bad", b"no"), None, 400, "neutral", retry="no"),
    "401": Fault(_status("401 Who"), "upstream_auth", 502, "paused", retry="next"),
    "403": Fault(_status("403 No"), "upstream_auth", 502, "neutral", retry="next"),
    "401 of the client's own key": Fault(
        _status("401 Who", _error(message="no", code="invalid_api_key")),
        "invalid_api_key",
        401,
        "neutral",
        retry="no",
        upstream="pass_through_key = true",
    ),
    "402": Fault(_status("402 Pay"), "insufficient_quota", 429, "neutral", retry="next"),
    "404": Fault(
        _status("404 No such model", _error(message="x")), "model_not_found", 404, "neutral", retry="next"
    ),
    "404 with a page": Fault(_status("404 No", b"<html>"), "upstream_error", 502, "neutral", retry="next"),
    "404 without an error": Fault(_status("404 No"), "upstream_error", 502, "neutral", retry="next"),
    "405 with a page": Fault(_status("405 No", b"<html>"), "upstream_error", 502, "neutral", retry="next"),
    "400 of a port for HTTPS": Fault(
        _status("400 Bad Request", b"Client sent an HTTP request to an HTTPS server."), "upstream_tls", 502
    ),
    "408": Fault(_status("408 Slow"), "upstream_error", 504),
    "409": Fault(
        _status("409 Clash", _error(message="x", code="clash")), "clash", 409, "neutral", retry="no"
    ),
    "413": Fault(_status("413 Big", _error(message="x", code="big")), "big", 413, "neutral", retry="no"),
    "414": Fault(_status("414 Long", _error(message="x", code="long")), "long", 413, "neutral", retry="no"),
    "422": Fault(_status("422 Eh", _error(message="x", code="eh")), "eh", 422, "neutral", retry="no"),
    "425": Fault(_status("425 Early"), "upstream_error", 504),
    "431": Fault(_status("431 Long", _error(message="x", code="long")), "long", 413, "neutral", retry="no"),
    "418": Fault(_status("418 Tea", _error(message="x", code="tea")), "tea", 418, "neutral", retry="no"),
    "429": Fault(
        _status("429 Slow", b"{}", "Retry-After: 7"),
        "rate_limit_exceeded",
        429,
        "paused",
        retry="next",
        retry_after="7",
    ),
    "429 in milliseconds": Fault(
        _status("429 Slow", b"{}", "retry-after-ms: 1200", "Retry-After: 7"),
        "rate_limit_exceeded",
        429,
        "paused",
        retry="next",
        retry_after="2",
    ),
    "429 for a year": Fault(
        _status("429 Slow", b"{}", "Retry-After: Sat, 01 Jan 2150 00:00:00 GMT"),
        "rate_limit_exceeded",
        429,
        "paused",
        retry="next",
        retry_after="604800",
    ),
    "429 for a request that is too large": Fault(
        _status("429 Slow", _error(message="Request too large: Limit 9, Requested 10"), "Retry-After: 7"),
        "rate_limit_exceeded",
        429,
        "neutral",
        retry="next",
    ),
    "429 for ever": Fault(
        _status("429 Pay", _error(message="pay", code="insufficient_quota")),
        "insufficient_quota",
        429,
        "paused",
        retry="next",
    ),
    "500": Fault(_status("500 Oops"), "upstream_error", 502),
    "502 with a web page": Fault(
        _status("502 Oops", b"<html>secret</html>", kind="text/html"), "upstream_error", 502
    ),
    "503": Fault(_status("503 Busy", b"{}", "retry-after-ms: 50"), "upstream_error", 503, retry_after="1"),
    "503 for a while": Fault(
        _status("503 Busy", b"{}", "Retry-After: 30"), "upstream_error", 503, retry="next", retry_after="30"
    ),
    "504": Fault(_status("504 Late"), "upstream_error", 502),
    "507": Fault(_status("507 Full"), "upstream_error", 502),
    "529": Fault(_status("529 Busy", b"{}", "retry-after-ms: 50"), "upstream_error", 503, retry_after="1"),
    # An answer that is none
    "an error in place of an answer": Fault(_status("200 OK", _error(message="boom")), "upstream_error", 502),
    "the client's error in place of an answer": Fault(
        _status("200 OK", _error(message="no", code="bad", status=400)), "bad", 400, "neutral", retry="no"
    ),
    "no JSON in place of an answer": Fault(_status("200 OK", b"{oops"), "upstream_protocol", 502),
    "the end after a role alone": Fault(
        (HEAD + sse_chunk({"role": "assistant", "content": ""}) + DONE, Over.OPEN),
        "upstream_empty",
        502,
        begun=True,
    ),
    "the end before anything": Fault((HEAD + DONE, Over.OPEN), "upstream_empty", 502),
    # The framing of the body
    "a chunk size that is no number": Fault((CHUNKED + b"zz\r\n", Over.OPEN), "upstream_protocol", 502),
    "a chunk extension without end": Fault((CHUNKED + b"5;", Flood(b"x" * 65536)), "upstream_protocol", 502),
    "a chunk without its end": Fault((CHUNKED + b"1\r\nZxx", Over.OPEN), "upstream_protocol", 502),
    "trailers without end": Fault(
        (CHUNKED + b"0\r\n", Flood(b"X-A: b\r\n" * 1000)), "upstream_protocol", 502
    ),
    "a trailer without end": Fault((CHUNKED + b"0\r\nX: ", Flood(b"a" * 65536)), "upstream_protocol", 502),
    "chunks without the last": Fault(
        (CHUNKED + _chunks(THINKS.removeprefix(HEAD)),), "truncated", 502, phase="reasoning_summary"
    ),
    "a chunk that is cut": Fault(
        (CHUNKED + b"fff\r\n" + FOUR,), "truncated", 502, phase="final_output", output="4"
    ),
    "less than its length": Fault(
        (_head("Content-Length: 9999") + FOUR,), "truncated", 502, phase="final_output", output="4"
    ),
    **dict(_in_each_phase()),
}


def _told(text: str, **more: object) -> bytes:
    """An answer with that text, not escaped."""
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, **more}]}
    return _event(json.dumps(chunk, ensure_ascii=False).encode())


def _whole(*events: bytes) -> Script:
    return (HEAD, *events, STOP, DONE)


NASTY = "\x00\x1b[31m\r\n\r\nevent: error\ndata: [DONE]\n\n<script>alert(1)</script>\x7f\x9b"
EURO = _told("€" * 20)

ODDITIES: dict[str, Oddity] = {
    # Bytes
    "letter by letter": Oddity((HEAD, *(ANSWER[i : i + 1] for i in range(len(ANSWER))))),
    "lines that end in CRLF": Oddity((HEAD, ANSWER.replace(b"\n", b"\r\n"))),
    "lines that end in CR": Oddity((HEAD, ANSWER.replace(b"\n", b"\r"))),
    "lines that end in this and that": Oddity(
        (HEAD, FOUR.replace(b"\n", b"\r"), 0.01, b"\n", STOP.replace(b"\n", b"\r\n"), DONE)
    ),
    "a byte-order mark": Oddity((HEAD, b"\xef\xbb", 0.01, b"\xbf", ANSWER)),
    "a byte-order mark in the text": Oddity(_whole(_told("\ufeff4")), "\ufeff4"),
    "no space after the colon": Oddity((HEAD, ANSWER.replace(b"data: ", b"data:"))),
    "two spaces after the colon": Oddity((HEAD, ANSWER.replace(b"data: ", b"data:  "))),
    "a tab after the colon": Oddity((HEAD, ANSWER.replace(b"data: {", b"data:\t{"))),
    "an event of several lines": Oddity(_whole(FOUR.replace(b", ", b",\ndata: "))),
    "comments and fields nobody knows": Oddity(
        _whole(b": hello\n\nid: 7\0\nretry: soon\nnonsense\nfoo: bar\n\ndata\n\ndata:\n\n" + FOUR)
    ),
    "events of another kind": Oddity(_whole(b"event: ping\ndata: oops\n\n" + FOUR)),
    "a flood of comments": Oddity((HEAD, *[b":\n\n" * 20_000] * 15, ANSWER)),
    "a flood of empty events": Oddity((HEAD, *[b"data:\n\n" * 10_000] * 10, ANSWER)),
    "ill-formed UTF-8": Oddity(
        _whole(FOUR.replace(b"4", b"\xff4")), "\ufffd4", counted="gateway_invalid_utf8_total"
    ),
    "a character cut in two": Oddity((HEAD, EURO[:-40], 0.01, EURO[-40:], STOP, DONE), "€" * 20),
    "other lines' ends in the text": Oddity(_whole(_told("\u2028\u2029\x854")), "\u2028\u2029\x854"),
    "text that would be a stream": Oddity(_whole(_told(NASTY)), NASTY),
    "a lone surrogate": Oddity(_whole(FOUR.replace(b'"4"', b'"\\ud83d4"')), "\ufffd4"),
    # HTTP
    "a valid certificate": Oddity(Door.VALID_CERTIFICATE),
    "gzip that was not asked for": Oddity((_zipped("gzip", gzip.compress(ANSWER)),)),
    "deflate that was not asked for": Oddity((_zipped("deflate", zlib.compress(ANSWER)),)),
    "no content type": Oddity((b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", ANSWER)),
    "HTTP/1.0": Oddity((HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"), ANSWER)),
    "statuses before the status": Oddity(
        (b"HTTP/1.1 100 On\r\n\r\nHTTP/1.1 102 On\r\n\r\nHTTP/1.1 103 On\r\nLink: <x>\r\n\r\n", HEAD, ANSWER)
    ),
    "sixteen statuses before the status": Oddity((b"HTTP/1.1 100 On\r\n\r\n" * 16, HEAD, ANSWER)),
    "a body with a length, and more behind it": Oddity(
        (_head(f"Content-Length: {len(ANSWER)}"), ANSWER, b"junk")
    ),
    "chunks of one byte": Oddity((CHUNKED, _chunks(*(ANSWER[i : i + 1] for i in range(len(ANSWER))), b""))),
    "chunks with extensions": Oddity((CHUNKED, b"%x;a=b;c\r\n%b\r\n0;z\r\n\r\n" % (len(ANSWER), ANSWER))),
    "trailers": Oddity((CHUNKED, _chunks(ANSWER), b"0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n")),
    "one object in place of a stream": Oddity(_status("200 OK", WHOLE)),
    # The end
    "no [DONE]": Oddity((HEAD, FOUR, STOP), counted='gateway_missing_done_total{upstream="a"} 1.0'),
    "no [DONE], chunks without the last": Oddity(
        (CHUNKED, _chunks(FOUR, STOP)), counted='gateway_missing_done_total{upstream="a"} 1.0'
    ),
    "no [DONE], less than its length": Oddity(
        (_head("Content-Length: 9999"), FOUR, STOP), counted='gateway_missing_done_total{upstream="a"} 1.0'
    ),
    "no [DONE], a reset": Oddity(
        (HEAD, FOUR, STOP, Over.RESET), counted='gateway_missing_done_total{upstream="a"} 1.0'
    ),
    "a last event without its blank line": Oddity((HEAD, FOUR, STOP.removesuffix(b"\n"))),
    "a last event without its line's end": Oddity((HEAD, FOUR, STOP.removesuffix(b"\n\n"))),
    "a [DONE] without its line's end": Oddity((HEAD, FOUR, STOP, DONE.removesuffix(b"\n\n"))),
    "[DONE] twice": Oddity((HEAD, ANSWER, DONE)),
    "[DONE] with a space": Oddity((HEAD, FOUR, STOP, _event(b"[DONE] "))),
    "more after [DONE]": Oddity((HEAD, ANSWER, FOUR, b"junk" * 100, Over.OPEN)),
    "more after the finish reason": Oddity((HEAD, FOUR, STOP, FOUR, STOP, DONE), "44"),
    "[DONE] and no end": Oddity((HEAD, ANSWER, Over.OPEN)),
    "[DONE] and no finish reason": Oddity((HEAD, FOUR, DONE), finish=None),
    "[DONE] behind the beginning of a thought": Oddity(
        (HEAD, sse_chunk({"content": "Let me"}), DONE), "Let me", finish=None
    ),
    **{
        f"finish reason {reason}": Oddity((HEAD, FOUR, sse_chunk(finish=reason), DONE), finish=reason)
        for reason in ("length", "content_filter", "tool_calls", "function_call", "of_its_own")
    },
    # Chunks
    "roles, nulls and nothing": Oddity(
        _whole(
            sse_chunk({"role": "assistant"}),
            sse_chunk({"role": "assistant", "content": None}),
            sse_chunk({"content": "", "reasoning_content": None, "tool_calls": []}),
            _event(b'{"choices": [{"index": 0}]}'),
            _event(b"{}"),
            FOUR,
        )
    ),
    "token counts": Oddity((HEAD, FOUR, STOP, _event(b'{"choices": [], "usage": {"x": 1}}'), DONE)),
    "NaN in log probabilities": Oddity(
        _whole(_event(b'{"choices": [{"index": 0, "delta": {"content": "4"}, "logprobs": {"x": NaN}}]}'))
    ),
    "an event of many values": Oddity(
        _whole(FOUR, _event(b'{"choices": [], "x": [' + b"[]," * 90_000 + b"0]}"))
    ),
    "an event with a long text": Oddity(_whole(_told("4" * 200_000)), "4" * 200_000),
    "a long text of ill-formed UTF-8": Oddity(
        _whole(_event(b'{"choices": [{"delta": {"content": "' + b"\xff" * 20_000 + b'"}}]}')),
        "\ufffd" * 20_000,
        counted="gateway_invalid_utf8_total",
    ),
    "a refusal": Oddity(
        _whole(sse_chunk({"refusal": "I will not."})), "", holds='"delta": {"refusal": "I will not."}'
    ),
    "a name that changes": Oddity(
        (
            HEAD,
            sse_chunk({"content": "4"}, id="a", model="b", created=1),
            sse_chunk(finish="stop", id="c"),
            DONE,
        )
    ),
    "a marker in pieces": Oddity(
        _whole(*(sse_chunk({"content": piece}) for piece in ("<th", "ink>Hm.", "</thi", "nk>", "4")))
    ),
    "reasoning after the answer": Oddity(
        _whole(FOUR, sse_chunk({"reasoning_content": "Hm."}), sse_chunk({"content": "2"})),
        "42",
        counted="gateway_late_reasoning_total 1.0",
    ),
    # Time
    "a queue": Oddity(
        (HEAD, *QUEUED, ANSWER),
        upstream="first_event_timeout = 1.0\nqueue_timeout = 9.0\n",
    ),
    "a queue in mid-thought": Oddity(
        (THINKS, *QUEUED, sse_chunk({"content": "</think>4"}), STOP, DONE),
        upstream="idle_timeout = 1.0\nqueue_timeout = 9.0\n",
    ),
    "a pause for thought": Oddity(
        (THINKS, 0.3, sse_chunk({"content": "</think>4"}), STOP, DONE),
        upstream="idle_timeout = 2.0",
        server="heartbeat = 0.05",
        holds="\n: ",
    ),
}
