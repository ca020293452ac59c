"""Surrogates: joins pairs that were cut in two, and replaces what is none.

No character is half of a pair, but a JSON escape may be, and it has no UTF-8 form.
"""

from __future__ import annotations

__all__ = ["joined"]


def joined(half: str, text: str) -> tuple[str, str]:
    """*text* behind the first *half* of a pair (or nothing), and the half that it ends with (or nothing).

    >>> joined("", "a\\ud83d")
    ('a', '\\ud83d')
    >>> joined("\\ud83d", "\\ude00b")
    ('😀b', '')
    """
    rest = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    whole = half + text[: len(text) - len(rest)]
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), rest
