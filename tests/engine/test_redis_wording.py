"""What the log says of a Redis server that does not serve, by what went wrong."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from coredis import exceptions as coredis

from trio_gateway.engine.redis_wording import RedisPlace

PLAIN, TLS = "redis://u:p@redis.example", "rediss://redis.example:6380/1"


def unconnected(*causes: BaseException) -> BaseException:
    """As coredis raises it: each cause raised from the next."""
    error: BaseException = coredis.ConnectionError("Unable to establish a connection to x")
    first = error
    for cause in causes:
        error.__cause__ = cause
        error = cause
    return first


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("url", "error", "reason"),
    [
        (
            PLAIN,
            unconnected(TimeoutError()),
            "no connection to redis.example:6379 in 1.5 s: check host and port in REDIS_URL, and whether a"
            " firewall stands between",
        ),
        (
            TLS,
            unconnected(TimeoutError()),
            "no TLS connection to redis.example:6380 in 1.5 s: check host and port in REDIS_URL, and whether a"
            " firewall stands between; if the server speaks no TLS, REDIS_URL must begin with redis://",
        ),
        (
            TLS,
            unconnected(OSError(), ssl.SSLError(1, "WRONG_VERSION_NUMBER")),
            "no TLS connection to redis.example:6380: WRONG_VERSION_NUMBER; if the server speaks no TLS,"
            " REDIS_URL must begin with redis://",
        ),
        (
            TLS,
            unconnected(untrusted()),
            "the certificate of redis.example:6380 is not trusted: self-signed certificate; if its CA is your own,"
            " name it in REDIS_URL: ?ssl_ca_certs=FILE",
        ),
        (
            PLAIN,
            unconnected(socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
            "redis.example:6379 is no known host: Name or service not known; check REDIS_URL",
        ),
        (
            "redis://[::1]",
            unconnected(OSError("All attempts failed"), ConnectionRefusedError(errno.ECONNREFUSED, "x")),
            "no connection to [::1]:6379: Connection refused; is the server started, and REDIS_URL its address?",
        ),
        (
            "unix:///run/redis.sock",
            unconnected(OSError()),
            "no connection to /run/redis.sock: OSError; is the server started, and REDIS_URL its address?",
        ),
        (
            PLAIN,
            coredis.InvalidResponse("Protocol Error: Unknown RESP data type: 'H'"),
            "redis.example:6379 does not answer as a Redis server does, but like an HTTP server: check host and"
            " port in REDIS_URL",
        ),
        (
            PLAIN,
            coredis.InvalidResponse("type: 'S'"),
            "redis.example:6379 does not answer as a Redis server does, but with something else (type: 'S'): check"
            " host and port in REDIS_URL",
        ),
        (
            PLAIN,
            coredis.ConnectionError("Connection lost while receiving response"),
            "redis.example:6379 closed the connection unanswered: check that it is a Redis server; if it is and"
            " speaks TLS alone, REDIS_URL must begin with rediss://",
        ),
        (
            TLS,
            coredis.ConnectionError("Connection lost while receiving response"),
            "redis.example:6380 closed the connection unanswered: check that it is a Redis server",
        ),
        (
            PLAIN,
            coredis.UnknownCommandError("HELLO"),
            "redis.example:6379 is no Redis 6.2 or later, nor Valkey: ",
        ),
        (
            PLAIN,
            coredis.AuthorizationError("no permissions to run 'script|load'"),
            "redis.example:6379 does not allow the user in REDIS_URL what an exchange needs: no permissions to run"
            " 'script|load'",
        ),
        (PLAIN, OSError("odd"), "redis.example:6379: odd"),
        (PLAIN, OSError(), "redis.example:6379: OSError"),
    ],
)
def test_reason_before_the_first_exchange(url: str, error: BaseException, reason: str) -> None:
    said = RedisPlace(url).reason(error, seconds=1.5, greeted=False)
    assert said.startswith(reason) if reason.endswith(": ") else said == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (coredis.ConnectionError("Connection lost"), "redis.example:6379 closed the connection"),
        (coredis.ResponseError("OOM"), "redis.example:6379 answered an exchange with an error: OOM"),
    ],
)
def test_reason_after_it(error: BaseException, reason: str) -> None:
    assert RedisPlace(PLAIN).reason(error, seconds=1.5, greeted=True) == reason
