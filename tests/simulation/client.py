"""A client that reads at its own pace, asks a second time too early, and leaves when it likes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import h11
import trio

from tests.simulation.records import Transcript

if TYPE_CHECKING:
    from tests.simulation.network import Network
    from tests.simulation.plan import Asked, ClientPlan
    from tests.simulation.records import Records

__all__ = ["GATEWAY", "run_client"]

GATEWAY = "gateway"


async def run_client(
    plan: ClientPlan, network: Network, records: Records, *, task_status: trio.TaskStatus[trio.Event]
) -> None:
    """Live through *plan*. The event that is given at the start is set when its answers are there, or never will be."""
    answered = trio.Event()
    task_status.started(answered)
    try:
        await trio.sleep(plan.at)
        await _Client(plan, network, records, answered).run()
    finally:
        answered.set()


class _Client:
    def __init__(self, plan: ClientPlan, network: Network, records: Records, answered: trio.Event) -> None:
        self._plan = plan
        self._network = network
        self._records = records
        self._answered = answered
        self._name = f"client {plan.number}"
        self._transcripts = [Transcript(asked, plan) for asked in plan.asked]

    async def run(self) -> None:
        try:
            self._stream = await self._network.dial(GATEWAY, self._name, own=self._plan.address)
        except ConnectionRefusedError:
            self._records.note(self._name, "refused")
            return
        self._records.transcripts += self._transcripts
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            if self._plan.leaves:
                nursery.start_soon(self._leave)
            await self._read()
            nursery.cancel_scope.cancel()
        await self._stream.aclose()

    async def _send(self) -> None:
        for number, transcript in enumerate(self._transcripts):
            await trio.sleep(self._plan.gap * number)
            try:
                await self._stream.send_all(_request(transcript.asked))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the gateway is gone; reading will tell
            transcript.sent_at = trio.current_time()
            self._records.note(self._name, f"asked {transcript.asked.nonce}")

    async def _leave(self) -> None:
        await trio.sleep(self._plan.leaves_after)
        self._records.note(self._name, f"leaves: {self._plan.leaves}")
        for transcript in self._transcripts:
            if transcript.ended_at is None:
                transcript.left_at = trio.current_time()
        match self._plan.leaves:
            case "close":
                self._stream.socket.close()
            case "reset":
                self._stream.socket.reset()  # type: ignore[attr-defined]
            case _:
                with suppress(OSError):  # reset already
                    self._stream.socket.shutdown(trio.socket.SHUT_WR)

    async def _read(self) -> None:
        rest = b""
        for transcript in self._transcripts:
            rest = await self._read_one(transcript, rest)
            if transcript.ended_at is None:
                return
        self._answered.set()
        if self._plan.stays:
            while await self._more():
                pass

    async def _read_one(self, transcript: Transcript, data: bytes) -> bytes:
        """Read one answer; what came after it."""
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="POST", target="/", headers=[("Host", GATEWAY)]))
        connection.send(h11.EndOfMessage())
        if data:
            connection.receive_data(data)
        while True:
            match event := connection.next_event():
                case h11.NEED_DATA:
                    data = await self._more()
                    if not data:
                        self._records.note(self._name, f"{transcript.asked.nonce}: no more comes")
                        return b""
                    connection.receive_data(data)
                case h11.Response():
                    transcript.status = event.status_code
                    transcript.headers = {k.decode(): v.decode() for k, v in event.headers}
                    self._records.note(self._name, f"{transcript.asked.nonce}: {event.status_code}")
                case h11.Data():
                    self._take(transcript, bytes(event.data))
                case h11.EndOfMessage():
                    transcript.ended_at = trio.current_time()
                    self._records.note(self._name, f"{transcript.asked.nonce}: end")
                    return connection.trailing_data[0]
                case _:
                    self._records.faults.append(f"{transcript.asked.nonce}: HTTP says {event!r}")
                    return b""

    def _take(self, transcript: Transcript, data: bytes) -> None:
        transcript.body += data
        self._records.note(self._name, f"{transcript.asked.nonce}: {len(data)} bytes")
        if transcript.done_at is None and b"\ndata: [DONE]\n\n" in transcript.body[-len(data) - 20 :]:
            transcript.done_at = trio.current_time()

    async def _more(self) -> bytes:
        try:
            data = await self._stream.receive_some(self._plan.bite or 65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""
        await trio.sleep(self._plan.pause)
        return bytes(data)


def _request(asked: Asked) -> bytes:
    body = json.dumps(asked.body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {GATEWAY}\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {asked.nonce}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
