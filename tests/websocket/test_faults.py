"""The tables of upstream faults and oddities over a WebSocket: each row leads to what it leads to over SSE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.facing import (
    GOOD,
    UNSEEN,
    certificates,
    check_books,
    check_words,
    facing,
    impatient,
    rows,
    trusting,
)
from tests.faults.scene import check_ending
from tests.faults.table import FAULTS, ODDITIES
from tests.support import Client, chat
from tests.websocket.talking import open_socket

if TYPE_CHECKING:
    from tests.faults.certificates import Certificates
    from tests.faults.table import Fault, Oddity
    from tests.support import Answer

__all__ = ["certificates", "impatient", "trusting"]  # fixtures, found by their names


async def ask(client: Client) -> Answer:
    async with open_socket(client) as socket:
        return await socket.ask(chat())


@rows(FAULTS)
async def test_a_stream_ends_honestly(fault: Fault, certificates: Certificates | None) -> None:
    async with facing(fault, certificates=certificates) as scene:
        answer = await ask(scene.client)
        books = await scene.close_books()
    check_ending(answer)
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"]) == (fault.code, fault.status)
    assert (answer.error["phase"], answer.output) == (fault.phase, fault.output)
    assert ("retry_after" in answer.error) is (fault.retry_after is not None)
    check_books(fault, books, attempts=1)
    check_words(answer.response.text, scene)


@rows({str(fault.code): fault for fault in UNSEEN.values()})
async def test_before_any_output_another_attempt_answers_unseen(
    fault: Fault, certificates: Certificates | None
) -> None:
    async with facing(fault, GOOD, tries=2, certificates=certificates) as scene:
        answer = await ask(scene.client)
        await scene.close_books()
    check_ending(answer)
    assert (answer.output, answer.finish_reasons, answer.error) == ("4", ["stop"], None)


@rows(ODDITIES)
async def test_an_oddity_is_borne(oddity: Oddity, certificates: Certificates | None) -> None:
    async with facing(oddity, certificates=certificates) as scene:
        answer = await ask(scene.client)
        books = await scene.close_books()
    check_ending(answer)
    assert (answer.output, answer.error) == (oddity.output, None)
    assert answer.finish_reasons == ([oddity.finish] if oddity.finish else [])
    assert books.verdicts("a") == {"success": 1}
    if oddity.holds != "\n: ":  # SSE's heartbeat, which is a ping of the protocol here
        assert oddity.holds in answer.response.text
