"""One answer over WebSocket: to connect, to follow, to cancel, to part.

It knows ``trio_websocket``, imported when first used: all else of the client does without that library.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import httpx
import trio

from ..core.sse import DONE
from .http_client import (
    CHAT,
    CONNECT_TIMEOUT,
    STREAM_TIMEOUT,
    failures_noted,
    headers,
    interruptible,
    refusal,
)
from .received import unpack

if TYPE_CHECKING:
    from argparse import Namespace

    from trio_websocket import WebSocketConnection

    from .received import Answer
    from .screen import Screen

__all__ = ["exchange_frames"]

# How long a WebSocket may take to confirm that an answer was cancelled, or to part.
PARTING_TIMEOUT = 2.0


async def exchange_frames(options: Namespace, body: bytes, screen: Screen, answer: Answer) -> None:
    """What ``exchange_http`` does, over WebSocket.

    A socket an answer: between two there is none to keep alive, or to lose.
    """
    import trio_websocket as ws
    from wsproto.utilities import LocalProtocolError

    url = httpx.URL(options.url)
    host, path = url.netloc.decode().rpartition("@")[2], url.path.rstrip("/") + CHAT
    open_socket = functools.partial(
        ws.wrap_client_stream,
        extra_headers=[(name.encode(), value.encode()) for name, value in headers(options).items()],
        message_queue_size=1000,  # for next_message: a pong must not stand behind messages
    )
    try:
        async with await open_stream(url) as stream, trio.open_nursery() as nursery:
            with failures_noted(answer, options.url):
                try:
                    with trio.fail_after(CONNECT_TIMEOUT):
                        if isinstance(stream, trio.SSLStream):
                            await stream.do_handshake()  # else its failure would be kept from us
                        socket = await open_socket(nursery, stream, host, path)
                    await follow_frames(socket, body, screen, answer)
                except trio.BrokenResourceError as exc:  # TLS
                    raise httpx.ConnectError(str(exc)) from exc
                except ws.ConnectionClosed as exc:  # sending, receiving
                    code = exc.reason and f"{exc.reason.code} {exc.reason.name}"
                    raise httpx.ReadError(f"the WebSocket was closed with {code}") from exc
            nursery.cancel_scope.cancel()
    except* ws.ConnectionRejected as refused:  # an HTTP answer in the place of the upgrade
        for refusal_seen in refused.exceptions:
            if isinstance(refusal_seen, ws.ConnectionRejected):
                response = httpx.Response(refusal_seen.status_code, headers=refusal_seen.headers)
                answer.error = refusal(response, refusal_seen.body or b"")
    except* LocalProtocolError:
        pass  # from the library, where a ping of the gateway's crosses our close: the answer is here by then


async def open_stream(url: httpx.URL) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            if url.scheme == "http":
                return await trio.open_tcp_stream(url.host, url.port or 80)
            return await trio.open_ssl_over_tcp_stream(url.host, url.port or 443, https_compatible=True)
    except (OSError, trio.TooSlowError) as exc:  # resolving, connecting
        raise httpx.ConnectError(str(exc)) from exc


async def follow_frames(socket: WebSocketConnection, body: bytes, screen: Screen, answer: Answer) -> None:
    """Show an answer as it comes, up to its ``[DONE]``; Ctrl-C cancels it at the gateway."""
    with interruptible(answer) as scope:
        await socket.send_message(body.decode())
        while not answer.done:
            message = await next_message(socket)
            screen.arrived(message + b"\n")
            screen.show(answer.feed(unpack(message)))
            screen.count(answer.tokens)
    with trio.move_on_after(PARTING_TIMEOUT):  # another Ctrl-C waits no longer, either
        if scope.cancelled_caught:
            await socket.send_message('{"type": "cancel"}')
            while unpack(await next_message(socket)).data != DONE:
                pass
        await socket.aclose()


async def next_message(socket: WebSocketConnection) -> bytes:
    """The next message, however long the model thinks.

    Raises:
        trio.TooSlowError: the line is dead.
    """
    while True:
        with trio.move_on_after(STREAM_TIMEOUT):
            message = await socket.get_message()
            return message.encode() if isinstance(message, str) else message
        # The gateway's heartbeat is a ping, which the library answers unseen.
        with trio.fail_after(CONNECT_TIMEOUT):
            await socket.ping()
