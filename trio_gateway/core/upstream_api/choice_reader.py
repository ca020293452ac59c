"""Choice reader: turns the deltas of one choice into events.

It joins what the splitter makes of the text with what came beside it: tool calls, log probabilities, asides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from msgspec.structs import replace

from ..budgets.weight import text_weight
from ..events import Event, Finish, OutputDelta, OutputExtra, ReasoningDelta, ReasoningExtra, Retraction
from ..json.logprobs import HeldLogprobs
from ..json.merging import Merged
from ..reasoning import FlaggedThoughts, Output, Piece, Reasoning, ReasoningSplitter, Reclassified, ToolCall
from ..text.growing import GrowingText
from .chunks import ChoiceDelta
from .half_pairs import HalfPairs
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    from ..budgets.held_bytes import Holding
    from .asides import HeldAsides
    from .delta_fields import Aside

__all__ = ["LOGPROBS_HELD", "ChoiceReader"]

LOGPROBS_HELD: Final = 1024 * 1024
"""Bytes of log probabilities that wait for their text in one stream, at most."""


class ChoiceReader:
    """One choice of the answer: its splitter, and what it still owes.

    *memory*: for log probabilities of a streamed answer; None: the answer is gathered whole. *kept*: room for
    reasoning that becomes the answer where nothing else comes; None: it never does. *keeps_function_calls*:
    the client has asked for the deprecated ``function_call``; else it becomes a tool call.
    """

    __slots__ = (
        *("_asides", "_ended", "_extra", "_flagged", "_index", "_kept", "_logprobs", "_tool_calls"),
        *("_logprobs_dropped", "_memory", "_thoughts", "reason", "splitter", "spoke", "structured"),
        *("_function_called", "_halves", "_keeps_function_calls"),
        *("_is_cut", "_scored", "_waits", "opened"),
    )

    def __init__(
        self,
        index: int,
        splitter: ReasoningSplitter,
        *,
        asides: HeldAsides,
        kept: Holding | None,
        call_prefix: str,
        keeps_function_calls: bool,
        memory: Holding | None,
    ) -> None:
        self._index = index
        self.splitter = splitter
        self._tool_calls = ToolCalls(call_prefix)
        self._keeps_function_calls = keeps_function_calls
        self._function_called = False
        self._memory = memory
        self._extra = Merged()
        self._asides = asides
        self._waits = False  # there may be some: a flag, as this is asked for each token
        self._logprobs = HeldLogprobs()
        self._scored = False  # log probabilities have come: a flag, as this is asked for each token
        self._logprobs_dropped = False
        self._halves = HalfPairs()
        self._is_cut = False  # one of them waits: a flag, as this is asked for each token
        self._flagged: FlaggedThoughts | None = None
        self._kept = kept
        self._thoughts = GrowingText()  # what came of the reasoning, where it may become the answer
        self._ended = False
        self.structured = False
        self.spoke = False  # text came, even if all of it is still held back
        self.opened = False  # output came that a client can see, or that is gathered
        self.reason: str | None = None

    def close(self) -> None:
        self.splitter.close()
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
        if (delta.is_cut or self._is_cut) and (delta.text or delta.reasoning or delta.extra):
            text, reasoning = self._halves.join(delta.text, delta.reasoning)
            self._is_cut = bool(self._halves)
            delta = replace(delta, text=text, reasoning=reasoning)
        if delta.reasoning:
            self._think(delta.reasoning, events)
        of_reasoning = (delta.reasoning and not delta.text) or delta.is_thought
        if delta.logprobs is not None and not of_reasoning and not self._logprobs_dropped:
            self._scored = True
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
        if self._scored and self._logprobs:
            self._hold_logprobs()

    def finish(self, events: list[Event]) -> None:
        """Nothing more comes. Harmless when repeated."""
        if self._ended:
            return
        self._ended = True
        if self._is_cut:
            self.read(ChoiceDelta(self._index, *self._halves.join("", "")), events)
        self._end_flagged(events)
        self._add(self.splitter.finish(self.reason), events)
        if rest := self._tool_calls.rest():
            self._emit_extra(rest, events)
        self._promote_thoughts(events)
        if self._memory is None:
            fields = {**self._extra.value, **self._asides.take_whole()}
            if fields:
                events.append(OutputExtra(self._index, fields, self._taken_logprobs()))
        if self.reason is not None:
            renamed = self._function_called and self.reason == "function_call"
            reason = "tool_calls" if renamed else self.reason
            events.append(Finish(self._index, reason, self._asides.take_joined()))

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
        if "function_call" in extra and not self._keeps_function_calls:
            extra = self._as_tool_call(extra)
        if "tool_calls" in extra and not (extra := self._tool_calls.valid(extra)):
            return
        if extra:
            self._emit_extra(extra, events)

    def _as_tool_call(self, extra: dict[str, Any]) -> dict[str, Any]:
        """*extra* with the deprecated ``function_call`` as the tool call that the client has asked for.

        Beside tool calls it is one of them once more.
        """
        others = {key: value for key, value in extra.items() if key != "function_call"}
        if "tool_calls" in others or (self._tool_calls.begun and not self._function_called):
            return others
        self._function_called = True
        return {**others, "tool_calls": [{"index": 0, "function": extra["function_call"]}]}

    def _emit_extra(self, extra: dict[str, Any], events: list[Event]) -> None:
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
        if not self._scored:
            return None
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
