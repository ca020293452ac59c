"""Errors of HTTP framing: broken rules, bodies cut short, requests that cannot be written.

Their texts name the rule. They quote nothing of what the server sent, so they may be logged.
"""

from __future__ import annotations

__all__ = ["FramingError", "IncompleteBodyError", "InvalidRequestError"]


class FramingError(ValueError):
    """A response that breaks the rules of HTTP/1.1, or one of the limits set here."""


class IncompleteBodyError(ValueError):
    """A connection that ended before the body did."""


class InvalidRequestError(ValueError):
    """A request whose method, target or fields cannot stand in a request head."""
