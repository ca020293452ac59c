"""Answer reader: turns upstream chunks into events, one splitter a choice.

``AnswerReader`` is the synchronous heart of a stream. It takes each chunk as it is parsed and says what
the client's answer gains by it; when to send what is the engine's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..budgets.held_bytes import ByteBudget
from ..budgets.weight import text_weight
from ..events import (
    ChunkFields,
    Event,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    Retraction,
    Usage,
)
from ..reasoning import KEPT, ReasoningSplitter
from .asides import Attributes, HeldAsides
from .choice_reader import LOGPROBS_HELD, ChoiceReader
from .chunks import ChoiceError
from .delta_fields import SOURCES
from .learning import StartEvidence

if TYPE_CHECKING:
    from ..config import ModelConfig
    from .chunks import Chunk

__all__ = ["AnswerReader"]

_BEARERS: Final = (OutputDelta, OutputExtra, Finish)


class AnswerReader:
    """Reads one attempt's answer.

    *choices* is the number of choices the request asked for: the answer is complete when so many have
    finished. *presumed*, *whole*: see :class:`~trio_gateway.core.reasoning.ReasoningSplitter`; of a whole
    answer all but its text waits for the end. *shows_reasoning*: the client asked for the reasoning itself;
    *shows_thought_fields*: also for the fields that hold it once more, as a tool loop must send them back.
    *thinks*: False where the request switched thinking off, so that reasoning with no answer after it is one.
    *call_prefix* starts the ids of tool calls that had none. *keeps_function_calls*: the request asked for
    the deprecated ``function_call``; else it becomes a tool call. *memory*: what log probabilities of a
    streamed answer may take while their text is held back; beyond it they are dropped.
    """

    def __init__(
        self,
        model: ModelConfig,
        *,
        starts_in_reasoning: bool,
        presumed: bool = False,
        thinks: bool = True,
        choices: int = 1,
        whole: bool = False,
        shows_reasoning: bool = True,
        shows_thought_fields: bool = True,
        call_prefix: str = "call_",
        keeps_function_calls: bool = False,
        memory: ByteBudget | None = None,
    ) -> None:
        self._model = model
        self._shows_reasoning = shows_reasoning
        self._shows_thought_fields = shows_thought_fields
        self._memory = memory or ByteBudget(LOGPROBS_HELD)
        self._text_size = 0
        self._starts_in_reasoning = starts_in_reasoning
        self._presumed = presumed
        self._thinks = thinks
        self._expected = choices
        self.whole = whole
        self._call_prefix = call_prefix
        self._keeps_function_calls = keeps_function_calls
        self._kept = ByteBudget(KEPT)
        self._choices: dict[int, ChoiceReader] = {}
        self._attributes = Attributes(grows=False)
        self._attributes_wait = False
        self.reasoning_seen = False
        self.output_seen = False
        self.finished = False
        """Every choice the request asked for has a finish reason; servers that send one early add text all
        the same."""
        self.held = 0
        """Bytes of what waits in a streamed answer, beside its text, until the output opens."""

    def close(self) -> None:
        """Nothing more is read: give the memory back."""
        for choice in self._choices.values():
            choice.close()

    @property
    def empty(self) -> bool:
        """Nothing came that an answer is made of: no text, no tool call, no finish reason."""
        answered = any(choice.finished or choice.spoke for choice in self._choices.values())
        return not (answered or self.reasoning_seen or self.output_seen)

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
        choices = sum(choice.size for choice in self._choices.values())
        return max(0, self._text_size) + choices + self._attributes.size

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk of choices that the request has not asked for; to be called before ``read``.

        Raises:
            ChoiceError: it is such a chunk.
        """
        for delta in chunk.choices:
            if delta.index >= self._expected:
                raise ChoiceError(f"choices: an index of {self._expected} or more")

    def read(self, chunk: Chunk) -> list[Event]:
        """What a checked *chunk* adds to the answer. Finish reasons wait for :meth:`end`."""
        events: list[Event] = []
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = self._choices[delta.index] = self._open(delta.index)
            choice.read(delta, events)
            self.output_seen = self.output_seen or choice.gathers
            if self.whole:
                self._text_size += text_weight(delta.text) + text_weight(delta.reasoning)
            if delta.finish_reason is not None:
                finished = sum(choice.finished for choice in self._choices.values())
                self.finished = finished >= self._expected
            if delta.aside is not None or self.held:
                self._weigh_held()
        if chunk.usage is not None:
            events.append(Usage(chunk.usage))
        if chunk.attributes is not None:
            self._attributes.add(chunk.attributes)
            self._attributes_wait = bool(self._attributes)
            self._weigh_held()
        return self._noted(events)

    def end(self) -> list[Event]:
        """The answer is over: what its choices still held back, and their finish reasons."""
        events: list[Event] = []
        for choice in self._choices.values():
            choice.finish(events)
        return self._noted(events)

    def _weigh_held(self) -> None:
        self.held = self._attributes.size + sum(choice.held for choice in self._choices.values())

    def _open(self, index: int) -> ChoiceReader:
        splitter = ReasoningSplitter(
            self._model,
            starts_in_reasoning=self._starts_in_reasoning,
            presumed=self._presumed,
            whole=self.whole,
            room=self._kept.hold(),
        )
        return ChoiceReader(
            index,
            splitter,
            asides=HeldAsides(
                shows_thoughts=self._shows_thought_fields,
                shows_others=self._shows_reasoning,
                whole=self.whole,
            ),
            kept=None if self._thinks else self._kept.hold(),
            call_prefix=f"{self._call_prefix}{index}_",
            keeps_function_calls=self._keeps_function_calls,
            memory=None if self.whole else self._memory.hold(),
        )

    def _noted(self, events: list[Event]) -> list[Event]:
        for event in events:
            match event:
                case OutputDelta() | OutputExtra():
                    self.output_seen = True
                case ReasoningDelta(text=text):
                    self.reasoning_seen = True
                    if not self._shows_reasoning:
                        self._text_size -= text_weight(text)
                case Retraction(length=length) if not self._shows_reasoning:
                    self._text_size += length
        if self._attributes_wait:
            self._give_attributes(events)
        return events

    def _give_attributes(self, events: list[Event]) -> None:
        """Put the attributes that wait before the first event that can bear them."""
        place = next((place for place, event in enumerate(events) if isinstance(event, _BEARERS)), None)
        if place is not None or self.output_seen:
            self._attributes_wait = False
            fields = self._attributes.take()
            given: list[Event] = [ChunkFields(fields)]
            if sources := {key: fields[key] for key in SOURCES if key in fields}:
                given.append(OutputExtra(0, sources))  # clients that gather deltas drop a chunk's own fields
            place = len(events) if place is None else place
            events[place:place] = given
