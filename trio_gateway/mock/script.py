"""Steps of a mock answer: writes, and the faults that spoil them."""

from __future__ import annotations

import re
import time
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .replies import Delta, MockRequest, Reply

__all__ = ["FAULTS", "FAULT_ID", "ConnectionCutError", "sabotage", "stream", "whole"]

FAULTS = {"mute": 0, "cut": 40, "stall": 20, "malformed": 20, "drip": 0, "429": 0, "500": 0}  # tokens before
FAULT_ID = re.compile(rf"fault-({'|'.join(FAULTS)})(?:-([0-9]{{1,9}}))?")


class ConnectionCutError(Exception):
    """The fault asks for the connection to be closed in the middle of the answer."""


def sabotage(steps: Iterator[bytes], fault: str, after: int) -> Iterator[bytes]:
    """Let *after* steps pass, then do what *fault* says; an empty step means silence for ever.

    Raises:
        ConnectionCutError: where the connection is to be cut.
    """
    yield from islice(steps, after)
    match fault:
        case "cut":
            raise ConnectionCutError
        case "stall":
            yield b""
        case "malformed":
            yield b'data: {"choices": [{"index": 0, "delta": {"content": \n\n'
    yield from steps


def stream(chat: MockRequest, replies: Sequence[Reply], fault: str, after: int) -> Iterator[bytes]:
    """Write the answer as server-sent events: a step for the roles, one a token, one for the end."""
    wants_usage = (chat.stream_options or {}).get("include_usage")
    head = _head(chat, "chat.completion.chunk") | ({"usage": None} if wants_usage else {})

    def event(**body: object) -> bytes:
        return b"data: %b\n\n" % msgspec.json.encode(head | body)

    def row(deltas: Sequence[Delta | None], finish: Sequence[str] = ()) -> bytes:
        choices = (
            {"index": index, "delta": delta, "finish_reason": reason}
            for index, (delta, reason) in enumerate(zip_longest(deltas, finish))
            if delta is not None  # a shorter choice has ended
        )
        return b"".join(event(choices=[choice]) for choice in choices)

    yield row([{"role": "assistant", "content": ""}] * len(replies))
    rows = (row(deltas) for deltas in zip_longest(*(reply.deltas for reply in replies)))
    yield from sabotage(rows, fault, after)
    end = row([{}] * len(replies), [reply.finish_reason for reply in replies])
    usage = event(choices=[], usage=_usage(chat, replies)) if wants_usage else b""
    yield end + usage + b"data: [DONE]\n\n"


def whole(chat: MockRequest, replies: Sequence[Reply], fault: str) -> Iterator[bytes]:
    """Write the answer as one object in one step; a fault strikes before it."""
    choices = [
        {"index": index, "message": reply.message, "finish_reason": reply.finish_reason}
        for index, reply in enumerate(replies)
    ]
    body = _head(chat, "chat.completion") | {"choices": choices, "usage": _usage(chat, replies)}
    return sabotage(iter((msgspec.json.encode(body),)), fault, after=0)


def _head(chat: MockRequest, kind: str) -> dict[str, Any]:
    identity = f"chatcmpl-{uuid4().hex}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": chat.model}


def _usage(chat: MockRequest, replies: Sequence[Reply]) -> dict[str, Any]:
    prompt = sum(len(message.text.split()) for message in chat.messages)
    completion = sum(len(reply.deltas) for reply in replies)
    reasoning = sum(reply.reasoning_tokens for reply in replies)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
