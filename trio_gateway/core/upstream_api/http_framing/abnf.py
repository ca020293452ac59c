"""Patterns of the HTTP/1.1 grammar that heads, trailers and requests have in common.

All quantifiers are possessive, so matching is linear in the length of the text.
"""

from __future__ import annotations

from typing import Final

__all__ = ["END_OF_LINE", "TEXT", "TOKEN"]

END_OF_LINE: Final = b"\r\n"

TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
"""A field's name or a method (RFC 9110, section 5.6.2)."""

TEXT: Final = rb"[^\x00\n\x0b\x0c\r]*+"
"""A field's value or a reason, blanks around it included.

RFC 9110, section 5.5, has NUL, CR and LF refused and leaves the other control characters to the recipient.
They pass, as servers do send them in cookies, but for the two that some readers take for white space.
"""
