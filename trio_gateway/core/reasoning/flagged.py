"""Flagged thoughts: text that the upstream itself marks as a thought.

Google's endpoint marks each delta of a thought, and writes ``<thought>`` before the first and ``</thought>``
behind the last of them, or before the text of the next delta. The flag decides; the tags are dropped.
"""

from __future__ import annotations

import re
from typing import Final

from .markers import BLANKS

__all__ = ["FlaggedThoughts"]

_START: Final = "<thought>"
_END: Final = "</thought>"
_END_FIRST: Final = re.compile(rf"\s{{0,{BLANKS}}}{_END}\s*")
_END_BEGUN: Final = re.compile(
    rf"\s{{0,{BLANKS}}}(?:{'|'.join(_END[:length] for length in range(len(_END), -1, -1))})\Z"
)


class FlaggedThoughts:
    """Parts one choice's text, from its first flagged delta on, into thoughts and text.

    >>> thoughts = FlaggedThoughts()
    >>> thoughts.feed("<thought>add", is_thought=True), thoughts.feed("</thought>4", is_thought=False)
    (('add', ''), ('', '4'))
    """

    __slots__ = ("_at_head", "_closed", "_held", "_in_thought", "_said")

    def __init__(self) -> None:
        self._in_thought = False
        self._at_head = False  # nothing but whitespace of this thought was given
        self._closed = True  # an end tag would be text
        self._held = ""  # the end of the thought, which may yet be, or touch, a tag
        self._said = ""  # text after it, which may belong to that tag

    def feed(self, text: str, *, is_thought: bool) -> tuple[str, str]:
        """Thought and text that the next delta makes certain; *is_thought*: it was flagged."""
        if is_thought:
            return self._think(text)
        return self._say(text)

    def finish(self) -> tuple[str, str]:
        """Nothing follows that could be a tag: gives what was held back."""
        thought, text = self._held, self._said
        self._held = self._said = ""
        self._in_thought, self._closed = False, True
        return ("", "") if (thought + text).strip() in {_START, _END} else (thought, text)

    def _think(self, text: str) -> tuple[str, str]:
        if not self._in_thought:
            thought, rest = self.finish()
            self._in_thought, self._at_head, self._closed = True, True, False
            if thought or rest:
                return self._joined(thought, rest, self._think(text))
        text, self._held = self._held + text, ""
        if self._at_head:
            text = text.lstrip()
            if len(text) < len(_START) and _START.startswith(text):
                self._held = text
                return "", ""
            rest = text.removeprefix(_START).lstrip()
            if not rest:  # whitespace that follows belongs to the tag
                self._held = text.rstrip()
                return "", ""
            text, self._at_head = rest, False
        # An end tag counts at the end of the thought only, so it is held until something follows.
        at = max(0, len(text) - BLANKS - len(_END))
        place = next(_END_BEGUN.finditer(text, _tail(text, at))).start()  # at its very end if nowhere else
        text, self._held = text[:place], text[place:]
        return text, ""

    def _say(self, text: str) -> tuple[str, str]:
        if self._closed:
            return "", text
        whole = self._held + self._said + text
        self._in_thought = False
        if (end := _END_FIRST.match(whole)) is not None:
            # Whitespace that follows belongs to the tag too, so it is awaited as if it were the tag.
            rest = whole[end.end() :]
            self._held, self._said, self._closed = "" if rest else _END, "", bool(rest)
            return "", rest
        if _END_BEGUN.match(whole):
            self._said += text
            return "", ""
        thought, rest = self.finish()
        return thought, rest + text

    @staticmethod
    def _joined(thought: str, text: str, more: tuple[str, str]) -> tuple[str, str]:
        return thought + more[0], text + more[1]


def _tail(text: str, at: int) -> int:
    """Where what may belong to an end tag begins, from *at* on."""
    stop = text.rfind("<", at)
    begin = len(text) if stop < 0 else stop
    return max(at, len(text[:begin].rstrip()))
