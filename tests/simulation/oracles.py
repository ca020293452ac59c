"""What must be true of every answer, as its client saw it, whatever upstreams and clients did.

Each rule is checked from the bytes alone, by code that shares nothing with the gateway's own. A violation is
one line of text; the part before its first colon names the rule.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.simulation.answers import VOCABULARY
from tests.simulation.behaviour import Kind
from tests.simulation.seen import Seen, taken_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulation.records import Attempt, Transcript

__all__ = ["check_answer"]

_PHASES = ("prompt_summary", "reasoning_summary", "final_output")
_PREFIXES = {"prompt_summary": "[Prompt Summary] ", "reasoning_summary": "[Reasoning Summary] "}
_NONCE = re.compile(r"zq\d\d[xy]")
_TAG = re.compile(r"(zq\d\d[xy][abc]\d+)[^\d]")
# What is a word, but for nonces and numbers.
_WORD = re.compile(r"\b(?!zq?(?:\d|\b))[a-zA-Z]\w*")
# Seconds between [DONE] and the end of the body: what an upstream gets to end its own, and a little.
_AFTER_DONE = 0.15
# Kinds that end with everything sent having arrived, unless the gateway itself ends the attempt.
_DELIVERED = (Kind.CUT, Kind.STALL, Kind.TOLD, Kind.GARBAGE)
_CUT_BY_GATEWAY = {"shutting_down", "deadline", "circuit_open", "reasoning_limit"}


def check_answer(transcript: Transcript, attempts: Sequence[Attempt], *, drained: bool) -> list[str]:
    """The violations in one answer; *attempts* are all there were for its request.

    *drained*: the gateway was told to stop at some time while the request was under way.
    """
    who = transcript.asked.nonce
    return [f"{rule} ({who})" for rule in _violations(transcript, attempts, drained=drained)]


def _violations(transcript: Transcript, attempts: Sequence[Attempt], *, drained: bool) -> Iterator[str]:
    gone = transcript.left_at is not None
    if transcript.status is None:
        if transcript.sent_at is not None and not (gone or drained or transcript.slow):
            yield "no answer: the client waited and got nothing"
        return
    whole = transcript.ended_at is not None
    if not (whole or gone or transcript.slow):
        yield "cut off: the answer has no end, and its client had not left"
    if transcript.status != 200:
        yield from _refusal(transcript, whole=whole)
    elif transcript.headers.get("content-type", "").startswith("text/event-stream"):
        seen = taken_apart(bytes(transcript.body), whole=whole)
        yield from seen.wrong
        yield from _stream(transcript, seen, whole=whole)
        yield from _contents(transcript, seen, attempts, succeeded=whole and not seen.errors)
    elif whole:
        yield from _gathered(transcript, attempts)


def _refusal(transcript: Transcript, *, whole: bool) -> Iterator[str]:
    if not whole:
        return
    try:
        error = json.loads(transcript.body)["error"]
        fine = set(error) == {"message", "type", "param", "code"} and transcript.status >= 400  # type: ignore[operator]
    except (ValueError, KeyError, TypeError):
        fine = False
    if not fine:
        yield f"refusal: status {transcript.status} with {bytes(transcript.body[:80])!r}"
    if transcript.status in {429, 503} and "retry-after" not in transcript.headers:
        yield f"refusal: status {transcript.status} without Retry-After"
    if transcript.status == 500:
        yield "refusal: status 500, which is a mistake of the gateway's"


def _stream(transcript: Transcript, seen: Seen, *, whole: bool) -> Iterator[str]:
    if seen.phases != [phase for phase in _PHASES if phase in seen.phases]:
        yield f"phases: {seen.phases}"
    for phase, text in seen.told.items():
        if not text.startswith(_PREFIXES.get(phase, "?")):
            yield f"phases: {phase} begins with {text[:30]!r}"
    if len(seen.errors) > 1 or len(seen.finished) > transcript.asked.choices:
        yield f"terminal: {len(seen.errors)} errors and finishes of {seen.finished}"
    if seen.errors and len(seen.finished) == transcript.asked.choices:
        yield "terminal: an error although every choice is finished"
    if any(error.get("code") == "internal_error" for error in seen.errors):
        yield "mistake: internal_error"
    if seen.usages and not transcript.asked.usage:
        yield "usage: not asked for"
    if whole and seen.done != 1:
        yield f"done: {seen.done} times"
    if transcript.done_at is not None and transcript.ended_at is not None and not transcript.slow:
        late = transcript.ended_at - transcript.done_at
        if late > _AFTER_DONE:
            yield f"end: the body ended {late:.3f} s after [DONE]"
    if whole and not transcript.slow:
        empty = [phase for phase in seen.phases if not (seen.told.get(phase) or phase == "final_output")]
        if empty and not (empty == ["reasoning_summary"] and seen.reasoning):
            yield f"phases: {empty} said nothing"
        if "final_output" in seen.phases and not (seen.output or seen.reasoning):
            yield "phases: final_output said nothing"


def _contents(
    transcript: Transcript, seen: Seen, attempts: Sequence[Attempt], *, succeeded: bool
) -> Iterator[str]:
    yield from _summaries(
        transcript, seen.told.get("reasoning_summary", "").removeprefix(_PREFIXES["reasoning_summary"])
    )
    yield from _strangers(transcript, [*seen.told.values(), *seen.output.values(), *seen.reasoning.values()])
    yield from _faithful(transcript, seen, attempts, succeeded=succeeded)


def _faithful(
    transcript: Transcript, seen: Seen, attempts: Sequence[Attempt], *, succeeded: bool
) -> Iterator[str]:
    """Output and reasoning are one attempt's, and all of it where it was a success."""
    texts = [*seen.output.values(), *seen.reasoning.values()]
    tags = {tag for text in texts for tag in _TAG.findall(text)}
    of = [attempt for attempt in attempts if attempt.tag in tags]
    if len(tags) > 1 or len(of) < len(tags):
        yield f"output: of {sorted(tags)}, where there were {[attempt.tag for attempt in attempts]}"
    elif any(texts):
        # What is too short to tell whose it is may be anybody's for whom all is well.
        judged = [list(_judged(transcript, seen, each, succeeded=succeeded)) for each in of or attempts]
        yield from min(judged, key=len, default=("output: nobody's",))
    elif succeeded and not any(_may_be_silent(attempt) for attempt in attempts):
        yield "output: none, and yet a success"


def _judged(transcript: Transcript, seen: Seen, attempt: Attempt, *, succeeded: bool) -> Iterator[str]:
    yield from _prefixes(transcript, seen, attempt)
    if succeeded:
        yield from _completeness(seen, attempt)
    else:
        yield from _delivery(seen, attempt)


def _prefixes(transcript: Transcript, seen: Seen, attempt: Attempt) -> Iterator[str]:
    for index, text in seen.output.items():
        wanted = attempt.answer.choices[index].output
        if not (wanted.startswith(text) or _is_tag(text)):
            yield f"output: choice {index} is no beginning of what {attempt.tag} said: {_differs(text, wanted)}"
    for index, text in seen.reasoning.items():
        wanted = attempt.answer.choices[index].reasoning
        ways = [wanted + end for end in ("\n</think>", "</think>")]  # a tag that was cut in two is text
        if attempt.kind is not Kind.ENDLESS and not any(way.startswith(text) for way in ways):
            yield f"reasoning: choice {index} is no beginning of {attempt.tag}'s: {_differs(text, wanted)}"
        if not transcript.asked.raw:
            yield "reasoning: shown to a client that did not ask for it"


def _completeness(seen: Seen, attempt: Attempt) -> Iterator[str]:
    yield from _lacks("success", seen, attempt)
    if set(seen.finished) != attempt.finished:
        yield f"success: finishes of {sorted(seen.finished)}, {attempt.tag} sent {sorted(attempt.finished)}"


def _delivery(seen: Seen, attempt: Attempt) -> Iterator[str]:
    """An attempt that broke in its final output: what had come before must have been delivered."""
    if not seen.errors or attempt.kind not in _DELIVERED or seen.errors[0]["code"] in _CUT_BY_GATEWAY:
        return
    yield from _lacks("delivery", seen, attempt)


def _lacks(rule: str, seen: Seen, attempt: Attempt) -> Iterator[str]:
    for index, said in attempt.said.items():
        text = seen.output.get(index, "")
        if not _same(text, said):
            yield f"{rule}: choice {index} of {attempt.tag} has {text[-40:]!r} and not {said[-40:]!r}"


def _gathered(transcript: Transcript, attempts: Sequence[Attempt]) -> Iterator[str]:
    completion = json.loads(transcript.body)
    output = {choice["index"]: choice["message"]["content"] or "" for choice in completion["choices"]}
    finished = [choice["index"] for choice in completion["choices"] if choice["finish_reason"] is not None]
    lines = completion["phases"]["reasoning_summary"] or ""
    yield from _summaries(transcript, lines)
    yield from _strangers(transcript, [lines, completion["phases"]["prompt_summary"] or "", *output.values()])
    seen = Seen(output=output, finished=finished)
    if transcript.asked.raw:
        messages = {choice["index"]: choice["message"] for choice in completion["choices"]}
        seen.reasoning = {index: each.get("reasoning_content", "") for index, each in messages.items()}
    yield from _faithful(transcript, seen, attempts, succeeded=True)


def _summaries(transcript: Transcript, text: str) -> Iterator[str]:
    lines = text.split("\n") if text else []
    if len(set(lines)) < len(lines):
        yield f"summary: a line twice: {next(line for line in lines if lines.count(line) > 1)!r}"
    if any(not line.strip() for line in lines):
        yield "summary: an empty line"
    # Where a text breaks off, so may a word.
    garbled = [
        word
        for word in _WORD.findall(text)
        if not any(known.startswith(word.lower()) for known in VOCABULARY)
    ]
    if garbled:
        yield f"summary: {garbled[0]!r} is no word of the reasoning: {text[:60]!r}"


def _strangers(transcript: Transcript, texts: Sequence[str]) -> Iterator[str]:
    strangers = {nonce for text in texts for nonce in _NONCE.findall(text)} - {transcript.asked.nonce}
    if strangers:
        yield f"strangers: texts of {sorted(strangers)}"


def _same(text: str, said: str) -> bool:
    """Up to what is undecided where a text ends: whitespace, or the half of a tag, which is text after all."""
    return text.rstrip() == said.rstrip() or (not said and _is_tag(text))


def _is_tag(text: str) -> bool:
    return "<think>".startswith(text)


def _may_be_silent(attempt: Attempt) -> bool:
    """Whether it can be a success without output: it thought, and ended before it spoke."""
    return attempt.kind in {Kind.DONE_EARLY, Kind.ENDLESS} and not any(attempt.said.values())


def _differs(text: str, wanted: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(text, wanted, strict=False)) if a != b), len(wanted))
    return f"at {at} it says {text[at : at + 40]!r} instead of {wanted[at : at + 40]!r}"
