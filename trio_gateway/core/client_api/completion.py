"""Events to one ``chat.completion`` object, for clients that asked for an answer in one piece.

Everything is appended as it comes and written at the end, both in time linear in the answer's length.
"""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING, Any, cast

from ..events import (
    ChunkFields,
    Event,
    Failure,
    Finish,
    OutputDelta,
    OutputExtra,
    PromptSummary,
    ReasoningDelta,
    ReasoningLine,
    Restart,
    Retraction,
    Usage,
)
from ..json.logprobs import HeldLogprobs
from ..json.merging import Merged, NumberedList
from ..json.slices import json_parts
from ..phases import Phase
from ..text.growing import GrowingText
from .frames import PARAGRAPH, PREFIXES, ChunkHead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CompletionBuilder"]


class CompletionBuilder:
    """Gathers the events of one answer.

    ``failure`` is set when the answer did not become whole.

    *show_reasoning*: the client asked for the reasoning itself.
    """

    def __init__(self, head: ChunkHead, *, show_reasoning: bool = False) -> None:
        self._head = head
        self._show_reasoning = show_reasoning
        self._prompt: list[str] = []
        self._reasoning: list[str] = []
        self._choices: dict[int, _Gathered] = {}
        self._usage: dict[str, Any] | None = None
        self._fields: dict[str, Any] = {}
        self.failure: Failure | None = None

    def add(self, events: Iterable[Event]) -> None:
        """Take a batch. Events that only matter to a stream are passed over."""
        for event in events:
            match event:
                case PromptSummary(text):
                    self._prompt.append(text)
                case ReasoningLine(text):
                    self._reasoning.append(text)
                case ReasoningDelta(index, text):
                    if self._show_reasoning:
                        self._choice(index).reasoning.append(text)
                case Retraction(index, length):
                    if self._show_reasoning:
                        self._choice(index).reasoning.cut(length)
                case Restart():
                    self._choices.clear()
                    self._fields.clear()
                case OutputDelta(index, text, logprobs):
                    choice = self._choice(index)
                    choice.text.append(text)
                    choice.logprobs.add(logprobs)
                case OutputExtra(index, delta, logprobs):
                    choice = self._choice(index)
                    choice.fields.add(delta)
                    choice.logprobs.add(logprobs)
                case ChunkFields(fields):
                    self._fields |= fields
                case Finish(index, reason):
                    self._choice(index).finish_reason = reason
                case Usage(usage):
                    self._usage = usage
                case Failure():
                    self.failure = event

    def completion(self) -> dict[str, Any]:
        """The finished object; see :meth:`parts`."""
        return cast("dict[str, Any]", loads("".join(self.parts())))

    def parts(self) -> Iterator[str]:
        """The JSON text of the finished object; each part takes a bounded amount of work.

        The reasoning fields hold what a stream of the format ``openai`` would have put there: the summaries,
        which stand apart, without their prefixes, under ``phases`` as well.
        Where the reasoning itself was asked for, ``reasoning_content`` is that and nothing else.
        """
        prompt, reasoning = "\n".join(self._prompt), "\n".join(self._reasoning)
        summaries = PARAGRAPH.join(
            PREFIXES[phase] + text
            for phase, text in ((Phase.PROMPT_SUMMARY, prompt), (Phase.REASONING_SUMMARY, reasoning))
            if text
        )
        choices = self._choices or {0: _Gathered()}
        completion: dict[str, Any] = {
            "id": self._head.id,
            "object": "chat.completion",
            "created": self._head.created,
            "model": self._head.model,
            "choices": [self._written(index, choices[index], summaries) for index in sorted(choices)],
            **self._fields,
        }
        if self._usage is not None:
            completion["usage"] = self._usage
        completion["phases"] = {"prompt_summary": prompt or None, "reasoning_summary": reasoning or None}
        return json_parts(completion)

    def _written(self, index: int, choice: _Gathered, summaries: str) -> dict[str, Any]:
        summaries = summaries if index == 0 else ""  # as in a stream: there is one summary for all choices
        reasoning = choice.reasoning if self._show_reasoning else GrowingText(summaries)
        return choice.written(index, {"reasoning_content": reasoning, "reasoning": GrowingText(summaries)})

    def _choice(self, index: int) -> _Gathered:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Gathered()
        return choice


class _Gathered:
    """One choice: a message put together from its deltas."""

    __slots__ = ("fields", "finish_reason", "logprobs", "reasoning", "text")

    def __init__(self) -> None:
        self.text = GrowingText()
        self.reasoning = GrowingText()
        self.fields = Merged()
        """Everything else of the message."""
        self.logprobs = HeldLogprobs()
        self.finish_reason: str | None = None

    def written(self, index: int, reasoning: dict[str, GrowingText]) -> dict[str, Any]:
        """The choice, in which growing values stand for JSON values."""
        fields = self.fields.value
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.text if self.text or not fields else None,
        }
        message |= {name: text for name, text in reasoning.items() if text}
        message |= fields
        if isinstance(calls := message.get("tool_calls"), NumberedList):
            calls.shows_index = False
        choice: dict[str, Any] = {"index": index, "message": message}
        if self.logprobs:
            choice["logprobs"] = self.logprobs.take()
        return {**choice, "finish_reason": self.finish_reason}
