"""Tally: counts failures, or slow calls, by client and by model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_MODELS", "MAX_SOURCES", "Source", "Tally"]

Source: TypeAlias = tuple[str, str]
"""Client and upstream model."""

MAX_SOURCES: Final = 1024
"""Sources that are told apart; calls of further clients count as those of one client."""
MAX_MODELS: Final = 8
"""Models of one client that are told apart; its calls for further ones count for no model by itself."""

_OTHER_CLIENTS: Final = "*"
_OTHER_MODELS: Final = ""


class Tally:
    """Counts by source; a call without an HTTP answer counts for the upstream alone."""

    __slots__ = ("_by", "total")

    def __init__(self) -> None:
        self.total = 0
        self._by: dict[Source, int] = {}

    def add(self, source: Source | None, count: int = 1) -> None:
        """Count *count* calls more; negative: fewer. *source* must come from :meth:`fold`."""
        self.total += count
        if source is not None:
            self._by[source] = self._by.get(source, 0) + count
            if not self._by[source]:
                del self._by[source]

    def fold(self, source: Source) -> Source:
        """The source under which *source* is counted, so that the number of sources stays bounded."""
        client, _ = source
        own = sum(other == client for other, _ in self._by)
        if source in self._by or (own < MAX_MODELS and len(self._by) < MAX_SOURCES):
            return source
        return (client if own else _OTHER_CLIENTS), _OTHER_MODELS

    def of(self, model: str) -> Tally:
        """The part that belongs to *model*."""
        part = Tally()
        for source, count in self._by.items():
            if source[1] == model:
                part.add(source, count)
        return part

    def drop(self, model: str) -> None:
        """Forget what belongs to *model*."""
        for source, count in self.of(model)._by.items():
            self.add(source, -count)

    def models(self) -> list[str]:
        """The models that stand in it by themselves, in a fixed order."""
        return sorted({model for _, model in self._by} - {_OTHER_MODELS})

    def capped(self, has_company: Callable[[str], bool]) -> int:
        """The number of calls, of which one client brings at most half.

        *has_company*: whether a client other than that one has called; alone, it brings them all.
        """
        clients: Counter[str] = Counter()
        for (client, _), count in self._by.items():
            clients[client] += count
        if not clients:
            return self.total
        busiest = max(clients, key=lambda client: (clients[client], client))
        others = self.total - clients[busiest]
        return others + min(clients[busiest], others) if has_company(busiest) else self.total
