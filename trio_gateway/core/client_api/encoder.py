"""Encoder base: turns events into chunks, and keeps the order of phases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from json import dumps
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any, assert_never

from ..events import (
    ChunkFields,
    Done,
    Event,
    Failure,
    Finish,
    OutputDelta,
    OutputExtra,
    Ping,
    PromptSummary,
    ReasoningDelta,
    ReasoningExtra,
    ReasoningLine,
    Restart,
    Retraction,
    Usage,
)
from ..json.slices import json_parts
from ..phases import Phase, PhaseOrder
from .frames import DONE_FRAME, PING, ChunkHead, Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Choice", "Encoder", "choice_of", "error_object"]

Choice = dict[str, Any]


class Encoder(ABC):
    """Writes one answer.

    Feed it every event in order; it keeps the order of phases itself.

    *show_reasoning*: the client asked for the reasoning itself.
    """

    def __init__(
        self, head: ChunkHead, *, request_id: str, include_usage: bool, show_reasoning: bool = False
    ) -> None:
        self._head = head.fields()
        self._request_id = request_id
        self._include_usage = include_usage
        self._show_reasoning = show_reasoning
        self._order = PhaseOrder()
        self._role_sent = False
        self._put_off: list[dict[str, Any]] | None = None  # chunks that are written later
        self._fields: dict[str, Any] = {}  # facts that the next chunk of the output bears
        # The usual delta is written from these two halves: building and dumping a dict for each token
        # costs four times as much (measured on CPython 3.11: 5.1 µs against 1.2 µs).
        start = dumps({**self._head, "choices": [{"index": 0, "delta": {"content": ""}}]}, ensure_ascii=False)
        self._output_start = start[: -len('""}}]}')]
        self._output_end = '}, "finish_reason": null}], "phase": "final_output"}'

    def encode(self, events: Iterable[Event]) -> list[Frame]:
        """All frames of a batch.

        Raises:
            PhaseOrderError: the events come in an order that no client may see (a bug of ours).
        """
        frames: list[Frame] = []
        for event in events:
            match event:
                case OutputDelta(0, text, None) if (
                    self._order.current is Phase.FINAL_OUTPUT and not self._fields
                ):
                    frames.append(("message", self._output_start + quote(text) + self._output_end))
                case OutputDelta(index, text, logprobs):
                    self._say(frames, Phase.FINAL_OUTPUT, index, {"content": text}, logprobs)
                case OutputExtra(index, delta, logprobs):
                    self._say(frames, Phase.FINAL_OUTPUT, index, delta, logprobs)
                case PromptSummary(text):
                    self._summary(frames, Phase.PROMPT_SUMMARY, text)
                case ReasoningLine(text):
                    self._summary(frames, Phase.REASONING_SUMMARY, text)
                case ReasoningDelta(index, text):
                    if self._show_reasoning:
                        self._reasoning(frames, index, {"reasoning_content": text})
                case ReasoningExtra(index, delta):
                    if self._show_reasoning:
                        self._reasoning(frames, index, delta)
                case Retraction() | Restart():
                    pass  # what was shown stays shown
                case ChunkFields(fields):
                    self._fields |= fields
                case Finish(index, reason, delta):
                    self._end(frames, [choice_of(index, delta, finish_reason=reason)])
                case Usage(usage):
                    if self._include_usage:
                        self._end(frames, [], usage=usage)
                case Failure():
                    self._fail(frames, event)
                case Done():
                    frames.append(DONE_FRAME)
                case Ping():
                    frames.append(PING)
                case _:
                    assert_never(event)
        return frames

    def encode_large(self, events: Iterable[Event]) -> Iterator[tuple[str, Iterator[str]]]:
        """The frames of a batch, their data in parts that take a bounded amount of work each.

        Raises:
            PhaseOrderError: as ``encode``.
        """
        self._put_off = []
        frames = self.encode(events)
        chunks, self._put_off = iter(self._put_off), None
        for name, data in frames:
            yield name, iter((data,)) if data else json_parts(next(chunks))

    @abstractmethod
    def _say(
        self,
        frames: list[Frame],
        phase: Phase,
        index: int,
        delta: dict[str, Any],
        logprobs: object | None = None,
    ) -> None:
        """A chunk of *phase*, with whatever has to stand before it."""

    @abstractmethod
    def _summary(self, frames: list[Frame], phase: Phase, line: str) -> None:
        """One line of the summary that *phase* is made of."""

    @abstractmethod
    def _end(self, frames: list[Frame], choices: list[Choice], **more: object) -> None:
        """A chunk that comes after all text: a finish reason, or token counts."""

    @abstractmethod
    def _fail(self, frames: list[Frame], failure: Failure) -> None:
        """The honest ending."""

    def _reasoning(self, frames: list[Frame], index: int, delta: dict[str, Any]) -> None:
        self._say(frames, self._order.late(Phase.REASONING_SUMMARY), index, delta)

    def _failure(self, failure: Failure) -> dict[str, Any]:
        """A chunk that OpenAI's own clients take for an error (they look at its key ``error``)."""
        error_fields = error_object(failure, self._request_id)
        return {"error": error_fields, **self._head, "choices": [choice_of(0, {}, finish_reason="error")]}

    def _chunk(self, choices: list[Choice], **more: object) -> Frame:
        if self._fields and more.get("phase", Phase.FINAL_OUTPUT) is Phase.FINAL_OUTPUT:
            more, self._fields = {**self._fields, **more}, {}
        chunk = {**self._head, "choices": choices, **more}
        if self._put_off is not None:
            self._put_off.append(chunk)
            return "message", ""
        return "message", dumps(chunk, ensure_ascii=False)


def error_object(failure: Failure, request_id: str) -> dict[str, Any]:
    """OpenAI's error object, with what over HTTP the status line and the headers would tell."""
    error = failure.error
    error_fields: dict[str, Any] = {
        **error.body()["error"],
        "status": error.status,
        "phase": failure.phase,
        "request_id": request_id,
    }
    if error.retry_after is not None:
        error_fields["retry_after"] = error.retry_after
    return error_fields


def choice_of(
    index: int, delta: dict[str, Any], *, logprobs: object | None = None, finish_reason: str | None = None
) -> Choice:
    """A chunk's choice, keys in OpenAI's order; ``logprobs`` only where there are any."""
    choice: Choice = {"index": index, "delta": delta}
    if logprobs is not None:
        choice["logprobs"] = logprobs
    choice["finish_reason"] = finish_reason
    return choice
