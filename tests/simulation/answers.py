"""What a model says: its thoughts and its answer, made so that every piece can be traced to its attempt.

A word of an answer is its tag and a number: ``zq07xb1-3`` is word 3 of what upstream b answered to request
zq07x at its first attempt. A thought is a sentence with the request's nonce in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.plan import Asked, Style

__all__ = ["VOCABULARY", "Answer", "Choice", "Event", "draw_answer", "line_event", "thought_event"]

_WAYS = ("check", "compare", "measure", "weigh", "look at", "question")
_THINGS = (
    "the tide tables",
    "the second estimate",
    "the cost of steel",
    "the oldest record",
    "the wind",
    "that rule",
)
_REASONS = ("", " because the numbers do not agree", " before going on", ", which nobody has done", " twice")
_AGAIN = " And again."
_TELLING = "I of to weighing checking comparing measuring looking questioning for time"
VOCABULARY = frozenset(re.findall(r"\w+", " ".join((*_WAYS, *_THINGS, *_REASONS, _AGAIN, _TELLING)).lower()))
"""Every word of thoughts and of the lines about them, in small letters, but for nonces and numbers."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of an answer, as it should reach a client."""

    reasoning: str
    output: str
    finish: str


@dataclass(frozen=True, slots=True)
class Event:
    """One SSE event of an answer, and how far its choice has come with it."""

    data: str
    index: int | None
    said: int = 0
    """Characters of the choice's output."""
    thinks: bool = False
    """The choice is in the middle of its reasoning."""
    finishes: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer and the events it comes in, without ``[DONE]``."""

    choices: tuple[Choice, ...] = ()
    events: tuple[Event, ...] = ()
    whole: str = "{}"
    """The same as one JSON object."""


def draw_answer(
    thoughts: Random, words: Random, asked: Asked, tag: str, style: Style, *, usage: bool, thinks: bool
) -> Answer:
    """An answer to *asked*. *thoughts* is the same for each attempt, so that they think alike."""
    if not thinks:
        style = "field"
    choices = tuple(
        _choice(thoughts, words, asked, tag, index, thinks=thinks, must=style == "open")
        for index in range(asked.choices)
    )
    rows = [_events(words, index, choice, style) for index, choice in enumerate(choices)]
    events: list[Event] = []
    while rows:  # choices come interleaved, each in its own order
        row = words.choice(rows)
        events.append(row.pop(0))
        rows = [row for row in rows if row]
    if usage:
        counts = {"prompt_tokens": 3, "completion_tokens": len(events)}
        events.append(Event(_chunk([], usage=counts), None))
    return Answer(choices, tuple(events), _whole(choices, style))


def line_event(nonce: str, number: int) -> Event:
    """What a model that summarises says."""
    delta = {"content": f"Weighing {nonce} for the time {number}"}
    return Event(_chunk([{"index": 0, "delta": delta, "finish_reason": "stop"}]), None)


def _choice(
    thoughts: Random, words: Random, asked: Asked, tag: str, index: int, *, thinks: bool, must: bool
) -> Choice:
    count = thoughts.choice((1 if must else 0, 1, 3, 8)) if thinks else 0
    shown = tag if asked.raw else asked.nonce
    sentences = [
        f"I {thoughts.choice(_WAYS)} {thoughts.choice(_THINGS)} of {shown}{thoughts.choice(_REASONS)}."
        for _ in range(count)
    ]
    joint = thoughts.choice((" ", "\n"))
    length = words.choice((1, 1, 5, 30, 30, 200))
    spoken = [f"{tag}{'ij'[index]}-{number}" for number in range(length)]
    output = words.choice((" ", ", ", "\n", " – ")).join(spoken)
    return Choice(joint.join(sentences), output, words.choice(("stop", "stop", "length")))


def _events(rng: Random, index: int, choice: Choice, style: Style) -> list[Event]:
    events = [_event(index, {"role": "assistant"})] if rng.random() < 0.5 else []
    text, before, thinking = choice.output, 0, range(0)
    if style == "field":
        name = rng.choice(("reasoning_content", "reasoning"))
        events += [_event(index, {name: piece}, thinks=True) for piece in _pieces(rng, choice.reasoning)]
    elif choice.reasoning:
        text = _marked(choice, style)
        start = text.index(choice.reasoning)
        before, thinking = len(text) - len(choice.output), range(start + 1, start + len(choice.reasoning) + 1)
    done = 0
    for piece in _pieces(rng, text):
        done += len(piece)
        events.append(_event(index, {"content": piece}, max(0, done - before), thinks=done in thinking))
    end = _chunk([{"index": index, "delta": {}, "finish_reason": choice.finish}])
    return [*events, Event(end, index, len(choice.output), finishes=True)]


def _marked(choice: Choice, style: Style) -> str:
    if style == "open":
        return f"{choice.reasoning}</think>\n\n{choice.output}"
    return f"<think>\n{choice.reasoning}\n</think>\n\n{choice.output}" if choice.reasoning else choice.output


def _pieces(rng: Random, text: str) -> list[str]:
    most = rng.choice((3, 20, 200)) if len(text) < 2000 else 200
    pieces = []
    while text:
        size = rng.randint(1, most)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def _event(index: int, delta: dict[str, str], said: int = 0, *, thinks: bool = False) -> Event:
    return Event(_chunk([{"index": index, "delta": delta, "finish_reason": None}]), index, said, thinks)


def thought_event(index: int, style: Style) -> Event:
    """One more piece of reasoning."""
    return _event(index, {"reasoning_content" if style == "field" else "content": _AGAIN})


def _chunk(choices: list[dict[str, Any]], **more: object) -> str:
    return json.dumps({"object": "chat.completion.chunk", "choices": choices, **more}, ensure_ascii=False)


def _whole(choices: tuple[Choice, ...], style: Style) -> str:
    told = []
    for index, choice in enumerate(choices):
        message = {"role": "assistant", "content": choice.output}
        if style == "field":
            message["reasoning_content"] = choice.reasoning
        else:
            message["content"] = _marked(choice, style)
        told.append({"index": index, "message": message, "finish_reason": choice.finish})
    return json.dumps({"object": "chat.completion", "choices": told}, ensure_ascii=False)
