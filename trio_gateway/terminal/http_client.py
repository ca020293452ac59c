"""HTTP client: shares limits, headers, failures and Ctrl-C among exchanges.

It knows httpx, whose exceptions report both transports' failures; not what is asked, nor what is shown.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import httpx
import trio

from ..core.sse import LineTooLongError
from .received import AnswerFormError, Frame, decode

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from .received import Answer

__all__ = [
    "CHAT",
    "CONNECT_TIMEOUT",
    "STREAM_TIMEOUT",
    "failures_noted",
    "headers",
    "interruptible",
    "open_client",
    "refusal",
]

# Seconds. While it streams, the gateway sends a heartbeat at least every 15 s, so a minute's silence is a
# dead line.
CONNECT_TIMEOUT, STREAM_TIMEOUT = 10.0, 60.0
CHAT = "/v1/chat/completions"


@contextlib.contextmanager
def interruptible(answer: Answer) -> Iterator[trio.CancelScope]:
    """Ctrl-C ends this context, and is kept in ``answer.error``."""
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:
        before = signal.signal(signal.SIGINT, lambda *_: token.run_sync_soon(scope.cancel))
        try:
            yield scope
        finally:
            signal.signal(signal.SIGINT, before)
    if scope.cancelled_caught:
        answer.fail("interrupted", "stopped by Ctrl-C")


@contextlib.contextmanager
def failures_noted(answer: Answer, url: str) -> Iterator[None]:
    """A failing exchange ends this context, and is kept in ``answer.error``."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        where = httpx.URL(url).netloc.decode()  # not the whole URL: it may hold a password
        answer.fail("unreachable", f"cannot reach {where}; is the gateway running? ./run serve starts it")
    except (httpx.TimeoutException, trio.TooSlowError):  # the latter: a WebSocket's ping that has no answer
        answer.fail("timeout", "the gateway has gone silent")
    except httpx.RequestError as exc:  # sending, reading
        answer.fail("connection_lost", f"the connection broke: {exc}")
    except (AnswerFormError, LineTooLongError) as exc:  # making sense of what was read
        answer.fail("protocol", str(exc))


def headers(options: Namespace) -> dict[str, str]:
    key = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    return {"X-Stream-Format": "phases", **key}


def open_client(options: Namespace, *, silence: float) -> httpx.AsyncClient:
    """A client for the gateway that gives up after *silence* seconds without a byte."""
    plain = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    timeout = httpx.Timeout(silence, connect=CONNECT_TIMEOUT)
    return httpx.AsyncClient(base_url=options.url, headers=plain | headers(options), timeout=timeout)


def refusal(response: httpx.Response, body: bytes) -> dict[str, Any]:
    """The error of an answer with an HTTP status, whether or not it has an OpenAI error object."""
    error: dict[str, Any] = {"message": f"the server answered: {response.reason_phrase}"}
    with contextlib.suppress(AnswerFormError):  # a page of some other server
        error |= decode(body, Frame).error or {}
    error.setdefault("status", response.status_code)
    error.setdefault("retry_after", response.headers.get("retry-after"))
    return error
