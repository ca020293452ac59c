"""Pace of an upload: how slowly a request body may arrive."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["UploadPace"]

_GRACE: Final = 10.0
"""Seconds in which any pace will do."""
_RATE: Final = 16 * 1024
"""Bytes a second that are expected from then on, on average since the beginning."""
_CROWDED_RATE: Final = 64 * 1024
"""The same while bodies take more than half of the room there is for them."""


class UploadPace(Struct, frozen=True):
    """The rule for one body, whatever its size and framing.

    Instants are seconds of any one clock.

    >>> UploadPace(100.0).deadline(3 * 1024 * 1024, crowded=False)
    292.0
    """

    began_at: float

    def deadline(self, received: int, *, crowded: bool) -> float:
        """The instant at which a body of which so many bytes have been *received* is too slow."""
        rate = _CROWDED_RATE if crowded else _RATE
        return self.began_at + max(_GRACE, received / rate)
