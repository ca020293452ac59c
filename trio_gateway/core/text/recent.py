"""The latest text of a stream, bounded: what is too old is dropped first."""

from __future__ import annotations

from collections import deque

__all__ = ["RecentText"]

_PIECES = 256
"""Pieces that are kept apart; more are joined."""


class RecentText:
    """The last *limit* characters of a text that comes in pieces.

    Adding is a constant effort for each character. What was dropped leaves a gap, see :attr:`torn`.

    >>> recent = RecentText(8)
    >>> recent.add("abcdefg"), recent.add("hijk"), recent.take(3), recent.torn, len(recent)
    (None, None, 'def', True, 5)
    """

    __slots__ = ("_limit", "_pieces", "_size", "torn")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[str] = deque()
        self._size = 0
        self.torn = False
        """Text before what is here was dropped, and not taken."""

    def __len__(self) -> int:
        return min(self._size, self._limit)

    def add(self, text: str) -> None:
        """Take the next piece."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size > 2 * self._limit:  # not at every piece
            self.keep(self._limit)
        if len(self._pieces) > _PIECES:
            self._pieces = deque(["".join(self._pieces)])

    def take(self, size: int) -> str:
        """The first *size* characters, or all there are; they are here no longer."""
        self.keep(self._limit)
        taken: list[str] = []
        while size and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
            self._size -= len(piece)
        return "".join(taken)

    def text(self) -> str:
        """All there is; it stays."""
        self.keep(self._limit)
        self._pieces = deque(["".join(self._pieces)])
        return self._pieces[0]

    def keep(self, size: int) -> None:
        """Drop all but the last *size* characters."""
        while self._size > size:
            piece = self._pieces.popleft()
            over = min(len(piece), self._size - size)
            if over < len(piece):
                self._pieces.appendleft(piece[over:])
            self._size -= over
            self.torn = True

    def clear(self) -> None:
        """Drop everything."""
        self._pieces.clear()
        self._size = 0
        self.torn = False
