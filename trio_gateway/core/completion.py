"""Events to one ``chat.completion`` object, for clients that asked for an answer in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .encoder import PARAGRAPH, PREFIXES, ChunkHead
from .events import (
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
from .phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CompletionBuilder"]


class CompletionBuilder:
    """Gathers the events of one answer. ``failure`` is set when the answer did not become whole.

    *show_reasoning*: the client asked for the reasoning itself.
    """

    def __init__(self, head: ChunkHead, *, show_reasoning: bool = False) -> None:
        self._head = head
        self._show_reasoning = show_reasoning
        self._prompt: list[str] = []
        self._reasoning: list[str] = []
        self._choices: dict[int, _Gathered] = {}
        self._usage: dict[str, Any] | None = None
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
                    self._choice(index).reasoning += text
                case Retraction(index, length):
                    choice = self._choice(index)
                    choice.reasoning = choice.reasoning[: len(choice.reasoning) - length]
                case Restart():
                    self._choices.clear()
                case OutputDelta(index, text, logprobs):
                    self._choice(index).add({"content": text}, logprobs)
                case OutputExtra(index, delta, logprobs):
                    self._choice(index).add(delta, logprobs)
                case Finish(index, reason):
                    self._choice(index).finish_reason = reason
                case Usage(usage):
                    self._usage = usage
                case Failure():
                    self.failure = event

    def completion(self) -> dict[str, Any]:
        """The finished object.

        The reasoning fields hold what a stream of the format ``openai`` would have put there: the summaries,
        which stand apart, without their prefixes, under ``phases`` as well.
        Where the reasoning itself was asked for, ``reasoning_content`` is that and nothing else.
        """
        prompt, reasoning = "\n".join(self._prompt), "\n".join(self._reasoning)
        told = [
            PREFIXES[phase] + text
            for phase, text in ((Phase.PROMPT_SUMMARY, prompt), (Phase.REASONING_SUMMARY, reasoning))
            if text
        ]
        summaries = PARAGRAPH.join(told)
        choices = self._choices or {0: _Gathered()}
        completion: dict[str, Any] = {
            "id": self._head.id,
            "object": "chat.completion",
            "created": self._head.created,
            "model": self._head.model,
            "choices": [self._told(index, choices[index], summaries) for index in sorted(choices)],
        }
        if self._usage is not None:
            completion["usage"] = self._usage
        completion["phases"] = {"prompt_summary": prompt or None, "reasoning_summary": reasoning or None}
        return completion

    def _told(self, index: int, choice: _Gathered, summaries: str) -> dict[str, Any]:
        summaries = summaries if index == 0 else ""  # as in a stream: there is one summary for all choices
        reasoning = choice.reasoning if self._show_reasoning else summaries
        return choice.choice(index, {"reasoning_content": reasoning, "reasoning": summaries})

    def _choice(self, index: int) -> _Gathered:
        return self._choices.setdefault(index, _Gathered())


class _Gathered:
    """One choice: a message put together from its deltas."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._fields: dict[str, Any] = {}
        self._logprobs: object | None = None
        self.reasoning = ""
        self.finish_reason: str | None = None

    def add(self, delta: dict[str, Any], logprobs: object) -> None:
        for key, value in delta.items():
            if key == "content":
                self._text.append(value)
            else:
                self._fields[key] = _merged(self._fields.get(key), value)
        if logprobs is not None:
            self._logprobs = _merged(self._logprobs, logprobs)

    def choice(self, index: int, reasoning: dict[str, str]) -> dict[str, Any]:
        content = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content if content or not self._fields else None,
        }
        message |= {name: text for name, text in reasoning.items() if text}
        for key, value in self._fields.items():
            message[key] = [_without_index(call) for call in value] if key == "tool_calls" else value
        choice = {"index": index, "message": message, "logprobs": self._logprobs}
        if self._logprobs is None:
            del choice["logprobs"]
        return {**choice, "finish_reason": self.finish_reason}


def _merged(held: Any, new: Any) -> Any:  # noqa: ANN401  (JSON values: whatever the upstream sends)
    """Streamed parts of one JSON value, joined as OpenAI's own clients join them: text is appended,
    objects are merged, list items that carry an ``index`` are merged with the item of that index."""
    if isinstance(held, str) and isinstance(new, str):
        return held + new
    if isinstance(held, dict) and isinstance(new, dict):
        merged = dict(held)
        for key, value in new.items():
            # The parts of one tool call repeat these; appending them would make "functionfunction".
            keep = key in {"index", "type", "id"} and merged.get(key)
            merged[key] = merged[key] if keep else _merged(merged.get(key), value)
        return merged
    if isinstance(new, list) and all(isinstance(item, dict) and "index" in item for item in new):
        items = {item["index"]: item for item in held or []}
        for item in new:
            items[item["index"]] = _merged(items.get(item["index"]), item)
        return [items[index] for index in sorted(items)]
    if isinstance(held, list) and isinstance(new, list):
        return [*held, *new]
    return held if new is None else new


def _without_index(call: object) -> object:
    return {key: value for key, value in call.items() if key != "index"} if isinstance(call, dict) else call
