"""Frames as no polite client sends them, against the server: what it closes with, and that only this client feels it."""

from __future__ import annotations

import socket
import zlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from quart import websocket

from tests.server.hypercorn_harness import APP, Client, EchoApp, bare_hypercorn, serving
from tests.support import until
from tests.websocket.talking import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    frame,
    open_raw,
    opening,
)
from trio_gateway.core.budgets.body_ledger import BodyBudget
from trio_gateway.server.transport.hardening import Limits
from trio_gateway.server.websocket.view import WebSocketConnection

if TYPE_CHECKING:
    from pathlib import Path

HELLO = frame(TEXT, b"hello")
HALF = frame(TEXT, b"he", fin=False)
REST = frame(0, b"llo")
EURO = "€".encode()


class App(EchoApp):
    """Sends back what it gets."""

    asgi_websocket_class = WebSocketConnection

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.budget = BodyBudget(1_000_000)
        self.websocket("/ws-echo")(self.send_back)
        self.websocket("/ws-deaf")(self.do_not_receive)
        self.websocket("/ws-closed")(self.take_nothing)

    async def send_back(self) -> None:
        await websocket.accept()
        wire = websocket.scope["gateway.wire"]  # type: ignore[typeddict-item]
        with self.noted("ended"):
            while (message := await wire.mailbox.get()) is not None:
                await wire.send([bytes(message.data).decode() if message.is_text else "binary"])

    async def do_not_receive(self) -> None:
        await websocket.accept()
        self.begun.set()
        await trio.sleep(0.3)

    async def take_nothing(self) -> None:
        await websocket.accept()
        wire = websocket.scope["gateway.wire"]  # type: ignore[typeddict-item]
        wire.mailbox.open_hold = partial(self.budget.hold, None)
        wire.mailbox.close()
        self.begun.set()
        await trio.sleep_forever()


# What is wrong, and the code it is answered with

WRONG: dict[str, tuple[bytes, int]] = {
    # the frame
    "first reserved bit": (frame(TEXT, b"hello", reserved=4), 1002),
    "second reserved bit": (frame(TEXT, b"hello", reserved=2), 1002),
    "third reserved bit": (frame(TEXT, b"hello", reserved=1), 1002),
    "reserved bit on a ping": (frame(PING, reserved=4), 1002),
    "reserved bit on a close": (frame(CLOSE, reserved=1), 1002),
    "a compressed frame": (frame(TEXT, zlib.compress(b"x" * 1_000_000, wbits=-15), reserved=4), 1002),
    "unmasked": (frame(TEXT, b"hello", masked=False), 1002),
    "unmasked ping": (frame(PING, masked=False), 1002),
    "unmasked close": (frame(CLOSE, b"\x03\xe8", masked=False), 1002),
    **{f"opcode {opcode}": (frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a length of two bytes for one": (b"\x81\xfe\x00\x05\0\0\0\0hello", 1002),
    "a length of eight bytes for one": (b"\x81\xff" + (5).to_bytes(8) + b"\0\0\0\0hello", 1002),
    "a length over 2⁶³": (b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0", 1002),
    "bytes that are no frames": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 1002),
    # control frames
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "pong of 126 bytes": (frame(PONG, b"x" * 126), 1002),
    "ping of 64 KiB": (frame(PING, b"x" * 65536), 1002),
    "ping in fragments": (frame(PING, b"x", fin=False) + frame(0, b"y"), 1002),
    "close in fragments": (frame(CLOSE, b"\x03", fin=False) + frame(0, b"\xe8"), 1002),
    "close of 126 bytes": (close(1000, b"x" * 124), 1002),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close with {code}": (close(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535)
    },
    "close with a reason that is no text": (close(1000, b"\xff"), 1007),
    # fragments
    "a rest without a beginning": (REST, 1002),
    "a rest after a whole message": (HELLO + REST, 1002),
    "a message inside another": (HALF + HELLO, 1002),
    "a beginning inside another": (HALF + HALF, 1002),
    "binary inside text": (HALF + frame(BINARY, b"x"), 1002),
    "reserved bit in a rest": (HALF + frame(0, b"llo", reserved=4), 1002),
    # text
    "no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "no UTF-8 in a rest": (HALF + frame(0, b"\xff"), 1007),
    "a character that does not end": (frame(TEXT, EURO[:2]), 1007),
    "a character that does not end in a rest": (frame(TEXT, EURO[:1], fin=False) + frame(0, EURO[1:2]), 1007),
    "a character cut by another": (frame(TEXT, EURO[:2], fin=False) + frame(0, b"x"), 1007),
    "half a surrogate pair": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "a character written too long": (frame(TEXT, b"\xc0\xaf"), 1007),
    "beyond Unicode": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    # size
    "too large": (frame(TEXT, b"x" * 1001), 1009),
    "too large in many fragments": (HALF + frame(0, b"x" * 10, fin=False) * 100, 1009),
    "too large as it says": (frame(TEXT, b"x" * 1001, length=1 << 62), 1009),
    "more than 100 pings": (frame(PING) * 101, 1008),
}


def answers(*payloads: str) -> list[Frame]:
    return [Frame(TEXT, payload.encode()) for payload in payloads]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("piece", [1, 1 << 20], ids=["byte by byte", "at once"])
async def test_what_is_wrong_is_told_and_ends_the_socket(
    wrong: tuple[bytes, int], piece: int, caplog: pytest.LogCaptureFixture
) -> None:
    sent, code = wrong
    piece = max(piece, len(sent) // 2000)
    app = App(Limits(max_message=1000))
    async with (
        serving(app) as (port, _),
        open_raw(port, "/ws-echo") as raw,
        open_raw(port, "/ws-echo") as other,
    ):
        raw.stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), piece):
            try:
                await raw.send(sent[start : start + piece])
            except trio.BrokenResourceError:
                break  # it has heard enough
        got = await raw.rest()
        last = got.pop()
        assert (last.opcode, last.code) == (CLOSE, code)
        assert {each.opcode for each in got} <= {TEXT, PONG}
        await until(app.ended.is_set, 0.5)
        await other.send(HELLO)
        assert await other.frame() == Frame(TEXT, b"hello")
    assert not [record for record in caplog.records if record.exc_info]


# What is right, if unusual

RIGHT: dict[str, tuple[bytes, list[Frame]]] = {
    "empty text": (frame(TEXT), answers("")),
    "in fragments": (HALF + REST, answers("hello")),
    "in empty fragments": (frame(TEXT, fin=False) + frame(0, fin=False) * 500 + frame(0), answers("")),
    "a ping between fragments": (HALF + frame(PING, b"p") + REST, [Frame(PONG, b"p"), *answers("hello")]),
    "a ping of 125 bytes": (frame(PING, b"x" * 125), [Frame(PONG, b"x" * 125)]),
    "a pong nobody asked for": (frame(PONG, b"x") + HELLO, answers("hello")),
    "a character over three fragments": (
        frame(TEXT, EURO[:1], fin=False) + frame(0, EURO[1:2], fin=False) + frame(0, EURO[2:]),
        answers("€"),
    ),
    "of the size of the limit": (frame(TEXT, b"x" * 1000), answers("x" * 1000)),
    "one after the other": (frame(TEXT, b"x" * 600) * 3, answers("x" * 600) * 3),
    "masked": (b"\x81\x85\x01\x02\x03\x04igohn", answers("hello")),
    "binary": (frame(BINARY, b"abc") + frame(BINARY), answers("binary", "binary")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=RIGHT.keys())
@pytest.mark.parametrize("end", [1000, 1001, 1003, 1007, 1011, 3000, 4999])
async def test_what_is_right_is_served_and_the_close_answered(
    right: tuple[bytes, list[Frame]], end: int
) -> None:
    sent, wanted = right
    async with serving(App(Limits(max_message=1000))) as (port, _), open_raw(port, "/ws-echo") as raw:
        await raw.send(sent)
        got = [await raw.frame() for _ in wanted]
        assert got == wanted
        await raw.send(close(end, b"bye"))
        assert await raw.end() == end


async def test_a_close_without_a_code_is_answered_without_one() -> None:
    async with serving(App()) as (port, _), open_raw(port, "/ws-echo") as raw:
        await raw.send(frame(CLOSE))
        assert await raw.frame() == Frame(CLOSE, b"")
        assert await raw.frame() is None


async def test_one_that_goes_on_after_the_end_is_not_listened_to() -> None:
    app = App(Limits(max_message=1000))
    async with serving(app) as (port, _), open_raw(port, "/ws-echo") as raw:
        with trio.move_on_after(3) as patience:
            try:
                while True:
                    await raw.send(frame(0, b"x" * 900, fin=False) if app.ended.is_set() else HALF + HALF)
                    await trio.sleep(0.001)
            except trio.BrokenResourceError:
                pass
        assert not patience.cancelled_caught


async def test_nothing_is_counted_for_an_application_that_takes_nothing() -> None:
    app = App()
    async with serving(app) as (port, _), open_raw(port, "/ws-closed") as raw:
        await app.begun.wait()
        await raw.send(HELLO * 3 + HALF + frame(PING))
        assert await raw.frame() == Frame(PONG, b"")
        assert app.budget.taken == 0


async def test_a_message_of_any_size_is_one_frame() -> None:
    async with serving(App()) as (port, _), open_raw(port, "/ws-echo") as raw:
        for size in (0, 125, 126, 65_535, 65_536, 1_000_000):
            await raw.send(frame(TEXT, b"x" * size))
            assert await raw.frame() == Frame(TEXT, b"x" * size)


async def test_an_application_that_has_ended_does_not_hold_up_the_end() -> None:
    """Its queue is full: ten messages stand in it, and more behind them."""
    app = App()
    async with serving(app) as (port, _), open_raw(port, "/ws-deaf") as raw:
        await app.begun.wait()
        await raw.send(HELLO * 50)
        assert await raw.end() == 1000


async def test_empty_fragments_hold_up_nobody() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with serving(App()) as (port, _), open_raw(port, "/ws-echo") as raw, trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        await raw.send(HALF + frame(0, fin=False) * 10_000 + REST)
        assert await raw.frame() == Frame(TEXT, b"hello")
        nursery.cancel_scope.cancel()
    assert turns > 10_000


async def test_pings_are_sent_from_the_beginning() -> None:
    async with serving(App(Limits(heartbeat=0.05))) as (port, _), open_raw(port, "/ws-echo") as raw:
        assert [await raw.frame() for _ in range(3)] == [Frame(PING, b"")] * 3


async def test_what_the_user_has_set_stands() -> None:
    limits = Limits(heartbeat=0.05, max_message=10)
    settings = {"websocket_ping_interval": 100.0, "websocket_max_message_size": 20}
    async with serving(App(limits), **settings) as (port, _), open_raw(port, "/ws-echo") as raw:
        await raw.send(frame(TEXT, b"x" * 20))
        assert await raw.frame() == Frame(TEXT, b"x" * 20)
        await raw.send(frame(TEXT, b"x" * 21))
        assert await raw.end() == 1009


@pytest.mark.parametrize(
    "field",
    ["Sec-WebSocket-Protocol: é", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=x"],
)
async def test_fields_that_hypercorn_stumbles_over(field: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(App()) as (port, _), Client(port) as client:
        await client.send(opening("/ws-echo", field))
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 " if "é" in field else b"HTTP/1.1 101 ")
        assert b"extensions" not in head.lower()
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_upgrade_to_an_old_version_or_by_post_is_none() -> None:
    async with serving(App()) as (port, _):
        for wanted, sent in (
            (400, opening("/ws-echo").replace(b"Version: 13", b"Version: 8")),
            (405, opening("/ws-echo").replace(b"GET /ws-echo", b"POST /ok")),
        ):
            async with Client(port) as client:
                await client.send(sent)
                assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 %d " % wanted)


async def test_under_the_bare_command_too(tmp_path: Path, unused_tcp_port: int) -> None:
    port = unused_tcp_port
    log = tmp_path / "log"
    target = APP.replace("hypercorn_harness.py", "test_rfc6455.py")
    async with bare_hypercorn(target, "-k", "trio", "-b", f"127.0.0.1:{port}", stderr=log):
        with trio.fail_after(10):
            while True:
                try:
                    async with Client(port):
                        break
                except OSError:
                    await trio.sleep(0.05)
        for name, (sent, code) in WRONG.items():
            async with open_raw(port, "/ws-echo") as raw:
                await raw.send(sent)
                last = (await raw.rest())[-1]
                assert (name, last.opcode, last.code) == (name, CLOSE, code)
        async with open_raw(port, "/ws-echo") as raw:
            got = await raw.frame()
            assert got is not None
            assert got.opcode == PING
    assert "Traceback" not in log.read_text()


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


app = App(Limits(max_message=1000, heartbeat=0.3))
