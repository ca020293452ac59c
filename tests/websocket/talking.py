"""WebSocket clients for tests: a polite one, and one that sends whatever bytes it is given."""

from __future__ import annotations

import json
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
import trio
import trio_websocket
from wsproto.utilities import LocalProtocolError

from tests.support import Answer, Json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support import Client

PATH = "/v1/chat/completions"
CANCEL = '{"type": "cancel"}'
RESET = b"\x01\0\0\0\0\0\0\0"


class Socket:
    """A client that speaks the protocol as it should (trio-websocket's)."""

    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self.connection = connection
        self.headers = {name.decode().lower(): value.decode() for name, value in connection.handshake_headers}
        self._asked = 0

    async def send(self, body: Json | str | bytes) -> None:
        if isinstance(body, dict):
            self._asked += 1
            body = json.dumps(body)
        await self.connection.send_message(body)

    async def frame(self) -> str:
        with trio.fail_after(5):
            message = await self.connection.get_message()
        assert isinstance(message, str)
        return message

    async def until(self, mark: str) -> list[str]:
        """The frames up to the one that *mark* stands in."""
        frames = [await self.frame()]
        while mark not in frames[-1]:
            frames.append(await self.frame())
        return frames

    async def ask(self, body: Json | str) -> Answer:
        """Send a request and read its answer."""
        await self.send(body)
        return await self.answer()

    async def answer(self, *before: str) -> Answer:
        """The rest of an answer, of which these frames have been read."""
        frames = [*before, *await self.until('"data": "[DONE]"')]
        headers = {"X-Request-Id": f"{self.headers['x-request-id']}-{self._asked}"}
        return Answer(httpx.Response(200, content=as_sse(frames), headers=headers))

    async def closed(self) -> int:
        """The code the gateway closes with; what comes before is passed over."""
        with trio.fail_after(5), pytest.raises(trio_websocket.ConnectionClosed) as end:  # noqa: PT012
            while True:
                await self.connection.get_message()
        assert end.value.reason is not None
        return int(end.value.reason.code)


def as_sse(frames: list[str]) -> bytes:
    """The frames as the SSE events they stand for, their data byte for byte."""
    events = []
    for frame in frames:
        assert json.loads(frame).keys() == {"event", "data"}
        start, _, data = frame.removesuffix("}").partition(', "data": ')
        event = start.removeprefix('{"event": "').removesuffix('"')
        name = "" if event == "message" else f"event: {event}\n"
        events.append(f"{name}data: {'[DONE]' if data == json.dumps('[DONE]') else data}\n\n")
    return "".join(events).encode()


@asynccontextmanager
async def open_socket(
    client: Client,
    path: str = PATH,
    *,
    subprotocols: tuple[str, ...] = (),
    fields: dict[str, str] | None = None,
) -> AsyncIterator[Socket]:
    """A WebSocket to the gateway. *fields*: of the upgrade's head."""
    # It fails where a ping crosses its own close, as it may not answer any more.
    with suppress(LocalProtocolError):
        async with trio_websocket.open_websocket_url(
            f"{client.base_url}".replace("http", "ws", 1) + path,
            subprotocols=subprotocols,
            extra_headers=[(name.encode(), value.encode()) for name, value in (fields or {}).items()],
            disconnect_timeout=1,
        ) as connection:
            try:
                yield Socket(connection)
            finally:
                with trio.move_on_after(1) as scope:
                    scope.shield = True
                    await connection.aclose()
                # It leaves its stream open where the server has closed first.
                await trio.aclose_forcefully(connection._stream)


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """A close frame's."""
        return int.from_bytes(self.payload[:2])


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int = 0,
) -> bytes:
    """A client's frame; *length*: of that many bytes, it says, whatever there are."""
    size = length or len(payload)
    if size < 126:
        rest = bytes([masked << 7 | size])
    elif size < 65536:
        rest = struct.pack("!BH", masked << 7 | 126, size)
    else:
        rest = struct.pack("!BQ", masked << 7 | 127, size)
    return bytes([fin << 7 | reserved << 4 | opcode]) + rest + (b"\0\0\0\0" if masked else b"") + payload


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason)


def opening(path: str = PATH, *fields: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Raw:
    """A client that has upgraded its connection, and from then on sends what it likes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._bytes = b""

    async def send(self, data: bytes) -> None:
        with trio.fail_after(5):
            await self.stream.send_all(data)

    async def frame(self) -> Frame | None:
        """The next frame; None when the gateway has hung up."""
        header = await self._take(2)
        if header is None:
            return None
        size = header[1]  # servers do not mask
        if size >= 126:
            longer = await self._take(2 if size == 126 else 8)
            assert longer is not None
            size = int.from_bytes(longer)
        payload = await self._take(size)
        assert payload is not None
        return Frame(header[0] & 15, payload)

    async def rest(self) -> list[Frame]:
        """The frames until the gateway hangs up."""
        frames = []
        while (frame := await self.frame()) is not None:
            frames.append(frame)
        return frames

    async def end(self) -> int | None:
        """The code of the close frame that comes last; None where there is none."""
        frames = await self.rest()
        return frames[-1].code if frames and frames[-1].opcode == CLOSE else None

    def leave(self, way: str) -> None:
        if way == "RST":
            self.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, RESET)
        self.stream.socket.close()

    async def _take(self, size: int) -> bytes | None:
        with trio.fail_after(5):
            while len(self._bytes) < size:
                try:
                    data = await self.stream.receive_some(65536)
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._bytes += data
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken


@asynccontextmanager
async def open_raw(port: int, path: str = PATH, *fields: str) -> AsyncIterator[Raw]:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        await stream.send_all(opening(path, *fields))
        raw = Raw(stream)
        while b"\r\n\r\n" not in raw._bytes:
            raw._bytes += await stream.receive_some(65536)
        head, _, raw._bytes = raw._bytes.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield raw
    finally:
        await trio.aclose_forcefully(stream)


def port_of(client: Client) -> int:
    return client.base_url.port or 80
