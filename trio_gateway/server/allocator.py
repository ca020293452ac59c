"""Allocator of the C library: returns large blocks to the system when they are freed."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD: Final = -3
"""As in glibc's malloc.h."""
_LARGE: Final = 256 * 1024


def return_large_blocks() -> bool:
    """Have each block over 256 KiB mapped by itself; False where the C library has no such setting.

    glibc raises this bound by itself to the size of the blocks that were freed, up to 32 MiB. From then on
    bodies of that size lie in the heap, where smaller blocks keep them from being returned: after nine bodies
    of 24 MiB a gateway was seen to keep 280 MiB.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _LARGE))
