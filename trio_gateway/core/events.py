"""Events: describe one answer as plain values, from the engine to an encoder.

A batch (a list of events) is all that one read from the upstream gave; it leaves in one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from .budgets.weight import text_weight, weigh

if TYPE_CHECKING:
    from .errors import ApiError
    from .phases import Phase

__all__ = [
    "Batch",
    "ChunkFields",
    "Done",
    "Event",
    "Failure",
    "Finish",
    "OutputDelta",
    "OutputExtra",
    "Ping",
    "PromptSummary",
    "ReasoningDelta",
    "ReasoningExtra",
    "ReasoningLine",
    "Restart",
    "Retraction",
    "Usage",
    "weight",
]


class PromptSummary(Struct, frozen=True):
    """The summary of the prompt, without its prefix."""

    text: str


class ReasoningDelta(Struct, frozen=True):
    """A piece of the reasoning itself.

    It feeds the summary; only a client that asked for it sees it.
    """

    index: int
    text: str


class ReasoningExtra(Struct, frozen=True):
    """Fields of choice *index* that hold reasoning, as the upstream sent them.

    Only a client that asked for the reasoning itself sees them.
    """

    index: int
    delta: dict[str, Any]


class ReasoningLine(Struct, frozen=True):
    """One line of the reasoning summary, without prefix or newline."""

    text: str


class Restart(Struct, frozen=True):
    """Another attempt begins, and what came of the answer so far is void.

    Only who gathers sees this.
    """


class Retraction(Struct, frozen=True):
    """The last *length* characters of choice *index*'s reasoning were its answer after all.

    The answer follows. A stream has shown the reasoning already; who gathers takes it back.
    """

    index: int
    length: int


class OutputDelta(Struct, frozen=True):
    """A piece of the final output of choice *index*, perhaps with log probabilities."""

    index: int
    text: str
    logprobs: object | None = None


class OutputExtra(Struct, frozen=True):
    """Parts of a delta beside text (tool calls, refusal), as the upstream sent them."""

    index: int
    delta: dict[str, Any]
    logprobs: object | None = None


class ChunkFields(Struct, frozen=True):
    """Facts beside the choices; they pass with the output's next chunk."""

    fields: dict[str, Any]


class Finish(Struct, frozen=True):
    """Choice *index* is complete, for the reason the upstream gave.

    *delta*: what waited for an output that never came.
    """

    index: int
    reason: str
    delta: dict[str, Any] = {}


class Usage(Struct, frozen=True):
    """Token counts, as upstream gave them."""

    usage: dict[str, Any]


class Failure(Struct, frozen=True):
    """The answer could not be completed. *phase* is how far the upstream had come."""

    error: ApiError
    phase: Phase


class Done(Struct, frozen=True):
    """The last event of every answer, after a finish or a failure."""


class Ping(Struct, frozen=True):
    """Nothing to say for a while; a sign of life."""


Event: TypeAlias = (
    PromptSummary
    | ReasoningDelta
    | ReasoningExtra
    | ReasoningLine
    | Restart
    | Retraction
    | OutputDelta
    | OutputExtra
    | ChunkFields
    | Finish
    | Usage
    | Failure
    | Done
    | Ping
)
Batch: TypeAlias = list[Event]

_EVENT: Final = 64
"""Bytes of an event, whatever it holds."""
_HEAVY: Final = 1024 * 1024
"""Bytes beyond which it does not matter how many there are."""


def weight(event: Event) -> int:
    """About how many bytes *event* takes; beyond 1 MiB it is only certain that it takes more than that.

    >>> weight(OutputDelta(0, "four"))
    68
    """
    if isinstance(event, OutputDelta) and event.logprobs is None:
        return _EVENT + text_weight(event.text)  # nearly every event there is
    match event:
        case OutputDelta(_, text, logprobs):
            return _EVENT + text_weight(text) + weigh(logprobs, limit=_HEAVY)
        case ReasoningDelta(_, text):
            return _EVENT + text_weight(text)
        case OutputExtra(_, delta, logprobs):
            return _EVENT + weigh([delta, logprobs], limit=_HEAVY)
        case ReasoningExtra(_, fields) | ChunkFields(fields):
            return _EVENT + weigh(fields, limit=_HEAVY)
        case Finish(_, reason, fields):
            return _EVENT + len(reason) + (weigh(fields, limit=_HEAVY) if fields else 0)
        case _:
            return _EVENT
