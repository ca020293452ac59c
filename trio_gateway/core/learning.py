"""Learns from finished answers which models' text begins inside reasoning.

Whether a chat template has opened a reasoning block already is a matter of the server's set-up, which no id
tells. An answer that ends a block nobody opened shows that it was; two of them count, as one may merely
have quoted the marker. The opposite shows too: reasoning that comes in a field of its own, or answers (two
in a row) in which the block that was assumed never ended, so that a plain answer was held up as reasoning.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from msgspec import Struct

__all__ = ["Evidence", "StartMemory"]

_ENOUGH = 2
_MOST = 1024
"""Models remembered; the one not heard of for longest is forgotten first."""


class Evidence(Struct, frozen=True):
    """What one finished answer shows."""

    assumed: bool = False
    """It was read as beginning inside reasoning."""
    orphan: bool = False
    """It had the end of a block that nobody had opened."""
    structured: bool = False
    """Its reasoning came in a field of its own."""
    promoted: bool = False
    """Its block never ended, so what was taken for reasoning became the answer."""


@dataclass(slots=True)
class _Seen:
    starts: bool | None = None
    orphans: int = 0
    promotions: int = 0


class StartMemory:
    """Remembers, for each upstream and model, whether its text begins inside reasoning."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()

    def starts(self, upstream: str, model: str) -> bool | None:
        """What was learned of *model* on *upstream*; None: nothing."""
        seen = self._seen.get((upstream, model))
        return None if seen is None else seen.starts

    def note(self, upstream: str, model: str, evidence: Evidence) -> bool:
        """Take a finished answer's evidence; true when it has changed what is known."""
        if evidence == Evidence(assumed=evidence.assumed) and (upstream, model) not in self._seen:
            return False
        seen = self._seen.setdefault((upstream, model), _Seen())
        self._seen.move_to_end((upstream, model))
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        before = seen.starts
        seen.orphans += evidence.orphan
        seen.promotions = seen.promotions + 1 if evidence.assumed and evidence.promoted else 0
        if seen.orphans >= _ENOUGH:
            seen.starts, seen.orphans = True, 0
        if evidence.assumed and (evidence.structured or seen.promotions >= _ENOUGH):
            seen.starts, seen.promotions = False, 0
        return seen.starts is not before
