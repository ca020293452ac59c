"""What a server must survive: openings of a connection, and the status each is answered with.

The parts of an opening are sent one after the other.
"""

from __future__ import annotations

import random

__all__ = ["OPENINGS"]


def _get(*fields: bytes, target: bytes = b"/ok") -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: localhost", *fields, b"", b""])


def _post(*fields: bytes, body: bytes) -> bytes:
    return b"\r\n".join([b"POST /echo HTTP/1.1", b"Host: localhost", *fields, b"", b""]) + body


def _upgrade(
    *fields: bytes, target: bytes = b"/ws", key: bytes = b"dGhlIHNhbXBsZSBub25jZQ==", version: bytes = b"13"
) -> bytes:
    return _get(
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: " + key,
        b"Sec-WebSocket-Version: " + version,
        *fields,
        target=target,
    )


_CHUNKED = b"Transfer-Encoding: chunked"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"

OPENINGS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    # WebSocket: what killed the whole process
    "upgrade and bytes at once": (400, (_upgrade() + b"garbage" * 5,)),
    "upgrade and bytes at once, no such path": (400, (_upgrade(target=b"/no") + b"garbage" * 5,)),
    "upgrade and a frame at once": (400, (_upgrade() + b"\x81\x85\0\0\0\0hello",)),
    "upgrade with a body": (400, (_upgrade(b"Content-Length: 5") + b"hello",)),
    "upgrade with a body to come": (400, (_upgrade(b"Content-Length: 5"), b"hello")),
    "upgrade with a body, no such path": (400, (_upgrade(b"Content-Length: 5", target=b"/no") + b"hello",)),
    "upgrade with a chunked body": (400, (_upgrade(_CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n",)),
    "bytes before the upgrade is answered": (400, (_upgrade(target=b"/ws-silent"), b"\x81\x80\0\0\0\0")),
    "upgrade, no such path": (404, (_upgrade(target=b"/no"),)),
    "upgrade, no such path, then bytes": (404, (_upgrade(target=b"/no"), b"garbage")),
    "upgrade, then garbage": (101, (_upgrade(), b"garbage" * 20)),
    "upgrade, then an unmasked frame": (101, (_upgrade(), b"\x81\x05hello")),
    "upgrade, then reserved bits": (101, (_upgrade(), b"\xf1\x80\0\0\0\0")),
    "upgrade, wrong version": (400, (_upgrade(version=b"12"),)),
    "upgrade, junk key": (400, (_upgrade(key=b"x"),)),
    "upgrade, two keys": (400, (_upgrade(b"Sec-WebSocket-Key: y"),)),
    "upgrade by HTTP/1.0": (400, (_upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"),)),
    # other protocols
    "h2c": (200, (_get(b"Connection: close, Upgrade, HTTP2-Settings", b"Upgrade: h2c", _SETTINGS),)),
    "h2c, broken settings": (200, (_get(b"Connection: close", b"Upgrade: h2c", b"HTTP2-Settings: !"),)),
    "HTTP/2 preface": (505, (_PREFACE,)),
    "HTTP/2 preface and frames": (505, (_PREFACE + b"\0\0\0\4\0\0\0\0\0" * 20,)),
    "HTTP/2 preface and junk": (505, (_PREFACE, b"junk" * 100)),
    "a version to come": (505, (b"GET /ok HTTP/3.0\r\nHost: localhost\r\n\r\n",)),
    "TLS ClientHello": (
        400,
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + random.Random(1).randbytes(154),),
    ),
    "HTTP/0.9": (400, (b"GET /ok\r\n\r\n",)),
    "another protocol": (400, (b"EHLO example.org\r\n\r\n",)),
    # bytes that are no request
    "NUL bytes": (400, (b"\0" * 100,)),
    "NUL in a field": (400, (_get(b"X: a\0b"),)),
    "CR in a field": (400, (_get(b"X: a\rb"),)),
    "folded field": (400, (_get(b"X: a\r\n b"),)),
    "folded by a tab": (400, (_get(b"X: a\r\n\tTransfer-Encoding: chunked"),)),
    "bare LF": (400, (b"GET /ok HTTP/1.1\nHost: localhost\n\n",)),
    "bare LF in one field": (400, (_get(b"X: a\nY: b"),)),
    "bare LF in the trailers": (400, (_post(_CHUNKED, body=b"1\r\nZ\r\n0\r\nX: a\nY: b\r\n\r\n"),)),
    "bare LF ends the trailers": (400, (_post(_CHUNKED, body=b"1\r\nZ\r\n0\r\n\n"),)),
    "space before the colon": (400, (_get(b"X : a"),)),
    "blank lines first": (400, (b"\r\n\r\n" + _get(),)),
    "no Host": (400, (b"GET /ok HTTP/1.1\r\n\r\n",)),
    "two Hosts": (400, (_get(b"Host: other"),)),
    "a query alone as target": (400, (b"GET ?x HTTP/1.1\r\nHost: localhost\r\n\r\n",)),
    "a fragment as target": (400, (b"GET # HTTP/1.1\r\nHost: localhost\r\n\r\n",)),
    "a URL that is none": (400, (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",)),
    "a URL that is none once unquoted": (400, (b"GET http://%5B/ok HTTP/1.1\r\nHost: localhost\r\n\r\n",)),
    # sizes
    "a field of 20 KB": (431, (_get(b"X: " + b"a" * 20_000),)),
    "a field of 60 KB": (431, (_get(b"X: " + b"a" * 60_000),)),
    "a field of 60 KB by HEAD": (431, (_get(b"X: " + b"a" * 60_000).replace(b"GET", b"HEAD"),)),
    "a field that does not end": (431, (_get()[:-2] + b"X: " + b"a" * 200_000,)),
    "10,000 fields": (431, (_get(*[b"X: a"] * 10_000),)),
    "a path of 20 KB": (431, (_get(target=b"/" + b"a" * 20_000),)),
    # framing
    "both ways of framing": (400, (_post(b"Content-Length: 4", _CHUNKED, body=b"0\r\n\r\nGET /ok"),)),
    "two lengths": (400, (_post(b"Content-Length: 4", b"Content-Length: 5", body=b"abcde"),)),
    "negative length": (400, (_post(b"Content-Length: -1", body=b"abc"),)),
    "signed length": (400, (_post(b"Content-Length: +3", body=b"abc"),)),
    "unknown coding": (400, (_post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),)),
    "two codings": (400, (_post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),)),
    "chunks in HTTP/1.0": (400, (_post(_CHUNKED, body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),)),
    "chunk size that is no number": (400, (_post(_CHUNKED, body=b"zz\r\nZ\r\n0\r\n\r\n"),)),
    "chunk without its end": (400, (_post(_CHUNKED, body=b"1\r\nZxx0\r\n\r\n"),)),
    "chunk size of 21 digits": (400, (_post(_CHUNKED, body=b"f" * 21 + b"\r\nZ"),)),
    "length over the limit": (413, (_post(b"Content-Length: 3000000", body=b"a" * 3_000_000),)),
    "chunks over the limit": (413, (_post(_CHUNKED, body=(b"10000\r\n" + b"a" * 65536 + b"\r\n") * 40),)),
    "bytes after the last request": (400, (_get(b"Connection: close") + _get(),)),
}
