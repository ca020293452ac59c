"""Cuts bytes into chunks, as a network might."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

__all__ = ["CUTS", "cut"]

CUTS = st.lists(st.integers(0, 400), max_size=12)
"""Places where to cut; those behind the end do nothing."""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """*data* in chunks, some of which may be empty."""
    bounds = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]
