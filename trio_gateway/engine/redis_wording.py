"""Wording of a Redis server's failures: what was expected, what came, and what to do."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from coredis.exceptions import (
    AuthenticationFailureError,
    AuthenticationRequiredError,
    AuthorizationError,
    ConnectionError,  # noqa: A004  (coredis has its own)
    InvalidResponse,
    ResponseError,
    UnknownCommandError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RedisPlace"]

_PORT: Final = 6379
_CHECK: Final = "check host and port in REDIS_URL, and whether a firewall stands between"
_NO_TLS: Final = "if the server speaks no TLS, REDIS_URL must begin with redis://"


class RedisPlace:
    """Where the server is, as messages name it: never with what else *url* holds."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "rediss"
        host = parts.hostname or "localhost"
        named = f"[{host}]" if ":" in host else host
        self._name = parts.path if parts.scheme == "unix" else f"{named}:{parts.port or _PORT}"

    def reason(self, error: BaseException, *, seconds: float, greeted: bool) -> str:
        """One sentence about *error*, for the log; it may hold words of the server.

        *seconds*: how long the connection might take. *greeted*: an exchange had begun.
        """
        match error:
            case AuthenticationRequiredError():
                forms = "redis://:PASSWORD@HOST, or redis://USER:PASSWORD@HOST"
                return f"{self._name} asks for a password, and REDIS_URL has none: write {forms}"
            case AuthenticationFailureError():
                return f"{self._name} does not accept the user and the password in REDIS_URL: {error}"
            case AuthorizationError():
                return f"{self._name} does not allow the user in REDIS_URL what an exchange needs: {error}"
            case UnknownCommandError():
                return f"{self._name} is no Redis 6.2 or later, nor Valkey: {error}"
            case ResponseError() if not greeted:
                return f"{self._name} did not accept the connection: {error}; check REDIS_URL"
            case ResponseError():
                return f"{self._name} answered an exchange with an error: {error}"
            case InvalidResponse():
                # The first byte of what came is in the message; that of a status line is H.
                what = (
                    "like an HTTP server" if str(error).endswith("'H'") else f"with something else ({error})"
                )
                return (
                    f"{self._name} does not answer as a Redis server does, but {what}: check host and port in"
                    " REDIS_URL"
                )
            case ConnectionError() if error.__cause__ is not None and "Unable" in str(error):
                return self._unconnected(error, seconds)
            case ConnectionError() if greeted:
                return f"{self._name} closed the connection"
            case ConnectionError():
                hint = (
                    ""
                    if self._tls
                    else "; if it is and speaks TLS alone, REDIS_URL must begin with rediss://"
                )
                return f"{self._name} closed the connection unanswered: check that it is a Redis server{hint}"
            case _:
                return f"{self._name}: {str(error) or type(error).__name__}"

    def _unconnected(self, error: BaseException, seconds: float) -> str:
        causes = [*_causes(error)]
        for cause in causes:
            match cause:
                case socket.gaierror():
                    return f"{self._name} is no known host: {cause.strerror}; check REDIS_URL"
                case ssl.SSLCertVerificationError():
                    what = f"the certificate of {self._name} is not trusted: {cause.verify_message}"
                    return f"{what}; if its CA is your own, name it in REDIS_URL: ?ssl_ca_certs=FILE"
                case ssl.SSLError():
                    return f"no TLS connection to {self._name}: {cause.strerror}; {_NO_TLS}"
                case TimeoutError() if self._tls:
                    return f"no TLS connection to {self._name} in {seconds:.12g} s: {_CHECK}; {_NO_TLS}"
                case TimeoutError():
                    return f"no connection to {self._name} in {seconds:.12g} s: {_CHECK}"
                case _:
                    pass
        number = getattr(causes[-1], "errno", None)
        why = os.strerror(number) if number else str(causes[-1]) or type(causes[-1]).__name__
        return f"no connection to {self._name}: {why}; is the server started, and REDIS_URL its address?"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What *error* was raised from, the nearest first."""
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__
