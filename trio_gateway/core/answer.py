"""Upstream chunks to events: one splitter a choice, and the rules of what belongs to the final output.

``AnswerReader`` is the synchronous heart of a stream. It takes each chunk as it is parsed and says what
the client's answer gains by it; when to send what is the engine's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from .events import Event, Finish, OutputDelta, OutputExtra, ReasoningDelta, Retraction, Usage
from .learning import Evidence
from .reasoning import Output, Piece, Promotion, Reasoning, ReasoningSplitter, ToolCall

if TYPE_CHECKING:
    from .chunks import ChoiceDelta, Chunk
    from .config import ModelConfig

__all__ = ["AnswerReader"]


class AnswerReader:
    """Reads one attempt's answer.

    *choices* is the number of choices the request asked for: the answer is complete when so many have
    finished. *presumed*, *whole*: see :class:`~trio_gateway.core.reasoning.ReasoningSplitter`.
    *call_prefix* starts the ids of tool calls that had none (harmony text).
    """

    def __init__(
        self,
        model: ModelConfig,
        *,
        starts_in_reasoning: bool,
        presumed: bool = False,
        choices: int = 1,
        whole: bool = False,
        call_prefix: str = "call_",
    ) -> None:
        self._model = model
        self._starts_in_reasoning = starts_in_reasoning
        self._presumed = presumed
        self._expected = choices
        self._whole = whole
        self._call_prefix = call_prefix
        self._choices: dict[int, _Choice] = {}
        self.reasoning_seen = False
        self.output_seen = False

    @property
    def finished(self) -> bool:
        """Every choice the request asked for has its finish reason."""
        return sum(choice.finished for choice in self._choices.values()) >= self._expected

    @property
    def empty(self) -> bool:
        """Nothing came that an answer is made of: no text, no tool call, no finish reason."""
        said = any(choice.finished or choice.spoke for choice in self._choices.values())
        return not (said or self.reasoning_seen or self.output_seen)

    @property
    def evidence(self) -> Evidence:
        """What the answer shows of where its model's text begins."""
        choices = self._choices.values()
        return Evidence(
            assumed=self._starts_in_reasoning,
            orphan=any(choice.splitter.divided for choice in choices),
            stopped=all(choice.reason == "stop" for choice in choices),
            structured=any(choice.structured for choice in choices),
            promoted=any(choice.splitter.promoted for choice in choices),
        )

    def read(self, chunk: Chunk) -> list[Event]:
        """What *chunk* adds to the answer. A choice that has finished adds nothing more."""
        events: list[Event] = []
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = self._choices[delta.index] = self._open(delta.index)
            if not choice.finished:
                choice.read(delta, events)
        if chunk.usage is not None:
            events.append(Usage(chunk.usage))
        return self._noted(events)

    def end(self) -> list[Event]:
        """The upstream said the answer is over: what choices without a finish reason still held back."""
        events: list[Event] = []
        for choice in self._choices.values():
            if not choice.finished:
                choice.finish(None, events)
        return self._noted(events)

    def _open(self, index: int) -> _Choice:
        splitter = ReasoningSplitter(
            self._model,
            starts_in_reasoning=self._starts_in_reasoning,
            presumed=self._presumed,
            whole=self._whole,
        )
        return _Choice(index, splitter, f"{self._call_prefix}{index}_")

    def _noted(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, ReasoningDelta):
                self.reasoning_seen = True
            elif isinstance(event, OutputDelta | OutputExtra):
                self.output_seen = True
        return events


class _Choice:
    """One choice of the answer: its splitter, and what it still owes."""

    __slots__ = (
        *("_call_prefix", "_index", "_logprobs"),
        *("finished", "reason", "splitter", "spoke", "structured"),
    )

    def __init__(self, index: int, splitter: ReasoningSplitter, call_prefix: str) -> None:
        self._index = index
        self.splitter = splitter
        self._call_prefix = call_prefix
        self.structured = False
        self._logprobs: object | None = None
        self.spoke = False  # text came, even if all of it is still held back
        self.finished = False
        self.reason: str | None = None

    def read(self, delta: ChoiceDelta, events: list[Event]) -> None:
        if delta.reasoning:
            if not self.structured:
                self.structured = True
                self._add(self.splitter.structured(), events)
            events.append(ReasoningDelta(self._index, delta.reasoning))
        if delta.logprobs is not None and not (delta.reasoning and not delta.text):
            self._logprobs = _joined(self._logprobs, delta.logprobs)
        if delta.text:
            self.spoke = True
            self._add(self.splitter.feed(delta.text), events)
        if delta.extra:
            self._add(self.splitter.end_reasoning(), events)
            events.append(OutputExtra(self._index, delta.extra, self._taken_logprobs()))
        if delta.finish_reason is not None:
            self.finish(delta.finish_reason, events)

    def finish(self, reason: str | None, events: list[Event]) -> None:
        self.finished = True
        self.reason = reason
        self._add(self.splitter.finish(reason), events)
        if reason is not None:
            events.append(Finish(self._index, reason))

    def _add(self, pieces: list[Piece], events: list[Event]) -> None:
        for piece in pieces:
            match piece:
                case Promotion(text, given):
                    events.append(Retraction(self._index, given))
                    events.append(OutputDelta(self._index, text, self._taken_logprobs()))
                case Output(text):
                    events.append(OutputDelta(self._index, text, self._taken_logprobs()))
                case Reasoning(text):
                    # The log probabilities of a reasoning token would show the token.
                    self._logprobs = None
                    events.append(ReasoningDelta(self._index, text))
                case ToolCall():
                    events.append(OutputExtra(self._index, {"tool_calls": [self._tool_call(piece)]}))
                case _:
                    assert_never(piece)

    def _tool_call(self, call: ToolCall) -> dict[str, Any]:
        if call.name is None:
            return {"index": call.index, "function": {"arguments": call.arguments}}
        return {
            "index": call.index,
            "id": f"{self._call_prefix}{call.index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }

    def _taken_logprobs(self) -> object | None:
        taken, self._logprobs = self._logprobs, None
        return taken


def _joined(held: object, new: object) -> object:
    """Log probabilities of text that was held back go out with the text: the lists are joined."""
    if not (isinstance(held, dict) and isinstance(new, dict)):
        return new
    return {
        key: [*old, *value] if isinstance(old := held.get(key), list) and isinstance(value, list) else value
        for key, value in new.items()
    }
