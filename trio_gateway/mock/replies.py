"""Replies of the mock model: write a family's answer, cut into deltas."""

from __future__ import annotations

import re
from itertools import cycle, islice, pairwise
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4
from zlib import crc32

import msgspec
from msgspec import Meta, Struct

from .thoughts import CANNED, GENERIC, TOOL_CALL, TOOL_RESULT, Thought

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .options import Options

__all__ = ["FAMILIES", "MARKER", "Delta", "MockMessage", "MockRequest", "Reply", "compose", "tokenize"]

Delta = dict[str, Any]

FAMILIES = {  # model id → field of the delta → the text it carries
    "mock-think": {"content": "<think>\n{reasoning}\n</think>\n\n{answer}"},
    "mock-implied": {"content": "{reasoning}\n</think>\n\n{answer}"},
    "mock-field": {"reasoning_content": "{reasoning}", "content": "{answer}"},
    "mock-harmony": {
        "content": "<|channel|>analysis<|message|>{reasoning}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
    },
    "mock-prose": {"content": "Let me think about this. {reasoning}\n\nTherefore, {conclusion}"},
    "mock-plain": {"content": "{answer}"},
    "mock-tools": {"content": "<think>\n{reasoning}\n</think>\n\n{answer}"},
}
MARKER = re.compile(r"(</?think>|<\|\w+\|>)")
WORD = re.compile(r"\s?\S+|\s")


class MockMessage(Struct):
    """One message of the conversation, as far as the mock reads it."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class MockRequest(Struct):
    """The fields of a request that the mock obeys; all others are ignored."""

    messages: Annotated[list[MockMessage], Meta(min_length=1)]
    model: str = "default"
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: Annotated[int, Meta(ge=1, le=8)] | None = None
    tools: list[dict[str, Any]] | None = None


class Reply(Struct, frozen=True):
    """One choice of an answer: its message, and the same as deltas, one a token."""

    message: dict[str, Any]
    deltas: list[Delta]
    finish_reason: str
    reasoning_tokens: int


def tokenize(text: str, options: Options) -> list[str]:
    """Cut *text* into the pieces that the deltas carry, none of them empty."""
    if options.chunk_size:
        starts = list(range(0, len(text), options.chunk_size))
    else:
        starts = sorted({0, *_word_starts(text, split_markers=options.split_markers)})
    return [text[start:end] for start, end in pairwise([*starts, len(text)]) if start < end]


def _word_starts(text: str, *, split_markers: bool) -> Iterator[int]:
    """Yield where tokens begin. A split marker shares its first and last character with its neighbours."""
    position = 0
    for number, part in enumerate(MARKER.split(text)):  # odd parts are the markers
        end = position + len(part)
        if number % 2:
            yield from (position + 1, (position + end) // 2, end - 1) if split_markers else (position,)
        else:
            words = [position + word.start() for word in WORD.finditer(part)]
            yield from words[1:] if split_markers and number else words
        position = end


def choose_thought(chat: MockRequest, options: Options) -> Thought:
    """Find an answer: by trace number, by prompt among the traces, by keyword, or the generic one."""
    prompt = next((message.text for message in reversed(chat.messages) if message.role == "user"), "")
    if options.traces:
        numbered = {f"trace-{number}": trace for number, trace in enumerate(options.traces)}
        some = options.traces[crc32(prompt.encode()) % len(options.traces)]
        asked = next((trace for trace in options.traces if trace.prompt == prompt), some)
        return numbered.get(chat.model, asked)
    found = (thought for pattern, thought in CANNED.items() if pattern.search(prompt))
    return next(found, None) or _quoting(GENERIC, prompt)


def _quoting(thought: Thought, text: str) -> Thought:
    """Put the first words of *text* into *thought*, without what a marker is made of."""
    quote = " ".join(re.sub(r"[<>|]", "", text).split()[:8])
    return Thought(thought.reasoning.format(quote=quote), thought.answer.format(quote=quote))


def compose(chat: MockRequest, options: Options, index: int) -> Reply:
    """Write choice *index* of the answer to *chat*; the choices differ in their last words."""
    thought, calls, last = choose_thought(chat, options), list[Delta](), chat.messages[-1]
    if chat.model == "mock-tools" and last.role == "tool":
        thought = _quoting(TOOL_RESULT, last.text)
    elif chat.model == "mock-tools" and chat.tools:
        thought, calls = _quoting(TOOL_CALL, last.text), [_call(chat.tools[0], last.text)]
    reasoning, answer = thought.reasoning, thought.answer + (f" (choice {index})" if index else "")
    if options.think_seconds:
        enough = round(options.think_seconds * options.tokens_per_second)
        reasoning = "".join(islice(cycle(tokenize(f" {reasoning}", options)), enough)).lstrip()
    # "Therefore, the answer", but "Therefore, I" and "Therefore, DNA" keep their capital.
    conclusion = answer[:1].lower() + answer[1:] if answer[1:2].islower() else answer
    family = FAMILIES.get(chat.model, FAMILIES["mock-think"])
    texts = {
        field: form.format(reasoning=reasoning, answer=answer, conclusion=conclusion)
        for field, form in family.items()
    }
    tokens: list[Delta] = [{field: token} for field in texts for token in tokenize(texts[field], options)]
    return Reply(
        {"role": "assistant", **texts} | ({"tool_calls": calls} if calls else {}),
        tokens + [delta for call in calls for delta in _call_deltas(call)],
        "tool_calls" if calls else "stop",
        len(tokens) - len(tokenize(answer, options)),
    )


def _call(tool: dict[str, Any], prompt: str) -> dict[str, Any]:
    """Call *tool*, every parameter set to the prompt."""
    function = tool.get("function", {})
    arguments = dict.fromkeys(function.get("parameters", {}).get("properties", {}), prompt)
    called = {"name": function.get("name", "tool"), "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": f"call_{uuid4().hex}", "type": "function", "function": called}


def _call_deltas(call: dict[str, Any]) -> list[Delta]:
    """Cut *call* into deltas: its name, then its arguments, cut anywhere."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    head = {"index": 0, **call, "function": {"name": name, "arguments": ""}}
    pieces = (arguments[start : start + 7] for start in range(0, len(arguments), 7))
    tail = ({"index": 0, "function": {"arguments": piece}} for piece in pieces)
    return [{"tool_calls": [part]} for part in (head, *tail)]
