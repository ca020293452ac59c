"""Any case: matches words in whatever case, several times as fast as ``re.IGNORECASE``.

A pattern that ignores case tries all its alternatives at every place, one after the other. One that does not
passes over those that begin with another letter. So the text is written in small letters, as the pattern is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

__all__ = ["AnyCase", "folded"]

# What ``re.IGNORECASE`` takes for the letters i and s, and ``str.lower`` leaves or makes longer.
_ODD = str.maketrans({"İ": "i", "ı": "i", "ſ": "s"})


def folded(text: str) -> str:
    """*text* in small letters, of the same length: places in one are places in the other.

    >>> folded("İki KELİME"), len(folded("İ"))
    ('iki kelime', 1)
    """
    return (text if text.isascii() else text.translate(_ODD)).lower()


class AnyCase:
    """A regular expression in small letters, which is applied to any text.

    What it finds stands in small letters too; its places are those of the text. One of *needs* is in
    whatever it matches: to look for those first is much quicker, and mostly in vain.

    >>> import re
    >>> AnyCase(re.compile(r"\\bwait\\b")).search("Hmm, WAIT.")
    <re.Match object; span=(5, 9), match='wait'>
    """

    __slots__ = ("needs", "pattern")

    def __init__(self, pattern: re.Pattern[str], *, needs: str = "") -> None:
        self.pattern = pattern
        self.needs = tuple(needs.split())

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        """As of a pattern."""
        text = folded(text)
        if self.needs and not any(map(text.__contains__, self.needs)):
            return None
        return self.pattern.search(text, start)

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        """As of a pattern."""
        return self.pattern.match(folded(text), start)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """As of a pattern."""
        return self.pattern.finditer(folded(text))
