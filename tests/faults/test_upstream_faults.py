"""Every row of the table, over real sockets: what the client gets, what the breaker makes of it, what is
tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.faults.facing import (
    GOOD,
    RETRIED,
    UNSEEN,
    certificates,
    check_books,
    check_words,
    facing,
    impatient,
    rows,
    trusting,
)
from tests.faults.playing import Door, open_faulty
from tests.faults.scene import check_ending, open_scene
from tests.faults.table import FAULTS, ODDITIES, STOP, Fault, Oddity
from tests.support import DONE, HEAD, ask, chat, sse_chunk, until
from trio_gateway.core.config import UpstreamConfig
from trio_gateway.core.summary.prompt import summarize_prompt
from trio_gateway.engine.bodies import Payload
from trio_gateway.engine.upstream import Upstream

if TYPE_CHECKING:
    from tests.faults.certificates import Certificates

__all__ = ["certificates", "impatient", "trusting"]  # fixtures, found by their names

SEEN = {name: fault for name, fault in RETRIED.items() if fault.phase == "final_output"}
EARLY = {name: fault for name, fault in FAULTS.items() if fault.phase == "prompt_summary" and not fault.begun}


@rows(FAULTS)
async def test_a_stream_ends_honestly(fault: Fault, certificates: Certificates | None) -> None:
    async with facing(fault, certificates=certificates) as scene:
        answer = await ask(scene.client, chat())
        books = await scene.close_books()
    check_ending(answer)
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"]) == (fault.code, fault.status)
    assert (answer.error["phase"], answer.output) == (fault.phase, fault.output)
    check_books(fault, books, attempts=1)
    check_words(answer.response.text, scene)


@rows(FAULTS)
async def test_an_answer_in_one_piece_is_an_error_with_its_status(
    fault: Fault, certificates: Certificates | None
) -> None:
    async with facing(fault, certificates=certificates) as scene:
        response = await scene.client.post("/v1/chat/completions", json=chat(stream=False))
        books = await scene.close_books()
    told = response.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert (told["code"], response.status_code) == (fault.code, fault.status)
    assert response.headers["x-gateway-attempts"] == "1"
    assert response.headers.get("retry-after") == fault.retry_after
    for_ever = fault.status == 429 and fault.retry_after is None
    assert response.headers.get("x-should-retry") == ("false" if for_ever else None)
    check_books(fault, books, attempts=1)
    check_words(response.text, scene)


@rows(UNSEEN)
async def test_before_any_output_another_attempt_answers_unseen(
    fault: Fault, certificates: Certificates | None
) -> None:
    async with facing(fault, GOOD, tries=2, certificates=certificates) as scene:
        answer = await ask(scene.client, chat())
        books = await scene.close_books()
    check_ending(answer)
    assert (answer.output, answer.finish_reasons, answer.error) == ("4", ["stop"], None)
    tries = {"again": 2, "next": 1}[fault.retry]
    assert books.count("gateway_attempts_total", upstream="a") == tries
    assert books.count("gateway_upstream_errors_total", upstream="a") == tries
    assert books.verdicts("b") == {"success": 1}
    line = books.line
    assert (line["outcome"], line["error_class"], line["upstream"], line["attempts"]) == (
        "ok",
        None,
        "b",
        tries + 1,
    )


@rows({**SEEN, **{name: fault for name, fault in FAULTS.items() if fault.retry == "no"}})
async def test_what_cannot_be_taken_back_is_not_tried_again(fault: Fault) -> None:
    async with facing(fault, GOOD, tries=2) as scene:
        answer = await ask(scene.client, chat())
        books = await scene.close_books()
    check_ending(answer)
    assert answer.error is not None
    assert (answer.error["code"], answer.output) == (fault.code, fault.output)
    assert books.count("gateway_attempts_total") == 1
    assert scene.upstreams[1].requests == []


@rows(SEEN)
async def test_in_one_piece_an_answer_can_be_begun_anew_until_it_is_whole(fault: Fault) -> None:
    async with facing(fault, GOOD, tries=1) as scene:
        response = await scene.client.post("/v1/chat/completions", json=chat(stream=False))
        books = await scene.close_books()
    assert response.json()["choices"][0]["message"]["content"] == "4"
    assert response.headers["x-gateway-attempts"] == "2"
    assert books.line["outcome"] == "ok"


@rows(ODDITIES)
async def test_an_oddity_is_borne(oddity: Oddity, certificates: Certificates | None) -> None:
    async with facing(oddity, certificates=certificates) as scene:
        answer = await ask(scene.client, chat())
        books = await scene.close_books()
    check_ending(answer)
    assert (answer.output, answer.error) == (oddity.output, None)
    assert answer.finish_reasons == ([oddity.finish] if oddity.finish else [])
    assert (books.line["outcome"], books.line["attempts"]) == ("ok", 1)
    assert books.count("gateway_upstream_errors_total") == 0
    assert books.verdicts("a") == {"success": 1}
    assert oddity.counted in books.metrics
    assert oddity.holds in answer.response.text


@rows(ODDITIES)
async def test_an_oddity_is_borne_in_one_piece(oddity: Oddity, certificates: Certificates | None) -> None:
    async with facing(oddity, certificates=certificates) as scene:
        response = await scene.client.post("/v1/chat/completions", json=chat(stream=False))
        books = await scene.close_books()
    choice = response.json()["choices"][0]
    assert (choice["message"]["content"] or "", choice["finish_reason"]) == (oddity.output, oddity.finish)
    assert books.verdicts("a") == {"success": 1}


async def test_a_handshake_that_is_broken_off_leaves_nothing_open() -> None:
    async with open_faulty(Door.TLS_IS_SILENT) as silent:
        upstream = Upstream(UpstreamConfig(url=silent.url), None)
        with trio.move_on_after(0.1) as scope:
            async with upstream.open_completion(Payload([b"{}"]), authorization=None):
                pass
        assert scope.cancelled_caught
        await until(lambda: silent.open_connections == 0, 0.05)
        await upstream.aclose()


@rows(EARLY)
async def test_a_stream_of_openais_that_has_not_begun_has_the_faults_status(
    fault: Fault, certificates: Certificates | None
) -> None:
    async with facing(fault, certificates=certificates) as scene:
        response = await scene.client.post("/openai/v1/chat/completions", json=chat(stream=True))
        books = await scene.close_books()
    assert (response.json()["error"]["code"], response.status_code) == (fault.code, fault.status)
    assert response.headers.get("retry-after") == fault.retry_after
    check_books(fault, books, attempts=1)


LONG = "Explain in detail how two and two are added, and why the result is what it is. " * 3
SUMMARY = """
[summary]
prompt = "model"
reasoning = "model"
upstream = "b"
model = "tiny"
interval = 0.1
"""


@rows({str(fault.code): fault for fault in EARLY.values() if fault.retry != "no"})
async def test_whatever_the_summarising_model_does_the_answer_is_untouched(
    fault: Fault, certificates: Certificates | None
) -> None:
    thinks = sse_chunk({"content": "<think>First I add two and two. Then I check the sum again.\n"})
    speaks = sse_chunk({"content": "</think>4"})
    async with open_scene(
        (HEAD, thinks, 0.15, speaks, STOP, DONE),
        fault.plays,
        upstream=("", fault.upstream),  # only the one that summarises has little time
        more=SUMMARY,
        certificates=certificates,
    ) as scene:
        body = chat(LONG)
        answer = await ask(scene.client, body)
        books = await scene.close_books(within=0.3)
    check_ending(answer)
    assert (answer.output, answer.finish_reasons, answer.error) == ("4", ["stop"], None)
    summary = summarize_prompt(body["messages"])
    assert answer.text("prompt_summary") == f"[Prompt Summary] {summary}\n\n"
    assert answer.phases == ["prompt_summary", "reasoning_summary", "final_output"]
    assert (books.verdicts("a"), books.verdicts("b")) == ({"success": 1}, {})
    assert books.count("gateway_summary_fallback_total") >= 1
    assert books.count("gateway_upstream_errors_total") == books.count(
        "gateway_upstream_errors_total", upstream="summary"
    )
