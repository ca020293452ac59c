"""System calls on a Trio socket, made directly where Trio's own way costs more.

Trio tries to read before it waits, which for a token that is still to come is a call and an exception in
vain (6 µs), and keeps a kibibyte of frames meanwhile. To write takes it a scope, a lock and a checkpoint (20
µs with hypercorn's).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio.socket import SocketType

__all__ = ["receive_next", "send_nowait"]


async def receive_next(sock: SocketType, size: int) -> bytes:
    """Wait for bytes, and return at most *size* of them; none at the connection's end.

    Raises:
        OSError, trio.ClosedResourceError: the connection is broken, or closed by us.
    """
    while True:
        # It is asked for each time: the number of a closed socket may be another connection's by now.
        await trio.lowlevel.wait_readable(sock.fileno())
        try:
            return os.read(sock.fileno(), size)
        except BlockingIOError:  # the kernel has dropped what it had reported, a rare thing
            continue


def send_nowait(sock: SocketType, data: bytes) -> int:
    """Give *data* to the kernel as far as it takes it at once; the number of bytes that left."""
    try:
        return os.write(sock.fileno(), data)
    except OSError:  # no room, or the connection is gone: whoever reads, or sends the rest, finds out which
        return 0
