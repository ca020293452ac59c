"""Known bodies: remembers which requests have counted as failures, so that repeats do not."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .calls import CallIdentity

__all__ = ["MAX_BODIES", "KnownBodies"]

MAX_BODIES: Final = 1024
"""Digests that are kept for one upstream."""


class KnownBodies:
    """Digests of bodies whose failure, or whose slowness, stands in the window.

    They are kept client by client: equal bodies of two clients are two calls, so a client that forges a
    digest merges only its own failures. Where there are too many, the client with the most loses its oldest.
    """

    def __init__(self) -> None:
        self._slots: dict[str, OrderedDict[tuple[bytes, bool], int]] = {}
        self._count = 0

    def is_repeat(self, call: CallIdentity, *, failed: bool, slot: int, oldest: int) -> bool:
        """Whether that body has counted in *oldest* or later; if not, it does now, in *slot*."""
        if not call.digest:
            return False
        own = self._slots.setdefault(call.client, OrderedDict())
        body = (call.digest, failed)
        if own.get(body, oldest - 1) >= oldest:
            return True
        self._count += body not in own
        own[body] = slot
        own.move_to_end(body)
        if self._count > MAX_BODIES:
            self._forget_one()
        return False

    def _forget_one(self) -> None:
        client = max(self._slots, key=lambda client: (len(self._slots[client]), client))
        self._slots[client].popitem(last=False)
        self._count -= 1
        if not self._slots[client]:
            del self._slots[client]
