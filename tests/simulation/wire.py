"""HTTP as a model server speaks it: requests are read, responses are bytes in the making."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from tests.simulation.sockets import Socket

__all__ = ["Connection", "framing_header", "head", "response"]


class Connection:
    """Requests are read, and bytes are written."""

    def __init__(self, sock: Socket) -> None:
        self.socket = sock
        self._stream = trio.SocketStream(sock)
        self.say = self._stream.send_all
        self._buffer = b""

    async def request(self, patience: float) -> tuple[str, dict[str, Any]] | None:
        """The next request's target and body; None at the end, and when none comes for *patience* seconds."""
        with trio.move_on_after(patience) as scope:
            while b"\r\n\r\n" not in self._buffer and await self._more():
                pass
        if scope.cancelled_caught or b"\r\n\r\n" not in self._buffer:
            return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        while len(self._buffer) < size:
            if not await self._more():
                return None
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return head.split()[1].decode(), json.loads(body or b"{}")

    async def until_gone(self) -> bool:
        """Wait until the gateway hangs up."""
        while await self._more():
            pass
        return False

    async def _more(self) -> bool:
        data = await self._stream.receive_some()
        self._buffer += data
        return bool(data)


def framing_header(framing: str, length: int) -> str:
    match framing:
        case "chunked":
            return "Transfer-Encoding: chunked\r\n"
        case "length":
            return f"Content-Length: {length}\r\n"
        case _:
            return "Connection: close\r\n"


def head(status: int, kind: str, headers: str) -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\n{headers}\r\n".encode()


def response(status: int, kind: str, body: bytes, headers: str = "") -> bytes:
    return head(status, kind, f"{headers}Content-Length: {len(body)}\r\n") + body
