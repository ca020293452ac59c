"""Slices of a batch: they bound what is encoded and sent in one step.

A batch may have thousands of events, and one event megabytes. A slice has at most 128 events and 256 KiB of
text, apart from a single event that is larger and cannot be divided: such a slice is heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from ..events import OutputDelta, OutputExtra, ReasoningDelta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..events import Batch, Event

__all__ = ["Slice", "slices"]

_EVENTS: Final = 128
_SIZE: Final = 256 * 1024
"""Characters of text, and as many for each other value as its encoding takes time."""
_TEXT: Final = 64 * 1024
"""Characters of the longest piece of text; a longer one is divided."""
_VALUE: Final = 16
"""What a value weighs, whatever it is."""


class Slice(Struct, frozen=True):
    """Part of a batch."""

    events: Batch
    is_heavy: bool
    """To encode it takes so long that it is written in parts."""


def slices(batch: Batch) -> Iterable[Slice]:
    """The events of *batch* in their order, long texts divided."""
    if len(batch) == 1 and _is_small(batch[0]):  # one token, as most batches are: no generator for it
        return (Slice(batch, is_heavy=False),)
    return _slices(batch)


def _slices(batch: Batch) -> Iterator[Slice]:
    events: Batch = []
    size = 0
    for event in _divided(batch):
        weight = _weight(event)
        if events and (len(events) >= _EVENTS or size + weight > _SIZE):
            yield Slice(events, size > _SIZE)
            events, size = [], 0
        events.append(event)
        size += weight
    if events:
        yield Slice(events, size > _SIZE)


def _is_small(event: Event) -> bool:
    return isinstance(event, OutputDelta) and event.logprobs is None and len(event.text) <= _TEXT


def _divided(batch: Batch) -> Iterator[Event]:
    for event in batch:
        match event:
            case OutputDelta(index, text, logprobs) if len(text) > _TEXT:
                yield OutputDelta(index, text[:_TEXT], logprobs)
                for start in range(_TEXT, len(text), _TEXT):
                    yield OutputDelta(index, text[start : start + _TEXT])
            case ReasoningDelta(index, text) if len(text) > _TEXT:
                for start in range(0, len(text), _TEXT):
                    yield ReasoningDelta(index, text[start : start + _TEXT])
            case _:
                yield event


def _weight(event: Event) -> int:
    match event:
        case OutputDelta(text=text, logprobs=None) | ReasoningDelta(text=text):
            return len(text)
        case OutputDelta(text=text, logprobs=logprobs):
            return len(text) + _weight_of(logprobs)
        case OutputExtra(delta=delta, logprobs=logprobs):
            return _weight_of(delta) + _weight_of(logprobs)
        case _:
            return 0


def _weight_of(value: Any) -> int:  # noqa: ANN401  (any JSON)
    """What it costs to encode *value*; once that is too much, no more of it is looked at."""
    weight = 0
    waiting = [value]
    while waiting and weight <= _SIZE:
        match waiting.pop():
            case str(text):
                weight += len(text)
            case list(items):
                waiting += items
            case dict(members):
                waiting += members.values()
                weight += sum(map(len, members))
        weight += _VALUE
    return weight
