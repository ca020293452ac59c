"""Answer reader: turns upstream chunks into events, one splitter a choice.

``AnswerReader`` is the synchronous heart of a stream. It takes each chunk as it is parsed and says what
the client's answer gains by it; when to send what is the engine's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from ..budgets.held_bytes import ByteBudget
from ..budgets.weight import text_weight
from ..events import Event, Finish, OutputDelta, OutputExtra, ReasoningDelta, Retraction, Usage
from ..json.logprobs import HeldLogprobs
from ..json.merging import Merged
from ..reasoning import KEPT, Output, Piece, Reasoning, ReasoningSplitter, Reclassified, ToolCall
from .chunks import ChoiceError
from .learning import StartEvidence
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    from ..budgets.held_bytes import Holding
    from ..config import ModelConfig
    from .chunks import ChoiceDelta, Chunk

__all__ = ["LOGPROBS_HELD", "AnswerReader"]

LOGPROBS_HELD: Final = 1024 * 1024
"""Bytes of log probabilities that wait for their text in one stream, at most."""


class AnswerReader:
    """Reads one attempt's answer.

    *choices* is the number of choices the request asked for: the answer is complete when so many have
    finished. *presumed*, *whole*: see :class:`~trio_gateway.core.reasoning.ReasoningSplitter`; of a whole
    answer all but its text waits for the end. *shows_reasoning*: a whole answer will hold its reasoning.
    *call_prefix* starts the ids of tool calls that had none. *memory*: what log probabilities
    of a streamed answer may take while their text is held back; beyond it they are dropped.
    """

    def __init__(
        self,
        model: ModelConfig,
        *,
        starts_in_reasoning: bool,
        presumed: bool = False,
        choices: int = 1,
        whole: bool = False,
        shows_reasoning: bool = True,
        call_prefix: str = "call_",
        memory: ByteBudget | None = None,
    ) -> None:
        self._model = model
        self._shows_reasoning = shows_reasoning
        self._memory = memory or ByteBudget(LOGPROBS_HELD)
        self._text_size = 0
        self._starts_in_reasoning = starts_in_reasoning
        self._presumed = presumed
        self._expected = choices
        self.whole = whole
        self._call_prefix = call_prefix
        self._kept = ByteBudget(KEPT)
        self._choices: dict[int, _Choice] = {}
        self.reasoning_seen = False
        self.output_seen = False

    def close(self) -> None:
        """Nothing more is read: give the memory back."""
        for choice in self._choices.values():
            choice.close()

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
    def evidence(self) -> StartEvidence:
        """What the answer shows of where its model's text begins."""
        choices = self._choices.values()
        return StartEvidence(
            assumed=self._starts_in_reasoning,
            orphan=any(choice.splitter.divided for choice in choices),
            stopped=all(choice.reason == "stop" for choice in choices),
            structured=any(choice.structured for choice in choices),
            promoted=any(choice.splitter.promoted for choice in choices),
        )

    @property
    def size(self) -> int:
        """Bytes of a whole answer so far: the text that will be in it, tool calls, log probabilities."""
        return max(0, self._text_size) + sum(choice.size for choice in self._choices.values())

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk of choices that the request has not asked for; to be called before ``read``.

        Raises:
            ChoiceError: it is such a chunk.
        """
        for delta in chunk.choices:
            if delta.index >= self._expected:
                raise ChoiceError(f"choices: an index of {self._expected} or more")

    def read(self, chunk: Chunk) -> list[Event]:
        """What a checked *chunk* adds to the answer. A choice that has finished adds nothing more."""
        events: list[Event] = []
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = self._choices[delta.index] = self._open(delta.index)
            if not choice.finished:
                choice.read(delta, events)
                self.output_seen = self.output_seen or choice.gathers
                if self.whole:
                    self._text_size += text_weight(delta.text) + text_weight(delta.reasoning)
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
            whole=self.whole,
            room=self._kept.hold(),
        )
        return _Choice(
            index,
            splitter,
            call_prefix=f"{self._call_prefix}{index}_",
            memory=None if self.whole else self._memory.hold(),
        )

    def _noted(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, ReasoningDelta):
                self.reasoning_seen = True
                if not self._shows_reasoning:
                    self._text_size -= text_weight(event.text)
            elif isinstance(event, Retraction) and not self._shows_reasoning:
                self._text_size += event.length
            elif isinstance(event, OutputDelta | OutputExtra):
                self.output_seen = True
        return events


class _Choice:
    """One choice of the answer: its splitter, and what it still owes.

    *memory*: for log probabilities of a streamed answer; None: the answer is gathered whole.
    """

    __slots__ = (
        *("_extra", "_index", "_logprobs", "_logprobs_dropped", "_memory", "_tool_calls"),
        *("finished", "reason", "splitter", "spoke", "structured"),
    )

    def __init__(
        self, index: int, splitter: ReasoningSplitter, *, call_prefix: str, memory: Holding | None
    ) -> None:
        self._index = index
        self.splitter = splitter
        self._tool_calls = ToolCalls(call_prefix)
        self._memory = memory
        self._extra = Merged()
        self._logprobs = HeldLogprobs()
        self._logprobs_dropped = False
        self.structured = False
        self.spoke = False  # text came, even if all of it is still held back
        self.finished = False
        self.reason: str | None = None

    def close(self) -> None:
        if self._memory is not None:
            self._memory.release()

    @property
    def gathers(self) -> bool:
        """Something besides text belongs to the output, and waits for the end of a whole answer."""
        return bool(self._extra.value)

    @property
    def size(self) -> int:
        """Bytes of what waits beside the text."""
        return self._extra.size + self._logprobs.size

    def read(self, delta: ChoiceDelta, events: list[Event]) -> None:
        if delta.reasoning:
            if not self.structured:
                self.structured = True
                self._add(self.splitter.structured(), events)
            events.append(ReasoningDelta(self._index, delta.reasoning))
        of_reasoning = delta.reasoning and not delta.text
        if delta.logprobs is not None and not of_reasoning and not self._logprobs_dropped:
            self._logprobs.add(delta.logprobs)
        if delta.text:
            self.spoke = True
            self._add(self.splitter.feed(delta.text), events)
        if delta.extra:
            self._add(self.splitter.end_reasoning(), events)
            self._add_extra(delta.extra, events)
        if delta.finish_reason is not None:
            self.finish(delta.finish_reason, events)
        if self._logprobs:
            self._hold_logprobs()

    def finish(self, reason: str | None, events: list[Event]) -> None:
        self.finished = True
        self.reason = reason
        self._add(self.splitter.finish(reason), events)
        if self._extra.value:
            events.append(OutputExtra(self._index, self._extra.value, self._taken_logprobs()))
        if reason is not None:
            events.append(Finish(self._index, reason))

    def _add(self, pieces: list[Piece], events: list[Event]) -> None:
        for piece in pieces:
            match piece:
                case Reclassified(text, given):
                    events.append(Retraction(self._index, given))
                    events.append(OutputDelta(self._index, text, self._taken_logprobs()))
                case Output(text):
                    events.append(OutputDelta(self._index, text, self._taken_logprobs()))
                case Reasoning(text):
                    # The log probabilities of a reasoning token would show the token.
                    self._taken_logprobs()
                    events.append(ReasoningDelta(self._index, text))
                case ToolCall():
                    self._add_extra({"tool_calls": [_tool_call(piece)]}, events)
                case _:
                    assert_never(piece)

    def _add_extra(self, extra: dict[str, Any], events: list[Event]) -> None:
        if "tool_calls" in extra and not (extra := self._tool_calls.valid(extra)):
            return
        if self._memory is None:
            self._extra.add(extra)
        else:
            events.append(OutputExtra(self._index, extra, self._taken_logprobs()))

    def _hold_logprobs(self) -> None:
        """Keep log probabilities until their text leaves, in a form that weighs little, if there is room."""
        if self._memory is None:
            self._logprobs.compact()
        elif not (self._logprobs.compact(limit=LOGPROBS_HELD) and self._memory.resize(self._logprobs.size)):
            self._taken_logprobs()
            self._logprobs_dropped = True  # those of the same text would be wrong without these

    def _taken_logprobs(self) -> object | None:
        self._logprobs_dropped = False
        if not self._logprobs:
            return None
        if self._memory is None:
            return self._logprobs.take()
        self._memory.release()
        return self._logprobs.take_plain()


def _tool_call(call: ToolCall) -> dict[str, Any]:
    """A call that was written as text, as structured ones come."""
    function = {"arguments": call.arguments}
    return {
        "index": call.index,
        "function": function if call.name is None else {"name": call.name, **function},
    }
