"""Status line: shows what is waited for, and how long the model thought.

Moments in, text out; it knows no clock and no stream.
"""

from __future__ import annotations

from ..core.phases import Phase

__all__ = ["StatusLine"]

# Seconds: what comes sooner needs no status, and a frame of the spinner stands that long.
_PATIENCE, _FRAME = 0.3, 0.1
_FRAMES, _ASCII_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


class StatusLine:
    """One answer's status from *sent*, when it was asked for, until its output begins."""

    def __init__(self, sent: float, encoding: str) -> None:
        self._since, self._doing = sent, "waiting"
        self._frames = _FRAMES if encoding.lower().startswith("utf") else _ASCII_FRAMES
        self._thinking = self._over = False

    def opens(self, phase: Phase, now: float) -> str | None:
        """*phase* has begun. When the thinking is over thereby: how long it took."""
        if phase is Phase.REASONING_SUMMARY:
            self._since, self._doing, self._thinking = now, "thinking", True
        elif phase is Phase.FINAL_OUTPUT:
            self._over = True
            if self._thinking and now - self._since >= _FRAME:
                return f"thought for {_seconds(now - self._since)}"
        return None

    def stop(self) -> None:
        """The answer is over."""
        self._over = True

    def text(self, now: float, tokens: int = 0) -> str:
        """The line as it stands now, with the *tokens* so far; empty where there is nothing to report."""
        past = now - self._since
        if self._over or past < _PATIENCE:
            return ""
        frame = self._frames[int(past / _FRAME) % len(self._frames)]
        counted = f", about {tokens} tokens" if tokens else ""
        return f"{frame} {self._doing} {int(past)} s{counted}"


def _seconds(past: float) -> str:
    if past < 10:
        return f"{past:.1f} s"
    return f"{past:.0f} s" if past < 120 else f"{past // 60:.0f} min {past % 60:.0f} s"
