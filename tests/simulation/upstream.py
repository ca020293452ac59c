"""A model server that misbehaves on purpose, and writes down what it really sent."""

from __future__ import annotations

import json
import re
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.answers import Answer, draw_answer, line_event
from tests.simulation.behaviour import Behaviour, Door, Kind, draw_behaviour, draw_door
from tests.simulation.plan import SUMMARY_MODEL
from tests.simulation.play import Play
from tests.simulation.records import Attempt
from tests.simulation.wire import Connection, response

if TYPE_CHECKING:
    from tests.simulation.network import Network
    from tests.simulation.plan import Asked, Plan
    from tests.simulation.records import Records
    from tests.simulation.sockets import Socket

__all__ = ["ModelServer"]

_NONCE = re.compile(r"zq\d\d[xy]")


class ModelServer:
    """The upstream *name* of a plan."""

    def __init__(self, name: str, plan: Plan, network: Network, records: Records) -> None:
        self._name = name
        self._plan = plan
        self._records = records
        self._asked: dict[str, Asked] = {
            asked.nonce: asked for client in plan.clients for asked in client.asked
        }
        self._attempts: dict[str, int] = {}
        self._doors = Random(f"doors {plan.seed} {name}")
        self._listener = network.listen(name, self._door)

    async def run(self) -> None:
        """Serve, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._serve, await self._listener.accept())

    async def _door(self) -> bool:
        door = draw_door(self._doors, self._plan.weather)
        self._records.note(self._name, f"connect: {door}")
        if door not in {Door.OPEN, Door.SLOW}:
            self._records.unanswered.append((trio.current_time(), self._name))
        match door:
            case Door.SLOW:
                await trio.sleep(self._doors.choice((0.05, 0.2)))
            case Door.REFUSED:
                raise ConnectionRefusedError(111, "refused")
            case Door.SILENT:
                await trio.sleep_forever()
        return door is not Door.SLAMMED

    async def _serve(self, sock: Socket) -> None:
        connection = Connection(sock)
        patience = self._doors.choice((0.1, 1.0, 100.0))
        try:
            while (request := await connection.request(patience)) is not None:
                if not await self._answer(connection, *request):
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the gateway hung up
        sock.close()

    async def _answer(self, connection: Connection, target: str, body: dict[str, Any]) -> bool:
        """Answer; whether the connection may be used for another request."""
        if not target.endswith("/chat/completions"):
            await connection.say(response(404, "text/plain", b"no list"))
            return True
        found = _NONCE.search(json.dumps(body["messages"]))
        nonce = found[0] if found else ""  # the model that summarises may be shown a piece without one
        if body["model"] == SUMMARY_MODEL:
            play = self._play_line(connection, nonce)
        else:
            play = self._play_answer(connection, self._asked[nonce], body)
        await trio.sleep(play.behaviour.head_after)
        keep = await play.run()
        if play.behaviour.kind is Kind.RESET and play.head_is_unread:
            # The reset has overtaken the head: to the gateway, this is a call without an HTTP answer.
            self._records.unanswered.append((trio.current_time(), self._name))
        return keep

    def _play_line(self, connection: Connection, nonce: str) -> Play:
        number, behaviour, _ = self._drawn(f"line {nonce}")
        attempt = self._attempt(connection, nonce, f"line {nonce}{number}", behaviour, Answer())
        self._records.lines.append(attempt)
        return Play(connection, behaviour, attempt, (line_event(nonce, number),), self._plan.style)

    def _play_answer(self, connection: Connection, asked: Asked, body: dict[str, Any]) -> Play:
        number, behaviour, rng = self._drawn(asked.nonce)
        tag = f"{asked.nonce}{self._name}{number}"
        answer = draw_answer(
            Random(f"thoughts {self._plan.seed} {asked.nonce}"),
            rng,
            asked,
            tag,
            self._plan.style,
            usage=bool(body.get("stream_options")),
            thinks=not body.get("chat_template_kwargs"),
        )
        attempt = self._attempt(connection, asked.nonce, tag, behaviour, answer)
        self._records.attempts.append(attempt)
        return Play(connection, behaviour, attempt, answer.events, self._plan.style)

    def _drawn(self, key: str) -> tuple[int, Behaviour, Random]:
        """Which attempt for *key* this is, how it is to go, and chance for the rest of it."""
        number = self._attempts[key] = self._attempts.get(key, 0) + 1
        rng = Random(f"{self._plan.seed} {self._name} {key} {number}")
        return number, draw_behaviour(rng, self._plan.weather), rng

    def _attempt(
        self, connection: Connection, nonce: str, tag: str, behaviour: Behaviour, answer: Answer
    ) -> Attempt:
        self._records.note(f"{self._name} {tag}", str(behaviour))
        if behaviour.kind is Kind.CLOSED:
            self._records.unanswered.append((trio.current_time(), self._name))
        attempt = Attempt(nonce, tag, behaviour.kind, answer, connection.socket)
        attempt.upstream, attempt.began_at = self._name, trio.current_time()
        return attempt
