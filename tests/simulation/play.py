"""One response of a model server, as its behaviour wants it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from tests.simulation.answers import thought_event
from tests.simulation.behaviour import Kind
from tests.simulation.wire import framing_header, head, response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.simulation.answers import Event
    from tests.simulation.behaviour import Behaviour
    from tests.simulation.plan import Style
    from tests.simulation.records import Attempt
    from tests.simulation.wire import Connection

__all__ = ["Play"]

_SSE = "text/event-stream"
_STATUSES = (
    (500, ""),
    (503, "Retry-After: 1\r\n"),
    (429, "Retry-After: 0.3\r\n"),
    (429, "Retry-After: 2\r\n"),
    (404, ""),
    (400, ""),
    (401, ""),
    (408, ""),
    (302, "Location: http://elsewhere/\r\n"),
)
_TOLD = (
    'data: {"error": {"message": "it broke", "code": 500}}',
    'data: {"error": {"message": "slow down", "type": "rate_limit_error"}}',
    'data: {"error": {"message": "no", "type": "invalid_request_error"}}',
    "event: error\ndata: it broke",
)
_GARBAGE = ("data: {", "data: 5", 'data: {"choices": [{"delta": ', "data: \x00\x01")


class Play:
    """One response, as its behaviour wants it."""

    def __init__(
        self,
        connection: Connection,
        behaviour: Behaviour,
        attempt: Attempt,
        events: Sequence[Event],
        style: Style,
    ) -> None:
        self._connection = connection
        self._say = connection.say
        self.behaviour = behaviour
        self._attempt = attempt
        self._events = events
        self._style = style
        if behaviour.kind is Kind.ENDLESS and not any(event.thinks for event in events):
            self.behaviour = replace(behaviour, kind=Kind.STALL)
        self._head_read_at = 0  # bytes that the other end has received once it has read the head
        end = behaviour.line_end
        self._pieces = [f"data: {event.data}{end}{end}".encode() for event in events]

    @property
    def head_is_unread(self) -> bool:
        """Whether the other end has not read all of a stream's head."""
        return self._connection.socket.peer_received < self._head_read_at

    async def run(self) -> bool:
        """Whether the connection may be used again."""
        behaviour = self.behaviour
        match behaviour.kind:
            case Kind.NO_HEAD:
                return await self._connection.until_gone()
            case Kind.CLOSED:
                return False
            case Kind.NOT_HTTP:
                await self._say(b"220 mail.example ESMTP\r\n\r\n")
                return False
            case Kind.STATUS:
                status, header = _STATUSES[behaviour.variant % len(_STATUSES)]
                error = json.dumps({"error": {"message": "not now", "type": "some_error"}}).encode()
                return await self._whole(response(status, "application/json", error, header))
            case Kind.HTML:
                return await self._whole(response(200, "text/html", b"<p>hello"))
            case Kind.EMPTY:
                return await self._whole(response(200, _SSE, b""))
            case Kind.WHOLE:
                body = self._attempt.answer.whole.encode()
                for index, choice in enumerate(self._attempt.answer.choices):
                    self._attempt.said[index] = choice.output
                    self._attempt.finished.add(index)
                return await self._whole(response(200, "application/json", body))
            case Kind.NO_BODY:
                await self._say(head(200, _SSE, "Transfer-Encoding: chunked\r\n"))
                return await self._connection.until_gone()
            case _:
                return await self._stream()

    async def _whole(self, response: bytes) -> bool:
        await self._say(response)
        self._attempt.whole_at = trio.current_time()
        return True

    async def _stream(self) -> bool:
        behaviour, end = self.behaviour, self.behaviour.line_end
        strikes = behaviour.kind not in {Kind.CLEAN, Kind.NO_DONE, Kind.LINGERS}
        place = self._place() if strikes else len(self._events)
        done = f"data: [DONE]{end}{end}".encode() if behaviour.kind is not Kind.NO_DONE else b""
        length = sum(map(len, self._pieces)) + len(done)
        start_line_and_fields = head(200, _SSE, framing_header(behaviour.framing, length))
        self._head_read_at = self._connection.socket.peer_received + len(start_line_and_fields)
        await self._say(start_line_and_fields)
        for start in range(0, place, behaviour.events_a_write):
            if start:
                await trio.sleep(behaviour.pause)
            batch = range(start, min(start + behaviour.events_a_write, place))
            await self._say(self._framed(b"".join(self._pieces[i] for i in batch)))
            self._sent(self._events[i] for i in batch)
        if strikes:
            return await self._strike(place)
        if done:
            await self._say(self._framed(done))
        if behaviour.kind is Kind.LINGERS and behaviour.framing != "length":
            return await self._connection.until_gone()
        if behaviour.framing == "close":
            return False
        if behaviour.framing == "chunked":
            await self._say(b"0\r\n\r\n")
        self._attempt.whole_at = trio.current_time()
        return True

    def _place(self) -> int:
        """How many events come before the strike."""
        places: Sequence[int] = range(len(self._events))
        if self.behaviour.kind is Kind.ENDLESS:
            places = [number + 1 for number in places if self._events[number].thinks]
        return places[int(self.behaviour.strikes_at * len(places))]

    async def _strike(self, place: int) -> bool:
        behaviour, end = self.behaviour, self.behaviour.line_end
        match behaviour.kind:
            case Kind.CUT:
                return False
            case Kind.RESET:
                self._connection.socket.reset()
                return False
            case Kind.STALL:
                return await self._connection.until_gone()
            case Kind.TOLD | Kind.GARBAGE:
                told = _TOLD if behaviour.kind is Kind.TOLD else _GARBAGE
                text = told[behaviour.variant % len(told)].replace("\n", end)
                await self._say(self._framed(f"{text}{end}{end}".encode()))
                return await self._connection.until_gone() if behaviour.variant % 2 else False
            case Kind.DONE_EARLY:
                await self._say(self._framed(f"data: [DONE]{end}{end}".encode()))
                return False
            case Kind.COMMENTS:
                return await self._for_ever(f": still here{end}{end}".encode(), 0.1)
            case Kind.ENDLESS:
                thought = thought_event(self._events[place - 1].index or 0, self._style)
                return await self._for_ever(f"data: {thought.data}{end}{end}".encode(), 0.1)
            case _:
                return await self._drip(place)

    async def _drip(self, place: int) -> bool:
        for event, piece in zip(self._events[place:], self._pieces[place:], strict=True):
            for start in range(0, len(piece), 7):
                await self._say(self._framed(piece[start : start + 7]))
                await trio.sleep(0.05)
            self._sent([event])
        return False

    async def _for_ever(self, data: bytes, pause: float) -> bool:
        while True:
            await self._say(self._framed(data))
            await trio.sleep(pause)

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.behaviour.framing == "chunked" else data

    def _sent(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.index is not None:
                output = self._attempt.answer.choices[event.index].output
                self._attempt.said[event.index] = output[: event.said]
                self._attempt.finished |= {event.index} if event.finishes else set()
