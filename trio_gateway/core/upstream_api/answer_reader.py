"""Answer reader: turns upstream chunks into events, one splitter a choice.

``AnswerReader`` is the synchronous heart of a stream. It takes each chunk as it is parsed and says what
the client's answer gains by it; when to send what is the engine's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from ..budgets.held_bytes import ByteBudget
from ..budgets.weight import text_weight
from ..events import (
    ChunkFields,
    Event,
    Finish,
    OutputDelta,
    OutputExtra,
    ReasoningDelta,
    ReasoningExtra,
    Retraction,
    Usage,
)
from ..json.logprobs import HeldLogprobs
from ..json.merging import Merged
from ..reasoning import (
    KEPT,
    FlaggedThoughts,
    Output,
    Piece,
    Reasoning,
    ReasoningSplitter,
    Reclassified,
    ToolCall,
)
from ..text.growing import GrowingText
from .asides import Attributes, HeldAsides
from .chunks import ChoiceError
from .delta_fields import SOURCES
from .learning import StartEvidence
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    from ..budgets.held_bytes import Holding
    from ..config import ModelConfig
    from .chunks import ChoiceDelta, Chunk
    from .delta_fields import Aside

__all__ = ["LOGPROBS_HELD", "AnswerReader"]

LOGPROBS_HELD: Final = 1024 * 1024
"""Bytes of log probabilities that wait for their text in one stream, at most."""
_BEARERS: Final = (OutputDelta, OutputExtra, Finish)


class AnswerReader:
    """Reads one attempt's answer.

    *choices* is the number of choices the request asked for: the answer is complete when so many have
    finished. *presumed*, *whole*: see :class:`~trio_gateway.core.reasoning.ReasoningSplitter`; of a whole
    answer all but its text waits for the end. *shows_reasoning*: the client asked for the reasoning itself;
    *shows_thought_fields*: also for the fields that hold it once more, as a tool loop must send them back.
    *thinks*: False where the request switched thinking off, so that reasoning with no answer after it is one.
    *call_prefix* starts the ids of tool calls that had none. *memory*: what log probabilities
    of a streamed answer may take while their text is held back; beyond it they are dropped.
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
        self._kept = ByteBudget(KEPT)
        self._choices: dict[int, _Choice] = {}
        self._attributes = Attributes(grows=False)
        self._attributes_wait = False
        self.reasoning_seen = False
        self.output_seen = False
        self.held = 0
        """Bytes of what waits in a streamed answer, beside its text, until the output opens."""

    def close(self) -> None:
        """Nothing more is read: give the memory back."""
        for choice in self._choices.values():
            choice.close()

    @property
    def finished(self) -> bool:
        """Every choice the request asked for has a finish reason; servers that send one early add text
        all the same."""
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
            asides=HeldAsides(
                shows_thoughts=self._shows_thought_fields,
                shows_others=self._shows_reasoning,
                whole=self.whole,
            ),
            kept=None if self._thinks else self._kept.hold(),
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


class _Choice:
    """One choice of the answer: its splitter, and what it still owes.

    *memory*: for log probabilities of a streamed answer; None: the answer is gathered whole. *kept*: room for
    reasoning that becomes the answer where nothing else comes; None: it never does.
    """

    __slots__ = (
        *("_asides", "_ended", "_extra", "_flagged", "_index", "_kept", "_logprobs", "_tool_calls"),
        *("_logprobs_dropped", "_memory", "_thoughts", "reason", "splitter", "spoke", "structured"),
        *("_waits", "opened"),
    )

    def __init__(
        self,
        index: int,
        splitter: ReasoningSplitter,
        *,
        asides: HeldAsides,
        kept: Holding | None,
        call_prefix: str,
        memory: Holding | None,
    ) -> None:
        self._index = index
        self.splitter = splitter
        self._tool_calls = ToolCalls(call_prefix)
        self._memory = memory
        self._extra = Merged()
        self._asides = asides
        self._waits = False  # there may be some: a flag, as this is asked for each token
        self._logprobs = HeldLogprobs()
        self._logprobs_dropped = False
        self._flagged: FlaggedThoughts | None = None
        self._kept = kept
        self._thoughts = GrowingText()  # what came of the reasoning, where it may become the answer
        self._ended = False
        self.structured = False
        self.spoke = False  # text came, even if all of it is still held back
        self.opened = False  # output came that a client can see, or that is gathered
        self.reason: str | None = None

    def close(self) -> None:
        for room in (self._memory, self._kept):
            if room is not None:
                room.release()

    @property
    def finished(self) -> bool:
        """A finish reason came."""
        return self.reason is not None

    @property
    def held(self) -> int:
        """Bytes of the asides that wait for the output."""
        return self._asides.size

    @property
    def gathers(self) -> bool:
        """Something besides text belongs to the output, and waits for the end of a whole answer."""
        return bool(self._extra.value)

    @property
    def size(self) -> int:
        """Bytes of what waits beside the text."""
        return self._extra.size + self._logprobs.size + self._asides.size

    def read(self, delta: ChoiceDelta, events: list[Event]) -> None:
        if delta.reasoning:
            self._think(delta.reasoning, events)
        of_reasoning = (delta.reasoning and not delta.text) or delta.is_thought
        if delta.logprobs is not None and not of_reasoning and not self._logprobs_dropped:
            self._logprobs.add(delta.logprobs)
        if delta.is_thought or self._flagged is not None:
            self._read_flagged(delta, events)
        elif delta.text:
            self.spoke = True
            self._add(self.splitter.feed(delta.text), events)
        if delta.extra:
            self._end_flagged(events)
            self._add(self.splitter.end_reasoning(), events)
            self._add_extra(delta.extra, events)
        if delta.aside is not None:
            self._add_aside(delta.aside, events)
        if delta.finish_reason is not None:
            self.reason = delta.finish_reason  # more may follow: some servers send one with every chunk
        if self._waits and self.opened and self._memory is not None:
            self._waits = False
            events += [OutputExtra(self._index, part) for part in self._asides.take()]
        if self._logprobs:
            self._hold_logprobs()

    def finish(self, events: list[Event]) -> None:
        """Nothing more comes. Harmless when repeated."""
        if self._ended:
            return
        self._ended = True
        self._end_flagged(events)
        self._add(self.splitter.finish(self.reason), events)
        self._promote_thoughts(events)
        if self._memory is None:
            fields = {**self._extra.value, **self._asides.take_whole()}
            if fields:
                events.append(OutputExtra(self._index, fields, self._taken_logprobs()))
        if self.reason is not None:
            events.append(Finish(self._index, self.reason, self._asides.take_joined()))

    def _think(self, text: str, events: list[Event]) -> None:
        """A field of its own brought reasoning."""
        if not self.structured:
            self.structured = True
            self._add(self.splitter.structured(), events)
        self._add_thought(text, events)

    def _add_thought(self, text: str, events: list[Event]) -> None:
        events.append(ReasoningDelta(self._index, text))
        if self._kept is not None:
            if self._kept.resize(self._kept.amount + text_weight(text)):
                self._thoughts.append(text)
            else:  # too much to become an answer
                self._kept.release()
                self._kept, self._thoughts = None, GrowingText()

    def _promote_thoughts(self, events: list[Event]) -> None:
        """Reasoning alone came though the request had switched thinking off: it is the answer."""
        if self._thoughts and self.reason == "stop" and not (self.splitter.spoken or self.gathers):
            text = str(self._thoughts)
            events.append(Retraction(self._index, len(text)))
            self._add([Output(text)], events)

    def _read_flagged(self, delta: ChoiceDelta, events: list[Event]) -> None:
        if self._flagged is None:
            self._flagged = FlaggedThoughts()
        if delta.text:
            self._add_flagged(self._flagged.feed(delta.text, is_thought=delta.is_thought), events)

    def _end_flagged(self, events: list[Event]) -> None:
        if self._flagged is not None:
            self._add_flagged(self._flagged.finish(), events)

    def _add_flagged(self, pieces: tuple[str, str], events: list[Event]) -> None:
        thought, text = pieces
        if thought:
            self._think(thought, events)
        if text:
            self.spoke = True
            self._add(self.splitter.feed(text), events)

    def _add_aside(self, aside: Aside, events: list[Event]) -> None:
        self._waits = True
        at_once = self._asides.add(aside, opened=self.opened or self.splitter.spoken)
        if at_once:
            events.append(ReasoningExtra(self._index, at_once))

    def _add(self, pieces: list[Piece], events: list[Event]) -> None:
        for piece in pieces:
            match piece:
                case Reclassified(text, given):
                    events.append(Retraction(self._index, given))
                    events.append(OutputDelta(self._index, text, self._taken_logprobs()))
                    self.opened = True
                case Output(text):
                    self.opened = True
                    events.append(OutputDelta(self._index, text, self._taken_logprobs()))
                case Reasoning(text):
                    # The log probabilities of a reasoning token would show the token.
                    self._taken_logprobs()
                    self._add_thought(text, events)
                case ToolCall():
                    self._add_extra({"tool_calls": [_tool_call(piece)]}, events)
                case _:
                    assert_never(piece)

    def _add_extra(self, extra: dict[str, Any], events: list[Event]) -> None:
        if "tool_calls" in extra and not (extra := self._tool_calls.valid(extra)):
            return
        self.opened = True
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
