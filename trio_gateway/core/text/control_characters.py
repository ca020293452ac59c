"""Control characters: code points that drive or reorder a terminal, dropped or escaped.

They are C0, DEL and C1, the bidirectional controls (embeddings, overrides, isolates: CVE-2021-42574) and the
line and paragraph separators. The marks U+200E and U+200F belong to ordinary Hebrew and Arabic text and stay.

Line feed and tab stay in both functions: a text shown on a terminal needs them, and JSON writes those of its
strings as escapes already. Each character is judged by itself, so a text may be cut into pieces anywhere.
"""

from __future__ import annotations

import re

__all__ = ["ascii_json", "drop_controls", "escape_controls"]

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NOT_ASCII = re.compile(r"[^\n\t -~]")


def drop_controls(text: str) -> str:
    r"""*text* without control characters.

    >>> drop_controls("a\x1b[2J\u202eb\n")
    'a[2Jb\n'
    """
    return _CONTROL.sub("", text)


def escape_controls(text: str) -> str:
    r"""*text* with each control character as ``\uXXXX``, which in JSON means the character itself.

    >>> escape_controls("a\x1b[2J")
    'a\\u001b[2J'
    """
    return _CONTROL.sub(_escape, text)


def ascii_json(text: str) -> str:
    r"""The JSON *text* with every character outside printable ASCII as ``\uXXXX``; its value stays the same.

    A carriage return can only stand between two tokens there, and is dropped.

    >>> ascii_json('"é😀"')
    '"\\u00e9\\ud83d\\ude00"'
    """
    return _NOT_ASCII.sub(_escape, text.replace("\r", ""))


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
