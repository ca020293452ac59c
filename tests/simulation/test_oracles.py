"""The oracles can fail: an answer they accept, and what is wrong with it after each of many small changes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation.answers import Answer, Choice
from tests.simulation.behaviour import Kind
from tests.simulation.oracles import check_answer
from tests.simulation.plan import Asked, ClientPlan
from tests.simulation.records import Attempt, Transcript
from tests.simulation.sockets import Socket

ASKED = Asked("zq07x", {}, streamed=True, choices=1, raw=False, usage=False)
CLIENT = ClientPlan(7, 0.0, (ASKED,), 0.0, 0, 0.0, leaves="", leaves_after=0.0, stays=False)
THOUGHT = "I weigh the wind of zq07x."
SAID = "zq07xa1i-0 zq07xa1i-1"


def attempt(number: int = 1, kind: Kind = Kind.CLEAN, said: str = SAID) -> Attempt:
    tag = f"zq07xa{number}"
    output = SAID.replace("zq07xa1", tag)
    answer = Answer((Choice(THOUGHT, output, "stop"),))
    made = Attempt("zq07x", tag, kind, answer, object.__new__(Socket))
    made.said[0] = said.replace("zq07xa1", tag)
    made.finished = {0} if said == SAID else set()
    return made


def chunk(delta: dict[str, Any], phase: str | None = None, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **({'phase': phase} if phase else {})})}"


def opening(phase: str) -> str:
    return f'event: phase\ndata: {{"phase": "{phase}"}}'


ERROR = 'event: error\ndata: {"error": {"code": "truncated"}, "choices": []}'
PROMPT = chunk({"content": "[Prompt Summary] What of zq07x"}, "prompt_summary")
LINE = chunk({"content": "[Reasoning Summary] I weigh the wind"}, "reasoning_summary")
HEAD = chunk({"content": SAID[:10]}, "final_output")
TAIL = chunk({"content": SAID[10:]}, "final_output")
FINISH = chunk({}, finish="stop")
DONE = "data: [DONE]"
GOOD = [
    *(opening("prompt_summary"), PROMPT, chunk({"content": "\n\n"}, "prompt_summary")),
    *(opening("reasoning_summary"), LINE, chunk({"content": "\n\n"}, "reasoning_summary")),
    *(": ping", opening("final_output"), HEAD, TAIL, FINISH, DONE),
]


def transcript(blocks: list[str], **changes: Any) -> Transcript:
    body = bytearray("".join(f"{block}\n\n" for block in blocks).encode())
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    seen = Transcript(ASKED, CLIENT, 0.0, 200, headers, body, done_at=1.0, ended_at=1.0)
    return replace(seen, **changes)


def rules(seen: Transcript, *attempts: Attempt, drained: bool = False) -> set[str]:
    found = check_answer(seen, attempts or (attempt(),), drained=drained)
    return {violation.partition(":")[0] for violation in found}


def without(*gone: str) -> list[str]:
    return [block for block in GOOD if block not in gone]


def instead(old: str, *new: str) -> list[str]:
    at = GOOD.index(old)
    return [*GOOD[:at], *new, *GOOD[at + 1 :]]


def test_a_good_answer_breaks_no_rule() -> None:
    assert rules(transcript(GOOD)) == set()


BAD: dict[str, tuple[list[str], str]] = {
    "no [DONE]": (without(DONE), "done"),
    "[DONE] twice": ([*GOOD, DONE], "done"),
    "something after [DONE]": ([*GOOD, ": ping"], "after [DONE]"),
    "no finish": (without(FINISH), "success"),
    "a finish twice": (instead(FINISH, FINISH, FINISH), "after a finish"),
    "an error and a finish": (instead(FINISH, FINISH, ERROR), "terminal"),
    "two errors": (instead(FINISH, ERROR, ERROR), "terminal"),
    "a chunk after an error": (instead(FINISH, ERROR, TAIL), "after an error"),
    "a delta lost": (without(TAIL), "success"),
    "the first delta lost": (without(HEAD), "output"),
    "a delta twice": (instead(TAIL, TAIL, TAIL), "output"),
    "deltas out of order": (instead(HEAD, TAIL, HEAD), "output"),
    "reasoning in the output": (instead(HEAD, chunk({"content": THOUGHT}, "final_output"), HEAD), "output"),
    "output lost altogether": (without(HEAD, TAIL, opening("final_output")), "output"),
    "another's text in the output": (
        instead(HEAD, chunk({"content": "zq03xa1i-0 "}, "final_output"), HEAD),
        "strangers",
    ),
    "another's text in the summary": (
        instead(LINE, chunk({"content": "[Reasoning Summary] I weigh zq03x"}, "reasoning_summary")),
        "strangers",
    ),
    "another's prompt": (
        instead(PROMPT, chunk({"content": "[Prompt Summary] zq03x"}, "prompt_summary")),
        "strangers",
    ),
    "a line twice": (
        instead(LINE, LINE, chunk({"content": "\nI weigh the wind"}, "reasoning_summary")),
        "summary",
    ),
    "a line of two texts": (
        instead(LINE, chunk({"content": "[Reasoning Summary] I weI weighigh"}, "reasoning_summary")),
        "summary",
    ),
    "a phase twice": (instead(TAIL, opening("final_output"), TAIL), "phases"),
    "phases out of order": ([*GOOD[6:9], *GOOD[:6], *GOOD[9:]], "phases"),
    "a chunk of another phase": (instead(LINE, LINE, TAIL), "phases"),
    "a phase that says nothing": (without(LINE), "phases"),
    "a summary without its prefix": (
        instead(PROMPT, chunk({"content": "What of zq07x"}, "prompt_summary")),
        "phases",
    ),
    "usage that was not asked for": (instead(FINISH, FINISH, 'data: {"choices": [], "usage": {}}'), "usage"),
    "raw reasoning that was not asked for": (
        instead(LINE, LINE, chunk({"reasoning_content": THOUGHT}, "reasoning_summary")),
        "reasoning",
    ),
    "an event of the upstream's": (instead(LINE, LINE, "event: thought\ndata: 1"), "framing"),
}


@pytest.mark.parametrize(("blocks", "rule"), BAD.values(), ids=BAD)
def test_a_bad_answer_breaks_its_rule(blocks: list[str], rule: str) -> None:
    assert rule in rules(transcript(blocks))


def test_output_of_two_attempts_is_found() -> None:
    other = chunk({"content": SAID[10:].replace("a1", "a2") + " "}, "final_output")
    assert "output" in rules(transcript(instead(TAIL, other)), attempt(), attempt(2))


def test_what_came_before_a_fault_must_be_delivered() -> None:
    broken = attempt(kind=Kind.CUT, said=SAID[:10])
    blocks = instead(FINISH, ERROR)
    assert rules(transcript([block for block in blocks if block != TAIL]), broken) == set()
    late = attempt(kind=Kind.CUT, said=SAID[:15])
    assert rules(transcript([block for block in blocks if block != TAIL]), late) == {"delivery"}


CUT: dict[str, tuple[dict[str, Any], set[str]]] = {
    "its end is missing": ({"ended_at": None}, {"cut off"}),
    "the client left": ({"ended_at": None, "left_at": 0.5}, set()),
    "the body ends late": ({"ended_at": 1.2}, {"end"}),
    "no status": ({"status": None}, {"no answer"}),
    "status 500": ({"status": 500}, {"refusal"}),
}


@pytest.mark.parametrize(("changes", "wanted"), CUT.values(), ids=CUT)
def test_how_an_answer_ends(changes: dict[str, Any], wanted: set[str]) -> None:
    assert rules(transcript(GOOD, **changes)) == wanted


def refused(body: str, **headers: str) -> Transcript:
    return transcript([], status=503, headers=headers, body=bytearray(body.encode()))


def test_a_refusal_is_an_error_object_and_says_when_to_come_back() -> None:
    error = '{"error": {"message": "no", "type": "server_error", "param": null, "code": "circuit_open"}}'
    assert rules(refused(error, **{"retry-after": "1"})) == set()
    assert rules(refused(error)) == {"refusal"}
    assert rules(refused("<html>", **{"retry-after": "1"})) == {"refusal"}


def gathered(content: str, lines: str = "I weigh the wind", finish: str | None = "stop") -> Transcript:
    choice = {"index": 0, "message": {"content": content}, "finish_reason": finish}
    phases = {"prompt_summary": "zq07x", "reasoning_summary": lines}
    body = bytearray(json.dumps({"choices": [choice], "phases": phases}).encode())
    return transcript([], headers={"content-type": "application/json"}, body=body)


def test_an_answer_in_one_piece_is_judged_alike() -> None:
    assert rules(gathered(SAID)) == set()
    assert rules(gathered(SAID[:-1])) == {"success"}
    assert rules(gathered(SAID, finish=None)) == {"success"}
    assert rules(gathered("")) == {"output"}
    assert rules(gathered(SAID, lines="I weigh\nI weigh")) == {"summary"}
    assert rules(gathered("zq03xa1i-0")) == {"strangers", "output"}
